"""How fast spots are found: NumPy in one and two processes, torch, and DIALS where it is there."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from autosteer.analysis.dense_spots import DenseSpotFinder
from autosteer.analysis.spots import SpotFinder

Frames = NDArray[np.uint16]
Row = dict[str, Any]

EDGES_PX = (1024, 1920)
BATCH_SIZES = (1, 4, 16, 64, 256)
_N_FRAMES = 16
_SPOTS = 60
_ROUNDS = 3
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
        rows += [numpy_speed(edge_px, processes) for processes in (1, 2)]
        rows.append(dials_speed(edge_px))
    rows.append(torch_speed(EDGES_PX[-1], "cpu", 4))
    rows += [torch_speed(EDGES_PX[-1], "cuda", size) for size in BATCH_SIZES]
    return rows


def numpy_speed(edge_px: int, processes: int) -> Row:
    """Measure `SpotFinder` with one thread in each of some processes."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=_work, args=(edge_px, barrier, results)) for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    told = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    slowest_s = max(seconds for seconds, _ in told)
    return _row(
        "SpotFinder (NumPy)",
        edge_px,
        f"{processes} x 1 thread",
        processes * _N_FRAMES * _ROUNDS / slowest_s,
        max(memory for _, memory in told),
    )


def _work(edge_px: int, barrier: Any, results: Any) -> None:
    """Search frames in a process and tell how long it took, and the memory that it needs."""
    frames = frames_of(edge_px, _N_FRAMES)
    finder = SpotFinder()
    finder.find(frames)
    barrier.wait()
    begin_s = time.perf_counter()
    for _ in range(_ROUNDS):
        finder.find(frames)
    seconds = time.perf_counter() - begin_s
    memory = psutil.Process().memory_info().rss - frames.nbytes
    results.put((seconds, memory / 2**20))


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
    what: str, edge_px: int, how: str, rate: float | str, memory: float | str
) -> dict[str, Any]:
    """Make a row of the table."""
    return {
        "finder": what,
        "frame": f"{edge_px} x {edge_px}",
        "run as": how,
        "frames/s": rate,
        "memory of a worker [MiB]": memory,
    }
