"""``autosteer index``: lattices of a known cell in files of frames or spot lists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autosteer.cli._frame_options import (
    BeamCenter,
    Cell,
    Dataset,
    Device,
    DistanceMm,
    Geometry,
    JsonOutput,
    Mask,
    MaxSpots,
    MinSnr,
    PixelUm,
    Saturation,
    Wavelength,
)
from autosteer.cli._output import clear_errors, number_or_none, print_line, wide_console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from numpy.typing import NDArray

    from autosteer.analysis.executors import Executor, Work
    from autosteer.analysis.offline import (
        FramesToIndex,
        IndexingWork,
        LatticeBatch,
        ListsToIndex,
    )
    from autosteer.cli._frame_reader import FrameReader
    from autosteer.physics import UnitCell


def index(
    files: Annotated[
        list[Path],
        typer.Argument(help="HDF5 or NPZ files of frames, NPZ or CrystFEL streams of spots."),
    ],
    cell: Cell,
    key: Annotated[
        str | None, typer.Option(help="Array of spot lists in an NPZ file, if there are several.")
    ] = None,
    dataset: Dataset = None,
    mask: Mask = None,
    geometry: Geometry = None,
    distance_mm: DistanceMm = None,
    pixel_um: PixelUm = None,
    wavelength: Wavelength = None,
    beam_center: BeamCenter = None,
    min_snr: MinSnr = 5.0,
    max_spots: MaxSpots = 500,
    saturation: Saturation = None,
    tolerance: Annotated[
        float, typer.Option(help="Largest relative deviation of a crystal's cell.")
    ] = 0.02,
    false_accept: Annotated[
        float,
        typer.Option(help="Bound on how often spots without a lattice may be called indexed."),
    ] = 0.01,
    device: Device = "cpu",
    processes: Annotated[int, typer.Option(min=1, help="Processes that share the work.")] = 1,
    ray: Annotated[
        str | None,
        typer.Option(help="Have them run on the Ray cluster at this address; 'local' starts one."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the results to a .npz, .parquet, .stream or .cxi file."),
    ] = None,
    tables: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the tables of a run, as Parquet: indexing, quality, spots with their "
            "Miller indices, and all lattices."
        ),
    ] = None,
    min_spots_hit: Annotated[
        int, typer.Option(min=1, help="Spots that make a frame a hit, in these tables.")
    ] = 8,
    json_output: JsonOutput = False,
) -> None:
    """Find the lattice of a known cell in frames, or in lists of spots."""
    from functools import partial

    from autosteer.cli._progress import counting

    with clear_errors():
        from autosteer.analysis.columns import write_tables
        from autosteer.analysis.frames import read_spot_lists
        from autosteer.analysis.offline import (
            IndexingWork,
            frames_to_index,
            lattice_columns,
            lists_to_index,
            result_tables,
        )
        from autosteer.cli._frame_reader import (
            FrameReader,
            check_results_file,
            gives_spot_lists,
            read_beam_center,
            read_cell,
        )

        if out is not None:
            check_results_file(out, files, (".stream", ".cxi"))
        unit_cell = read_cell(cell)
        frames = FrameReader(
            dataset=dataset,
            mask=mask,
            geometry=geometry,
            distance_mm=distance_mm,
            pixel_um=pixel_um,
            wavelength_angstrom=wavelength,
            beam_center_px=read_beam_center(beam_center),
            min_snr=min_snr,
            max_spots=max_spots,
            saturation=saturation,
            device=device,
        )
        make = partial(
            IndexingWork.for_cell,
            unit_cell,
            device,
            cell_tolerance=tolerance,
            false_accept=false_accept,
        )
        found: list[LatticeBatch] = []
        done = 0

        def items() -> Iterator[FramesToIndex | ListsToIndex]:
            for file in files:
                if gives_spot_lists(file, key, dataset):
                    yield from lists_to_index(file, read_spot_lists(file, key))
                else:
                    yield from frames_to_index(*frames.read(file))

        with (
            _executor(make, processes, ray, device) as executor,
            counting("frames", quiet=json_output) as count,
        ):
            for batch in executor.map(items()):
                found.append(batch)
                done += len(batch.n_spots)
                count(done)
        columns = lattice_columns(found)
        if out is not None:
            _write(out, files, found, frames, unit_cell, columns)
        if tables is not None:
            write_tables(tables, result_tables(found, min_spots_hit))
        if json_output:
            _print_json(columns)
        else:
            _print_table(columns)


def _executor(
    make: Callable[[], IndexingWork], processes: int, ray: str | None, device: str
) -> Executor:
    """Choose where the work is done."""
    from functools import partial

    from autosteer.analysis.executors import InProcessExecutor, ProcessExecutor
    from autosteer.analysis.ray_executor import RayExecutor

    if ray is not None:
        return RayExecutor(
            partial(_on_one_thread, make),
            processes,
            gpus_per_worker=1 if device.startswith("cuda") else 0,
            address=None if ray == "local" else ray,
        )
    if processes == 1:
        return InProcessExecutor(make)
    return ProcessExecutor(partial(_on_one_thread, make), processes)


def _on_one_thread(make: Callable[[], Work]) -> Work:
    """Begin a process that is one of several."""
    import torch

    torch.set_num_threads(1)
    return make()


def _write(
    out: Path,
    files: list[Path],
    found: list[LatticeBatch],
    frames: FrameReader,
    cell: UnitCell,
    columns: Mapping[str, NDArray[Any]],
) -> None:
    """Write the results as the file's ending says."""
    from autosteer.analysis.columns import write_columns
    from autosteer.analysis.crystfel_files import write_cxi, write_stream
    from autosteer.analysis.offline import SpotBatch
    from autosteer.contracts import AnalysisError

    if out.suffix == ".stream":
        write_stream(out, found, cell)
    elif out.suffix == ".cxi":
        spots = [
            SpotBatch(one.path, one.first_frame, one.spots)
            for one in found
            if one.spots is not None
        ]
        if len(spots) != len(found):
            raise AnalysisError(f"{out}: spot lists have no positions: a CXI file is of frames")
        write_cxi(out, frames.open(files[0]), spots)
    else:
        write_columns(out, columns)


