"""``autosteer characterize``: attosecond pulses from files of streaking sinograms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autosteer.cli._frame_options import Device, JsonOutput
from autosteer.cli._output import clear_errors, print_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from autosteer.analysis.pulses import PulseResult


def characterize(
    file: Annotated[
        Path,
        typer.Argument(
            help="NPZ or HDF5 file of sinograms: an array 'ximg', (n, n_channels, n_bins), or a "
            "group for each shot with a dataset 'Ximg'."
        ),
    ],
    out: Annotated[Path, typer.Option(help="NPZ or Parquet file to write.")],
    estimator: Annotated[
        str, typer.Option(help="How pulses are characterised: matched, dciphr, or dciphr-small.")
    ] = "matched",
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Calibration by 'autosteer calibrate pulses', for matched; default: the "
            "simulator's."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights by 'autosteer train pulses', for dciphr and dciphr-small; default of the "
            "latter: those for the simulator."
        ),
    ] = None,
    wavelength_um: Annotated[
        float, typer.Option(help="Wavelength of the streaking laser, in micrometers.")
    ] = 1.2,
    device: Device = "cpu",
    json_output: JsonOutput = False,
) -> None:
    """Count the sub-spikes of pulses, and measure the delay where there are two."""
    import json

    import torch

    # Batches of small matrices: threads would only wait for each other.
    torch.set_num_threads(1)
    with clear_errors():
        from autosteer.analysis.columns import check_ending, check_folder
        from autosteer.analysis.pulses import load_estimator
        from autosteer.analysis.pulses.sinogram_files import read_sinograms
        from autosteer.cli._progress import counting

        check_ending(out)
        check_folder(out)
        characterizes = load_estimator(
            estimator, calibration, weights=weights, wavelength_um=wavelength_um, device=device
        )
        results: list[PulseResult] = []
        done = 0
        with counting("shots", quiet=json_output) as count:
            for sinograms in read_sinograms(file):
                results.append(characterizes.characterize(sinograms))
                done += len(sinograms)
                count(done)
        columns = _columns(results)
        _write(out, columns)
    numbers = columns["n_spikes"]
    counts = {name: int((numbers == number).sum()) for number, name in enumerate(_NAMES)}
    two = numbers == _NAMES.index("two")
    summary = {
        "shots": done,
        **counts,
        "ambiguous": int(columns["ambiguous"].sum()),
        "abstained": int((columns["abstained"] != 0).sum()),
    }
    if json_output:
        print_line(json.dumps({"path": str(out), **summary}))
        return
    print_line(
        f"{done} shots: "
        + ", ".join(f"{counts[name]} with {name}" for name in _NAMES)
        + f" sub-spikes; {summary['ambiguous']} ambiguous, {summary['abstained']} abstained"
    )
    if two.any():
        import numpy as np

        delay, sigma = (np.median(columns[name][two]) for name in ("delay_as", "delta_phase_sigma"))
        print_line(
            f"two sub-spikes: median delay {delay:.0f} as, median standard deviation of the phase "
            f"difference {1000 * sigma:.2f} mrad"
        )
    print_line(f"wrote {out}")


_NAMES = ("no", "one", "two", "three", "four or more")


def _columns(results: Sequence[PulseResult]) -> dict[str, NDArray[Any]]:
    """Put results behind each other, column by column."""
    from dataclasses import fields

    import numpy as np

    from autosteer.analysis.pulses import PulseResult

    return {
        field.name: np.concatenate([getattr(one, field.name) for one in results])
        for field in fields(PulseResult)
    }


def _write(out: Path, columns: dict[str, NDArray[Any]]) -> None:
    """Write columns; a Parquet file has one for each class's probability."""
    from autosteer.analysis.columns import write_columns

    if out.suffix == ".parquet":
        rest = {name: values for name, values in columns.items() if values.ndim == 1}
        by_class = enumerate(columns["probabilities"].T)
        columns = rest | {f"p_{number}": values.copy() for number, values in by_class}
    write_columns(out, columns)
