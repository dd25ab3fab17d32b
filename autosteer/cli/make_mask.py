"""``autosteer make-mask``: the mask of a detector from dark and lit frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autosteer.cli._frame_options import Dataset, Mask
from autosteer.cli._output import clear_errors, print_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray


def make_mask(
    dark: Annotated[list[Path], typer.Argument(help="Files of frames without beam.")],
    out: Annotated[Path, typer.Option(help="NPY file to write, true where a pixel is good.")],
    lit: Annotated[
        list[Path] | None,
        typer.Option(help="File of frames with smooth light; may be given several times."),
    ] = None,
    dataset: Dataset = None,
    mask: Mask = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of lines.")
    ] = False,
) -> None:
    """Make a mask of hot, noisy and dead pixels from dark frames."""
    import json

    with clear_errors():
        from autosteer.analysis.detectors import read_mask, write_mask
        from autosteer.analysis.pixel_masks import find_faults, pixel_moments

        of_dark = pixel_moments(_batches(dark, dataset))
        faults = find_faults(of_dark, pixel_moments(_batches(lit, dataset)) if lit else None)
        good = faults.good
        n_given = 0
        if mask is not None:
            shape = good.shape
            given = read_mask(mask, shape)
            n_given = int((~given & good).sum())
            good &= given
        write_mask(out, good)
    counts = {
        "pixels": good.size,
        "hot": int(faults.hot.sum()),
        "noisy": int(faults.noisy.sum()),
        "dead": int(faults.dead.sum()),
        "masked_before": n_given,
        "good": int(good.sum()),
    }
    if json_output:
        print_line(json.dumps({"path": str(out), "dark_frames": of_dark.n_frames, **counts}))
        return
    print_line(
        f"{of_dark.n_frames} dark frames: {counts['hot']} hot, {counts['noisy']} noisy and "
        f"{counts['dead']} dead of {counts['pixels']} pixels"
        + (f", {n_given} more masked in {mask}" if mask is not None else "")
    )
    print_line(f"wrote {out}")


def _batches(files: Sequence[Path], dataset: str | None) -> Iterator[NDArray[Any]]:
    """Give the frames of all files, some at a time."""
    from autosteer.analysis.frames import batches, read_frames

    for file in files:
        yield from batches(read_frames(file, dataset), 8)
