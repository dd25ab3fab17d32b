"""``autosteer calibrate pulses``: what an estimator has to know of a streaking spectrometer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autosteer.cli._frame_options import JsonOutput
from autosteer.cli._output import clear_errors, print_line


def calibrate_pulses(
    file: Annotated[
        Path,
        typer.Argument(help="NPZ or HDF5 file of sinograms, as 'autosteer characterize' takes it."),
    ],
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    max_shots: Annotated[int, typer.Option(min=100, help="Shots to use, the first ones.")] = 4000,
    json_output: JsonOutput = False,
) -> None:
    """Fit lines, channels and background of a spectrometer to its sinograms."""
    import numpy as np
    import torch

    torch.set_num_threads(1)
    with clear_errors():
        from autosteer.analysis.columns import check_folder
        from autosteer.analysis.pulses.fit_calibration import fit_calibration
        from autosteer.analysis.pulses.sinogram_files import read_sinograms
        from autosteer.cli._progress import counting

        check_folder(out)
        parts = []
        for part in read_sinograms(file):
            parts.append(part)
            if sum(map(len, parts)) >= max_shots:
                break
        sinograms = np.concatenate(parts)[:max_shots]
        with counting("rounds", quiet=json_output) as count:
            calibration = fit_calibration(sinograms, file.name, count)
        calibration.write(out)
    if json_output:
        print_line(calibration.model_dump_json())
        return
    from autosteer.analysis.pulses.calibration import line_moments

    dead = [n for n, one in enumerate(calibration.efficiencies) if one == 0]
    print_line(
        f"{calibration.n_shots} shots: lines of {line_moments(calibration)[1]:.2f} bins (standard "
        f"deviation) at {calibration.center_bins:.1f} +- {calibration.center_spread_bins:.1f}, "
        f"moved by {calibration.kick_bins:.1f} +- {calibration.kick_spread_bins:.1f} bins, "
        f"{calibration.line_electrons:.2f} electrons in a channel"
        + (f"; channels {dead} count nothing" if dead else "")
    )
    print_line(f"wrote {out}")
