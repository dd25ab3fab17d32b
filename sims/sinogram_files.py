"""Files of simulated sinograms, and of what they were made from.

python -m autosteer.sims.sinogram_files OUT [--count 2000] [--preset paper] [--spikes 2]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from autosteer.contracts.pulse_simulation import MRCO_PRESETS
from autosteer.sims.mrco import MrcoSimulator, PulseShots


def write_sinograms(path: Path, shots: PulseShots) -> None:
    """Write sinograms as estimators read them.

    Parameters
    ----------
    path : Path
        NPZ file.
    shots : PulseShots
        The shots; nothing of their truth is written.
    """
    np.savez_compressed(path, ximg=shots.sinograms)


def write_truth(path: Path, shots: PulseShots) -> None:
    """Write what sinograms were made from, for scoring only.

    Parameters
    ----------
    path : Path
        NPZ file.
    shots : PulseShots
        The shots.
    """
    columns = {field.name: getattr(shots.truth, field.name) for field in fields(shots.truth)}
    columns["n_spikes"] = shots.truth.n_spikes
    columns["delta_phase"] = shots.delta_phase_rad
    np.savez_compressed(path, allow_pickle=False, **columns)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a file of simulated sinograms.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line, without the program's name.
    """
    parser = argparse.ArgumentParser(
        prog="python -m autosteer.sims.sinogram_files",
        description="Write simulated streaking sinograms as NPZ.",
    )
    parser.add_argument("out", type=Path, help="NPZ file to write")
    parser.add_argument("--count", type=int, default=2000, help="number of shots")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything random")
    parser.add_argument("--preset", choices=sorted(MRCO_PRESETS), default="paper")
    parser.add_argument("--spikes", type=int, help="sub-spikes of every shot; not given: random")
    parser.add_argument("--truth", type=Path, help="NPZ file for the truth, for scoring only")
    chosen = parser.parse_args(arguments)
    simulator = MrcoSimulator(chosen.preset, chosen.seed)
    shots = simulator.shots(np.arange(chosen.count, dtype=np.uint64), chosen.spikes)
    write_sinograms(chosen.out, shots)
    if chosen.truth is not None:
        write_truth(chosen.truth, shots)


if __name__ == "__main__":
    main()
