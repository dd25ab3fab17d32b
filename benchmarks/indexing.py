"""Indexing and cell search: yield, false accepts, precision, measured data, speed.

Prints one table for each. Simulated sets come from the project's simulator; measured ones from
the folder that the variable AUTOSTEER_DATA names. Cells are cached by the version of the code.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _cells import Cells, table
from _stills import Stills, misorientation_deg, scrambled, simulate_stills

from autosteer.analysis.cell_search import find_cell
from autosteer.analysis.frames import read_spot_lists
from autosteer.analysis.indexing import Indexer
from autosteer.contracts.simulation import SimulatedCrystals
from autosteer.physics import UnitCell

CELLS = {
    "lysozyme": UnitCell(79.1, 79.1, 37.9, 90, 90, 90),
    "monoclinic": UnitCell(52, 61, 74, 90, 108, 90),
    "hexagonal": UnitCell(93.4, 93.4, 131, 90, 90, 120),
    "centered C": UnitCell(100, 45, 62, 90, 112, 90, "C"),
    "centered F": UnitCell(90, 95, 110, 90, 90, 90, "F"),
    "centered I": UnitCell(78, 78, 78, 90, 90, 90, "I"),
    "rhombohedral": UnitCell(81, 81, 110, 90, 90, 120, "R"),
    "triclinic": UnitCell(45, 55, 68, 82, 75, 68),
}
LARGE = UnitCell(117, 223, 308, 90, 90, 90)
# Condition, spots of each crystal, share of outliers.
CONDITIONS = (
    ("6 spots", (6,), 0.0),
    ("10 spots", (10,), 0.0),
    ("15 spots", (15,), 0.0),
    ("60 spots", (60,), 0.0),
    ("50 % outliers", (30,), 0.5),
    ("70 % outliers", (30,), 0.7),
    ("two lattices", (30, 30), 0.0),
)
N_OF_LIST = (5, 6, 7, 8, 10, 12, 15, 20, 30, 60, 100, 200)
RIGHT_DEG = 0.5
DIALS_PYTHON = Path("/usr/bin/python3")


def found_share(stills: Stills, cell: UnitCell, **options: Any) -> dict[str, float]:
    """Index, and compare every lattice with the truth."""
    indexer = Indexer(cell, **options)
    begin_s = time.process_time()
    result = indexer.index(stills.q)
    cpu_s = time.process_time() - begin_s
    truth = stills.lattices[result.frame_index]
    angle = np.stack([
        misorientation_deg(result.all_lattices, truth[:, which], cell)
        for which in range(truth.shape[1])
    ])
    found = np.zeros(stills.lattices.shape[:2], dtype=bool)
    which, lattice = np.nonzero(angle < RIGHT_DEG)
    found[result.frame_index[lattice], which] = True
    best = angle.min(axis=0, initial=180)
    pull = (best / result.found.orientation_sigma_deg)[best < 2]
    return {
        "all found [%]": 100 * float(found.all(axis=1).mean()),
        "wrong [%]": 100 * float((best >= RIGHT_DEG).sum() / len(stills.q)),
        "median [deg]": float(np.median(best[best < RIGHT_DEG])) if len(best) else float("nan"),
        "pull": float(np.sqrt(np.mean(pull**2))) if len(pull) else float("nan"),
        "frames/cpu s": len(stills.q) / cpu_s,
    }


def yields(cells: Cells, n_frames: int) -> None:
    """Print how often the right lattice is found."""
    rows = []
    sets = [(n, c, *rest) for n, c in CELLS.items() for rest in CONDITIONS]
    sets += [("117 x 223 x 308", LARGE, f"{n} spots", (n,), 0.0) for n in (60, 150)]
    for name, cell, condition, counts, outliers in sets:

        def make(
            cell: UnitCell = cell, counts: tuple[int, ...] = counts, outliers: float = outliers
        ) -> dict[str, float]:
            count = n_frames if cell is not LARGE else max(20, n_frames // 5)
            stills = simulate_stills(cell, count, counts, seed=1, outlier_share=outliers)
            return found_share(stills, cell)

        value = cells.get(make, set=name, condition=condition, frames=n_frames)
        if value is not None:
            rows.append({"cell": name, "list": condition, **value})
    print("\nRight lattices (all of a frame's within 0.5 deg), default settings\n")
    print(table(rows), flush=True)


def false_accepts(cells: Cells, n_lists: int) -> None:
    """Print how many lists without a lattice are called indexed."""
    rows = []
    for name, cell in CELLS.items():

        def make(cell: UnitCell = cell) -> dict[str, float]:
            indexer, rng, shares = Indexer(cell), np.random.default_rng(2), {}
            for n_spots in N_OF_LIST:
                q = simulate_stills(cell, 100, (n_spots,), seed=2).q
                parts = [indexer.index(scrambled(q, rng)) for _ in range(-(-n_lists // 100))]
                share = np.mean(np.concatenate([part.indexed for part in parts]))
                shares[f"n={n_spots}"] = 100 * float(share)
            return shares

        value = cells.get(make, set=f"false {name}", lists=n_lists)
        if value is not None:
            rows.append({"cell": name, **value})
    print(f"\nLists without a lattice that are called indexed [%], {n_lists} lists each\n")
    print(table(rows), flush=True)


def precision(cells: Cells, n_frames: int) -> None:
    """Print errors of orientation for perfect crystals, and how honest their sigma is."""
    perfect = SimulatedCrystals(mosaicity_deg=0, cell_spread=0, bandwidth=0)
    rows = []
    for name in ("lysozyme", "triclinic"):
        for n_spots in (20, 60, 150):
            for position_sigma in (1e-4, 2.5e-4):

                def make(
                    cell: UnitCell = CELLS[name],
                    n_spots: int = n_spots,
                    position_sigma: float = position_sigma,
                ) -> dict[str, float]:
                    stills = simulate_stills(
                        cell,
                        n_frames,
                        (n_spots,),
                        seed=3,
                        crystals=perfect,
                        position_sigma=position_sigma,
                    )
                    return found_share(stills, cell)

                value = cells.get(
                    make, set=f"precise {name}", spots=n_spots, sigma=position_sigma, n=n_frames
                )
                if value is not None:
                    row = {"cell": name, "spots": n_spots, "position sigma": position_sigma}
                    rows.append({**row, **{key: value[key] for key in ("median [deg]", "pull")}})
    print("\nPrecision without mosaicity\n")
    print(table(rows), flush=True)


def measured(data: Path | None) -> None:
    """Print what is found in measured spot lists."""
    print("\nMeasured lists\n")
    if data is None:
        print("not measured: set AUTOSTEER_DATA to the folder of the data")
        return
    rows: list[dict[str, Any]] = []
    jungfrau = data / "jungfrau_lysozyme_spots.npz"
    for key in ("q_local", "q_peakfinder8", "q_radial"):
        q = read_spot_lists(jungfrau, key)
        result = Indexer(UnitCell(36.9, 78.95, 78.95, 90, 90, 90)).index(q)
        rows.append({"set": f"JUNGFRAU {key}", "frames": len(q), "indexed": result.indexed.sum()})
    stills = data / "lcls_cspad_lysozyme_100stills.npz"
    cell = UnitCell(79.03, 79.03, 38.15, 90, 90, 90)
    with np.load(stills) as file:
        reference = np.linalg.inv(file["reciprocal_columns_reference"])
    lattices = Indexer(cell).index(read_spot_lists(stills)).lattices
    angle = misorientation_deg(lattices, reference, cell)
    name = "LCLS stills within 1 deg of their reference"
    rows.append({"set": name, "frames": len(angle), "indexed": int((angle < 1).sum())})
    print(table(rows))
    print(f"median angle to the reference {np.nanmedian(angle):.3f} deg", flush=True)


def _index_in_process(args: tuple[str, int, float]) -> tuple[int, float, float]:
    """Index for some seconds in a process of its own; return frames, seconds, memory [MiB]."""
    device, batch, duration_s = args
    torch.set_num_threads(1)
    cell = CELLS["lysozyme"]
    q = simulate_stills(cell, batch, (54,), seed=4, outlier_share=0.1).q
    indexer = Indexer(cell, device)
    indexer.index(q)
    done, begin_s = 0, time.perf_counter()
    while time.perf_counter() - begin_s < duration_s:
        indexer.index(q)
        done += batch
    elapsed_s = time.perf_counter() - begin_s
    return done, elapsed_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def speed(duration_s: float) -> None:
    """Print frames per second at 60 spots, default settings."""
    rows: list[dict[str, Any]] = []
    for n_processes in (1, 2):
        for batch in (8, 64, 512):
            context = multiprocessing.get_context("spawn")
            with context.Pool(n_processes) as pool:
                done = pool.map(_index_in_process, [("cpu", batch, duration_s)] * n_processes)
            rows.append({
                "device": "cpu",
                "processes": n_processes,
                "batch": batch,
                "frames/s": sum(count / elapsed_s for count, elapsed_s, _ in done),
                "MiB a process": max(memory for _, _, memory in done),
            })
    if torch.cuda.is_available():
        for batch in (100, 1000, 4000):
            count, elapsed_s, memory = _index_in_process(("cuda", batch, duration_s))
            row = {"device": "cuda", "processes": 1, "batch": batch}
            rows.append({**row, "frames/s": count / elapsed_s, "MiB a process": memory})
    print("\nSpeed at 60 spots a frame, one thread a process\n")
    print(table(rows))
    if not torch.cuda.is_available():
        print("cuda: not measured (no such device)", flush=True)


def cell_search(cells: Cells, n_seeds: int) -> None:
    """Print how often the cell is found from 50 frames."""
    rows = []
    for name in ("lysozyme", "monoclinic", "triclinic"):
        found, sure, n_done, spent_s = 0, 0, 0, []
        for seed in range(n_seeds):

            def make(cell: UnitCell = CELLS[name], seed: int = seed) -> dict[str, Any]:
                stills = simulate_stills(cell, 50, (40,), seed=100 + seed, outlier_share=0.2)
                begin_s = time.process_time()
                search = find_cell(stills.q)
                spent_s = time.process_time() - begin_s
                deviation = 1.0
                if search.forms:
                    first = search.forms[0].cell
                    lengths = np.array(first.lengths) / cell.lengths - 1
                    angles = (np.array(first.angles) - cell.angles) / 90
                    deviation = float(np.abs([*lengths, *angles]).max())
                return {"deviation": deviation, "sure": search.is_sure, "cpu_s": spent_s}

            value = cells.get(make, set=f"cell of {name}", seed=seed)
            if value is not None:
                n_done += 1
                found += value["deviation"] < 0.01
                sure += value["sure"]
                spent_s.append(value["cpu_s"])
        if n_done:
            row = {"cell": name, "seeds": n_done, "within 1 %": found, "said to be sure": sure}
            rows.append({**row, "median cpu [s]": float(np.median(spent_s))})
    print("\nCell from 50 frames of 40 spots and 20 % outliers, no prior\n")
    print(table(rows), flush=True)


def peers(cells: Cells, n_frames: int) -> None:
    """Print DIALS' search for basis vectors beside ours, on the same lists."""
    print("\nPeers, the same lists of lysozyme with 54 spots and 10 % outliers\n")
    script = Path(__file__).parent / "_dials_indexing.py"

    def make() -> list[dict[str, Any]]:
        cell = CELLS["lysozyme"]
        stills = simulate_stills(cell, n_frames, (54,), seed=5, outlier_share=0.1)
        ours = found_share(stills, cell)
        rows = [
            {
                "program": "autosteer",
                "right [%]": ours["all found [%]"],
                "median [deg]": ours["median [deg]"],
                "frames/cpu s": ours["frames/cpu s"],
            }
        ]
        with tempfile.TemporaryDirectory() as folder:
            given, answer = Path(folder) / "given.npz", Path(folder) / "answer.npz"
            np.savez(given, q=stills.q, cell=[*cell.lengths, *cell.angles])
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            environment.pop("PYTHONPATH", None)
            command = [DIALS_PYTHON, script, given, answer]
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no output"])[-1]
                return [*rows, {"program": f"dials: not measured ({last})"}]
            with np.load(answer) as file:
                for method in ("real_space_grid_search", "fft1d"):
                    angle = misorientation_deg(
                        file[method], stills.lattices[: len(file[method]), 0], cell
                    )
                    right = angle < RIGHT_DEG
                    rows.append({
                        "program": f"DIALS {method}",
                        "right [%]": 100 * float(right.mean()),
                        "median [deg]": float(np.median(angle[right])) if right.any() else np.nan,
                        "frames/cpu s": len(angle) / float(file[f"{method}_cpu_s"]),
                    })
        return rows

    rows = cells.get(make, set="peers", frames=n_frames)
    if rows is not None:
        print(table([row for row in rows if len(row) > 1]))
        for row in rows:
            if len(row) == 1:
                print(row["program"])
    sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200, help="frames of each simulated set")
    parser.add_argument("--lists", type=int, default=1000, help="lists without a lattice")
    parser.add_argument("--seeds", type=int, default=20, help="seeds of the cell search")
    parser.add_argument("--speed-s", type=float, default=10.0, help="seconds of each speed")
    parser.add_argument("--budget-s", type=float, default=3600.0, help="no new cell after this")
    parser.add_argument("--only", nargs="*", help="names of the tables")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = Cells("indexing", options.budget_s)
    data = os.environ.get("AUTOSTEER_DATA")
    tables: dict[str, Callable[[], None]] = {
        "yields": lambda: yields(cells, options.frames),
        "false-accepts": lambda: false_accepts(cells, options.lists),
        "precision": lambda: precision(cells, options.frames),
        "measured": lambda: measured(Path(data) if data else None),
        "speed": lambda: speed(options.speed_s),
        "peers": lambda: peers(cells, min(options.frames, 40)),
        "cell-search": lambda: cell_search(cells, options.seeds),
    }
    unknown = set(options.only or ()) - set(tables)
    if unknown:
        parser.error(f"no table {', '.join(sorted(unknown))}: there are {', '.join(tables)}")
    for name, show in tables.items():
        if not options.only or name in options.only:
            show()


if __name__ == "__main__":
    main()