def _print_json(columns: Mapping[str, NDArray[Any]]) -> None:
    """Print the columns frame by frame."""
    import json

    plain = {
        name: [number_or_none(one) for one in values]
        if values.dtype.kind == "f"
        else values.tolist()
        for name, values in columns.items()
    }
    names = list(plain)
    frames = [dict(zip(names, row, strict=True)) for row in zip(*plain.values(), strict=True)]
    print_line(json.dumps({"frames": frames}))


def _print_table(columns: Mapping[str, NDArray[Any]]) -> None:
    """Print one line for each frame, and a last one for all."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2))
    table.add_column("file", no_wrap=True)
    for heading in ("frame", "spots", "lattices", "on the best", "cell", "sigma (deg)"):
        table.add_column(heading, justify="right")
    for row in range(len(columns["frame"])):
        cells = [Path(columns["path"][row]).name]
        cells += [str(columns[name][row]) for name in ("frame", "n_spots")]
        if columns["indexed"][row]:
            lengths = " ".join(f"{columns[name][row]:.2f}" for name in ("a", "b", "c"))
            angles = " ".join(f"{columns[name][row]:.2f}" for name in ("alpha", "beta", "gamma"))
            cells += [str(columns[name][row]) for name in ("n_lattices", "n_indexed_spots")]
            cells += [f"{lengths}  {angles}"]
            cells += [f"{columns['orientation_sigma_deg'][row]:.3f}"]
        else:
            cells += ["0", "", columns["reason"][row].replace("_", " "), ""]
        table.add_row(*cells)
    wide_console().print(table)
    print_line(f"indexed {int(columns['indexed'].sum())} of {len(columns['frame'])} frames")
