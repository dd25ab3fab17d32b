"""How fast spots are found and indexed: in processes, by torch, and by DIALS where it is there."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from _spot_yield import DISTANCE_MM, WAVELENGTH_ANGSTROM, crystal_frames
from numpy.typing import NDArray

from autosteer.analysis.analyser import FrameAnalyser
from autosteer.analysis.dense_spots import DenseSpotFinder
from autosteer.analysis.geometry_files import FileGeometry
from autosteer.analysis.indexing import Indexer
from autosteer.analysis.spots import SpotFinder
from autosteer.sims import LYSOZYME
from autosteer.sims.detector_kinds import MEDIUM, RAYONIX, KindSimulator

Frames = NDArray[Any]
Row = dict[str, Any]
Make = Callable[[int], tuple[Frames, Callable[[Frames], object]]]

EDGES_PX = (1024, 1920)
BATCH_SIZES = (1, 4, 16, 64, 256)
_N_FRAMES = 16
_SPOTS = 60
_ROUNDS = 3
_BATCH = 8
_FEWEST_SPOTS = 10
_SHARE_INDEXED = 0.75
_DIALS_FRAMES = (4, 24)
# It has to be told how many counts a photon makes.
_DIALS = ("nproc=2", "spotfinder.threshold.dispersion.gain=10")


def frames_of(edge_px: int, n_frames: int) -> Frames:
    """Make frames of 5 photons/px, 10 counts each, with 60 spots."""
    rng = np.random.default_rng(0)
    shape = (n_frames, 1, edge_px, edge_px)
    values = 10 * rng.poisson(5.0, shape) + rng.normal(40, 4, shape)
    for frame in values:
        for slow, fast in rng.integers(10, edge_px - 10, (_SPOTS, 2)):
            frame[0, slow - 1 : slow + 2, fast - 1 : fast + 2] += 300
    return np.rint(values).clip(0, 65_535).astype(np.uint16)


def speeds() -> list[Row]:
    """Measure everything that can be measured here."""
    rows = []
    for edge_px in EDGES_PX:
        rows += [
            speed_in_processes("SpotFinder (NumPy)", finding, edge_px, processes)
            for processes in (1, 2)
        ]
        rows.append(dials_speed(edge_px))
    rows += [
        speed_in_processes(
            f"finder, indexer and tables, batches of {_BATCH}", analysing, EDGES_PX[0], processes
        )
        for processes in (1, 2)
    ]
    rows.append(torch_speed(EDGES_PX[-1], "cpu", 4))
    rows += [torch_speed(EDGES_PX[-1], "cuda", size) for size in BATCH_SIZES]
    return rows


def speed_in_processes(what: str, make: Make, edge_px: int, processes: int) -> Row:
    """Measure work on frames with one thread in each of some processes."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=_work, args=(make, edge_px, barrier, results))
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    told = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    slowest_s, cpu_s, memory = (max(values) for values in zip(*told, strict=True))
    return _row(
        what,
        edge_px,
        f"{processes} x 1 thread",
        processes * _N_FRAMES * _ROUNDS / slowest_s,
        memory,
        1e3 * cpu_s / (_N_FRAMES * _ROUNDS),
    )


def _work(make: Make, edge_px: int, barrier: Any, results: Any) -> None:
    """Do the work in a process and tell how long it took, and the memory that it needs."""
    torch.set_num_threads(1)
    frames, run = make(edge_px)
    run(frames)
    barrier.wait()
    begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
    for _ in range(_ROUNDS):
        run(frames)
    seconds, cpu_s = time.perf_counter() - begin_s, time.process_time() - begin_cpu_s
    memory = psutil.Process().memory_info().rss - frames.nbytes
    results.put((seconds, cpu_s, memory / 2**20))


def finding(edge_px: int) -> tuple[Frames, Callable[[Frames], object]]:
    """Make frames, and `SpotFinder` for them."""
    return frames_of(edge_px, _N_FRAMES), SpotFinder().find


def analysing(edge_px: int) -> tuple[Frames, Callable[[Frames], object]]:
    """Make frames of one crystal each, and the whole analysis of them in batches."""
    kind = replace(RAYONIX, panel_shape=(edge_px, edge_px))
    simulator = KindSimulator(kind, MEDIUM, distance_mm=DISTANCE_MM)
    frames, _ = crystal_frames(simulator, MEDIUM, _N_FRAMES, 0)
    geometry = FileGeometry.of_panels(simulator.detector, np.array([WAVELENGTH_ANGSTROM]))
    analyser = FrameAnalyser(
        geometry, frames.shape[1:], SpotFinder(), Indexer(LYSOZYME), _FEWEST_SPOTS
    )

    def run(frames: Frames) -> None:
        for first in range(0, len(frames), _BATCH):
            batch = frames[first : first + _BATCH]
            shots = np.arange(first, first + len(batch))
            tables = analyser.analyse(batch, shots.astype(np.uint64), shots)
            indexed = sum(tables["indexing"].column("indexed").to_pylist())
            # Frames that are not indexed would be quick.
            if indexed < _SHARE_INDEXED * len(batch):
                raise RuntimeError(f"only {indexed} of {len(batch)} frames were indexed")

    return frames, run


