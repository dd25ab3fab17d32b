"""``autosteer find-spots``: Bragg spots on the frames of files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from autosteer.cli._frame_options import (
    Dataset,
    FilesOfFrames,
    JsonOutput,
    Mask,
    MaxSpots,
    MinSnr,
    Out,
    Saturation,
)
from autosteer.cli._output import clear_errors, number_or_none, print_line, wide_console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autosteer.analysis.offline import SpotBatch


def find_spots(
    files: FilesOfFrames,
    dataset: Dataset = None,
    mask: Mask = None,
    min_snr: MinSnr = 5.0,
    min_pixels: Annotated[int, typer.Option(help="Pixels of the smallest spot.")] = 2,
    max_pixels: Annotated[int, typer.Option(help="Pixels of the largest spot.")] = 200,
    max_spots: MaxSpots = 500,
    saturation: Saturation = None,
    out: Out = None,
    json_output: JsonOutput = False,
) -> None:
    """Find Bragg spots on frames."""
    from autosteer.cli._progress import counting

    with clear_errors():
        from autosteer.analysis.columns import check_ending, write_columns
        from autosteer.analysis.detectors import read_mask
        from autosteer.analysis.frames import read_frames
        from autosteer.analysis.offline import spot_columns, spots_of_frames
        from autosteer.analysis.spots import SpotFinder

        if out is not None:
            check_ending(out)
        found: list[SpotBatch] = []
        done = 0
        with counting("frames", quiet=json_output) as count:
            for file in files:
                source = read_frames(file, dataset)
                finder = SpotFinder(
                    min_snr=min_snr,
                    min_pixels=min_pixels,
                    max_pixels=max_pixels,
                    max_spots=max_spots,
                    mask=None if mask is None else read_mask(mask, source.frame_shape),
                    saturation=saturation,
                )
                for batch in spots_of_frames(source, finder):
                    found.append(batch)
                    done += len(batch.spots.n_spots)
                    count(done)
        if out is not None:
            write_columns(out, spot_columns(found))
        if json_output:
            _print_json(found)
        else:
            _print_table(found)


def _print_json(found: Sequence[SpotBatch]) -> None:
    """Print spots and background of each frame."""
    import json

    frames = [
        {
            "path": str(batch.path),
            "frame": batch.first_frame + index,
            "n_spots": int(n_spots),
            "background_level": number_or_none(background),
        }
        for batch in found
        for index, (n_spots, background) in enumerate(
            zip(batch.spots.n_spots, batch.spots.background_level, strict=True)
        )
    ]
    print_line(json.dumps({"frames": frames}))


def _print_table(found: Sequence[SpotBatch]) -> None:
    """Print one line for each frame, and a last one for all."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2))
    table.add_column("file", no_wrap=True)
    for heading in ("frame", "spots", "background"):
        table.add_column(heading, justify="right")
    for batch in found:
        spots = batch.spots
        for index, n_spots in enumerate(spots.n_spots):
            level = f"{spots.background_level[index]:.1f}"
            table.add_row(batch.path.name, str(batch.first_frame + index), str(n_spots), level)
    wide_console().print(table)
    n_frames = sum(len(batch.spots.n_spots) for batch in found)
    print_line(f"{sum(len(batch.spots) for batch in found)} spots on {n_frames} frames")
