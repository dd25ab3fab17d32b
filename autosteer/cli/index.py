"""``autosteer index``: lattices of a known cell in files of frames or spot lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autosteer.cli._frame_options import (
    Dataset,
    Geometry,
    JsonOutput,
    Mask,
    MaxSpots,
    MinSnr,
    Saturation,
)
from autosteer.cli._output import clear_errors, number_or_none, print_line, wide_console

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from numpy.typing import NDArray

    from autosteer.analysis.frames import FrameSource
    from autosteer.analysis.indexing import Indexer
    from autosteer.analysis.offline import LatticeBatch
    from autosteer.physics import UnitCell


def index(
    files: Annotated[
        list[Path],
        typer.Argument(help="HDF5 or NPZ files of frames, NPZ or CrystFEL streams of spots."),
    ],
    cell: Annotated[
        str, typer.Option(help="a,b,c,alpha,beta,gamma[,centering] in angstrom and degrees.")
    ],
    key: Annotated[
        str | None, typer.Option(help="Array of spot lists in an NPZ file, if there are several.")
    ] = None,
    dataset: Dataset = None,
    mask: Mask = None,
    geometry: Geometry = None,
    distance_mm: Annotated[float | None, typer.Option(help="Sample to detector, in mm.")] = None,
    pixel_um: Annotated[float | None, typer.Option(help="Pixel edge, in um.")] = None,
    wavelength: Annotated[float | None, typer.Option(help="Wavelength, in angstrom.")] = None,
    beam_center: Annotated[
        str | None, typer.Option(help="slow,fast where the beam meets the detector, in pixels.")
    ] = None,
    min_snr: MinSnr = 5.0,
    max_spots: MaxSpots = 500,
    saturation: Saturation = None,
    tolerance: Annotated[
        float, typer.Option(help="Largest relative deviation of a crystal's cell.")
    ] = 0.02,
    device: Annotated[str, typer.Option(help="Torch device that does the work.")] = "cpu",
    out: Annotated[
        Path | None,
        typer.Option(help="Write the results to a .npz, .parquet, .stream or .cxi file."),
    ] = None,
    json_output: JsonOutput = False,
) -> None:
    """Find the lattice of a known cell in frames, or in lists of spots."""
    from autosteer.cli._progress import counting

    with clear_errors():
        from autosteer.analysis.columns import check_ending
        from autosteer.analysis.frames import holds_spot_lists, read_spot_lists
        from autosteer.analysis.indexing import Indexer
        from autosteer.analysis.offline import lattice_columns, lattices_of_lists
        from autosteer.contracts import AnalysisError
        from autosteer.physics import UnitCell

        if out is not None:
            check_ending(out, (".stream", ".cxi"))
        try:
            unit_cell = UnitCell.from_text(cell)
        except ValueError as error:
            raise AnalysisError(f"--cell: {error}") from error
        frames = _FramesToLattices(
            dataset=dataset,
            mask=mask,
            geometry=geometry,
            distance_mm=distance_mm,
            pixel_um=pixel_um,
            wavelength_angstrom=wavelength,
            beam_center_px=_beam_center(beam_center),
            min_snr=min_snr,
            max_spots=max_spots,
            saturation=saturation,
        )
        indexer = Indexer(unit_cell, device, cell_tolerance=tolerance)
        found: list[LatticeBatch] = []
        done = 0
        with counting("frames", quiet=json_output) as count:
            for file in files:
                if key is not None or (dataset is None and holds_spot_lists(file)):
                    batches = lattices_of_lists(file, read_spot_lists(file, key), indexer)
                else:
                    batches = frames.lattices(file, indexer)
                for batch in batches:
                    found.append(batch)
                    done += len(batch.n_spots)
                    count(done)
        columns = lattice_columns(found)
        if out is not None:
            _write(out, files, found, frames, unit_cell, columns)
        if json_output:
            _print_json(columns)
        else:
            _print_table(columns)


@dataclass(frozen=True, slots=True)
class _FramesToLattices:
    """How frames are read, seen and searched for spots."""

    dataset: str | None
    mask: Path | None
    geometry: Path | None
    distance_mm: float | None
    pixel_um: float | None
    wavelength_angstrom: float | None
    beam_center_px: tuple[float, float] | None
    min_snr: float
    max_spots: int
    saturation: float | None

    def lattices(self, file: Path, indexer: Indexer) -> Iterator[LatticeBatch]:
        """Index the frames of a file."""
        from autosteer.analysis.detectors import mask_of_frames
        from autosteer.analysis.offline import geometry_of_frames, lattices_of_frames
        from autosteer.analysis.spots import SpotFinder

        source = self.open(file)
        geometry = geometry_of_frames(
            source,
            distance_mm=self.distance_mm,
            pixel_um=self.pixel_um,
            wavelength_angstrom=self.wavelength_angstrom,
            beam_center_px=self.beam_center_px,
        )
        finder = SpotFinder(
            min_snr=self.min_snr,
            max_spots=self.max_spots,
            mask=mask_of_frames(source, self.mask),
            saturation=geometry.saturation if self.saturation is None else self.saturation,
        )
        return lattices_of_frames(source, geometry, finder, indexer)

    def open(self, file: Path) -> FrameSource:
        """Open frames, with the geometry that was given or that they hold."""
        from autosteer.analysis.frames import read_frames
        from autosteer.analysis.geometry_files import describes_itself
        from autosteer.contracts import AnalysisError

        flat = (self.distance_mm, self.pixel_um, self.beam_center_px)
        if self.geometry is not None and any(value is not None for value in flat):
            raise AnalysisError(
                f"{self.geometry}: a geometry file says distance, pixel size and beam center: "
                "leave --distance-mm, --pixel-um and --beam-center out"
            )
        if self.geometry is None and self.distance_mm is None and describes_itself(file):
            return read_frames(file, self.dataset, file)
        return read_frames(file, self.dataset, self.geometry)


def _write(
    out: Path,
    files: list[Path],
    found: list[LatticeBatch],
    frames: _FramesToLattices,
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
        if len(files) != 1 or len(spots) != len(found):
            raise AnalysisError(f"{out}: a CXI file takes the spots of one file of frames")
        write_cxi(out, frames.open(files[0]), spots)
    else:
        write_columns(out, columns)


def _beam_center(text: str | None) -> tuple[float, float] | None:
    """Read ``slow,fast``."""
    from autosteer.contracts import AnalysisError

    if text is None:
        return None
    try:
        slow, fast = (float(word) for word in text.split(","))
    except ValueError:
        raise AnalysisError(
            f"--beam-center: '{text}' is no place: write slow,fast in pixels, as 511.5,511.5"
        ) from None
    return slow, fast


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