def torch_speed(edge_px: int, device: str, batch_size: int) -> Row:
    """Measure `DenseSpotFinder` with batches of a size."""
    what = f"DenseSpotFinder (torch, {device})"
    how = f"batches of {batch_size}"
    if device == "cuda" and not torch.cuda.is_available():
        return _row(what, edge_px, how, "not measured: no CUDA device", "-")
    frames = frames_of(edge_px, min(batch_size, _N_FRAMES))
    frames = np.resize(frames, (batch_size, *frames.shape[1:]))
    finder = DenseSpotFinder(device, frames_together=batch_size)
    seconds = _best(lambda: finder.find(frames))
    memory = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else "-"
    name = (
        torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    )
    return _row(what, edge_px, f"{how}, {name}", batch_size / seconds, memory)


def _best(run: Callable[[], object]) -> float:
    """Return the shortest of some times, after a first run."""
    run()
    seconds = []
    for _ in range(_ROUNDS):
        begin_s = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin_s)
    return min(seconds)


def dials_speed(edge_px: int) -> Row:
    """Measure ``dials.find_spots``, its start taken off, on two processes."""
    if shutil.which("dials.find_spots") is None or shutil.which("dials.import") is None:
        return _row("dials.find_spots", edge_px, "-", "not installed (apt-get install dials)", "-")
    seconds = []
    for n_frames in _DIALS_FRAMES:
        with tempfile.TemporaryDirectory() as folder:
            for number, frame in enumerate(frames_of(edge_px, n_frames)):
                _write_smv(Path(folder, f"frame_{number:05d}.img"), frame[0])
            images = sorted(path.name for path in Path(folder).glob("*.img"))
            failure = _run(folder, "dials.import", *images, "convert_sequences_to_stills=True")
            begin_s = time.perf_counter()
            failure = failure or _run(folder, "dials.find_spots", "imported.expt", *_DIALS)
            seconds.append(time.perf_counter() - begin_s)
            if failure:
                return _row("dials.find_spots", edge_px, "-", f"failed: {failure}", "-")
    rate = (_DIALS_FRAMES[1] - _DIALS_FRAMES[0]) / (seconds[1] - seconds[0])
    return _row("dials.find_spots", edge_px, "nproc=2, start taken off", rate, "-")


def _run(folder: str, *command: str) -> str:
    """Run a command in a folder; return the end of what it says if it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return ""
    return (done.stderr or done.stdout).strip().splitlines()[-1][:100]


def _write_smv(path: Path, frame: Frames) -> None:
    """Write a frame as SMV, a header of text before the numbers, which DIALS reads."""
    fields: Mapping[str, object] = {
        "HEADER_BYTES": 512,
        "DIM": 2,
        "BYTE_ORDER": "little_endian",
        "TYPE": "unsigned_short",
        "SIZE1": frame.shape[1],
        "SIZE2": frame.shape[0],
        "PIXEL_SIZE": 0.1,
        "DISTANCE": 120.0,
        "WAVELENGTH": 1.3,
        "BEAM_CENTER_X": frame.shape[1] / 20,
        "BEAM_CENTER_Y": frame.shape[0] / 20,
        "PHI": 0,
        "OSC_START": 0,
        "OSC_RANGE": 0,
        "TWOTHETA": 0,
        "DETECTOR_SN": 1,
        "BEAMLINE": "none",
    }
    header = "{\n" + "".join(f"{name}={value};\n" for name, value in fields.items()) + "}\f"
    path.write_bytes(header.encode().ljust(512) + frame.astype("<u2").tobytes())


def _row(
    what: str,
    edge_px: int,
    how: str,
    rate: float | str,
    memory: float | str,
    cpu_ms: float | str = "-",
) -> dict[str, Any]:
    """Make a row of the table."""
    return {
        "what": what,
        "frame": f"{edge_px} x {edge_px}",
        "run as": how,
        "frames/s": rate,
        "cpu of a frame [ms]": cpu_ms,
        "memory of a worker [MiB]": memory,
    }
