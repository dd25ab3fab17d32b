"""Spot finding: recall and precision on four kinds of detector, indexing yield, and speed.

python benchmarks/spots.py [--frames 20] [--crystals 20] [--seed 1] [--budget-s 3600]
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any

import numpy as np
from _cells import Cells, table
from _spot_scores import FAINT_SIGMAS, STRONG_SIGMAS, judged_frames, score
from _spot_speed import speeds
from _spot_yield import yields

from autosteer.analysis.spots import SpotFinder
from autosteer.sims.detector_kinds import BACKGROUNDS, KINDS, BackgroundKind, DetectorKind

DARK_GAIN = 10
DARK_READOUTS = (0.0, 0.1, 0.25, 0.4, 1.0)
DARK_PHOTONS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0)


def quality(
    kind: DetectorKind, background: BackgroundKind, n_frames: int, seed: int
) -> dict[str, Any]:
    """Score the finder, with its defaults, on one kind of detector and background."""
    return score(SpotFinder().find, judged_frames(kind, background, n_frames, seed))


def dark(photons: float, readout: float, n_frames: int, seed: int) -> float:
    """Count the spots found on frames without any, of photons and readout noise, per megapixel."""
    rng = np.random.default_rng([seed, round(1e4 * photons), round(100 * readout)])
    shape = (n_frames, 1, 1024, 1024)
    counts = DARK_GAIN * (rng.poisson(photons, shape) + rng.normal(0, readout, shape))
    spots = SpotFinder().find(np.rint(counts).astype(np.int16))
    return len(spots) / (n_frames * 1024**2 / 1e6)


def dark_rows(cells: Cells, n_frames: int, seed: int) -> list[dict[str, Any]]:
    """Score dark frames, or as many as the budget allows."""
    rows = []
    for readout in DARK_READOUTS:
        row: dict[str, Any] = {"readout noise [photons]": readout}
        for photons in DARK_PHOTONS:
            row[f"{photons:g} photons/px"] = cells.get(
                partial(dark, photons, readout, n_frames, seed),
                what="dark",
                photons=photons,
                readout=readout,
                n_frames=n_frames,
                seed=seed,
            )
        rows.append(row)
    return rows


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=20, help="frames of each kind")
    parser.add_argument("--crystals", type=int, default=20, help="frames that are indexed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--budget-s", type=float, default=3600.0)
    parser.add_argument("--no-speed", action="store_true", help="leave the speeds out")
    arguments = parser.parse_args()
    cells = Cells("spots", arguments.budget_s)
    rows = []
    for kind in KINDS:
        for background in BACKGROUNDS:
            here = {"kind": kind.name, "background": background.name, "seed": arguments.seed}
            counts = cells.get(
                partial(quality, kind, background, arguments.frames, arguments.seed),
                what="quality",
                n_frames=arguments.frames,
                **here,
            )
            indexed = cells.get(
                partial(yields, kind, background, arguments.crystals, arguments.seed),
                what="yield",
                n_frames=arguments.crystals,
                **here,
            )
            if counts is None or indexed is None:
                print("the budget is used up: run again to go on", file=sys.stderr)
                break
            rows.append(_row(kind, background, counts, indexed))
            print(f"{kind.name}, {background.name}: done", file=sys.stderr)
    print(
        f"Spots of >= {STRONG_SIGMAS:g} sigma, one default setting; those of "
        f"{FAINT_SIGMAS:g} to {STRONG_SIGMAS:g} sigma count neither way. 'As rare' are "
        "spots as rare as 6 sigma by the statistics of photons; 'own' counts the spot's own noise "
        "in sigma. The last columns are shares of frames indexed correctly.\n"
    )
    print(table(rows))
    print("\nFalse spots in a megapixel of dark frames that count ten for a photon\n")
    print(table(dark_rows(cells, max(arguments.frames // 2, 2), arguments.seed)))
    if not arguments.no_speed:
        print()
        print(table(speeds()))


def _row(
    kind: DetectorKind,
    background: BackgroundKind,
    counts: dict[str, Any],
    indexed: dict[str, float],
) -> dict[str, Any]:
    """Make a row of the table."""
    return {
        "detector": kind.name,
        "background": background.name,
        "spots": counts["n_true"],
        "recall": counts["recall"],
        "spots, as rare": counts["n_true_rare"],
        "recall, as rare": counts["recall_rare"],
        "recall, own": counts["recall_own"],
        "precision": counts["precision"],
        "on a blank frame": counts["false_blank"],
        "centroid rms [px]": counts["centroid_px"],
        **{f"indexed: {name}": value for name, value in indexed.items()},
    }


if __name__ == "__main__":
    main()
