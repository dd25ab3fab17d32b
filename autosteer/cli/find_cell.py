"""``autosteer find-cell``: the unit cell of crystals of which nothing is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autosteer.cli._frame_options import (
    BeamCenter,
    Dataset,
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
from autosteer.cli._output import clear_errors, print_line, wide_console

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from autosteer.analysis.cell_search import CellSearch, CrystalForm
    from autosteer.cli._frame_reader import FrameReader
    from autosteer.physics import UnitCell


def find_cell(
    files: Annotated[
        list[Path],
        typer.Argument(help="HDF5 or NPZ files of frames, NPZ or CrystFEL streams of spots."),
    ],
    frames: Annotated[
        int, typer.Option(min=5, help="Frames to look at: those with the most spots.")
    ] = 50,
    shortest: Annotated[
        float, typer.Option(help="Shortest edge of the primitive cell, in angstrom.")
    ] = 20.0,
    longest: Annotated[
        float, typer.Option(help="Longest edge of the primitive cell, in angstrom.")
    ] = 200.0,
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
    device: Annotated[str, typer.Option(help="Torch device that does the work.")] = "cpu",
    json_output: JsonOutput = False,
) -> None:
    """Find the unit cell from frames, or lists of spots, with no prior knowledge."""
    from autosteer.cli._progress import counting

    with clear_errors():
        from autosteer.analysis import cell_search
        from autosteer.cli._frame_reader import FrameReader, read_beam_center

        reader = FrameReader(
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
        )
        lists = _spot_lists(files, key, reader, quiet=json_output)
        with counting("% of the search", quiet=json_output) as count:
            search = cell_search.find_cell(
                lists,
                max_frames=frames,
                shortest_angstrom=shortest,
                longest_angstrom=longest,
                device=device,
                progress=lambda share: count(round(100 * share)),
            )
        if json_output:
            _print_json(search)
        else:
            _print_table(search)
        if not search.forms:
            raise typer.Exit(1)


def _spot_lists(
    files: list[Path], key: str | None, reader: FrameReader, *, quiet: bool
) -> NDArray[Any]:
    """Read the spot lists of files, or find the spots of their frames."""
    from autosteer.analysis.frames import read_spot_lists
    from autosteer.analysis.offline import joined_lists, spots_of_frames
    from autosteer.cli._frame_reader import gives_spot_lists
    from autosteer.cli._progress import counting

    parts = []
    done = 0
    with counting("frames", quiet=quiet) as count:
        for file in files:
            if gives_spot_lists(file, key, reader.dataset):
                parts.append(read_spot_lists(file, key))
                continue
            source, file_geometry, finder = reader.read(file)
            for batch in spots_of_frames(source, finder):
                q = file_geometry.scattering_vectors(batch.spots, batch.first_frame)
                parts.append(batch.spots.lists(q))
                done += len(batch.spots.n_spots)
                count(done)
    return joined_lists(parts)


def _describe(form: CrystalForm) -> dict[str, Any]:
    """Put a crystal form into plain numbers."""
    return {
        "system": form.system,
        "centering": form.cell.centering,
        "cell": [*form.cell.lengths, *form.cell.angles],
        "cell_sigma": form.cell_sigma.tolist(),
        "niggli": [*form.niggli.lengths, *form.niggli.angles],
        "nearly": None if form.nearly is None else _option(form.nearly),
        "n_frames": len(form.frames),
        "log_odds": form.log_odds,
    }


def _option(cell: UnitCell) -> str:
    """Write a cell as the option ``--cell`` takes it."""
    values = ",".join(f"{value:.2f}" for value in (*cell.lengths, *cell.angles))
    return f"{values},{cell.centering}"


def _print_json(search: CellSearch) -> None:
    """Print the crystal forms."""
    import json

    forms = [_describe(form) for form in search.forms]
    print_line(json.dumps({"n_frames": search.n_frames, "sure": search.is_sure, "forms": forms}))


def _print_table(search: CellSearch) -> None:
    """Print a line for each crystal form, and how to go on."""
    from rich.table import Table

    if not search.forms:
        print_line(
            f"no cell found in {search.n_frames} frames: give more frames with many spots, check "
            "geometry and wavelength, or widen --shortest and --longest"
        )
        return
    table = Table(box=None, padding=(0, 2))
    for heading in ("form", "lattice", "cell", "sigma", "frames", "log odds"):
        table.add_column(heading, justify="left" if heading == "lattice" else "right")
    for number, form in enumerate(search.forms):
        lengths = " ".join(f"{length:.2f}" for length in form.cell.lengths)
        angles = " ".join(f"{angle:.2f}" for angle in form.cell.angles)
        table.add_row(
            str(number + 1),
            f"{form.system} {form.cell.centering}",
            f"{lengths}  {angles}",
            " ".join(f"{sigma:.2f}" for sigma in form.cell_sigma),
            f"{len(form.frames)} of {search.n_frames}",
            f"{form.log_odds:.0f}",
        )
    wide_console().print(table)
    for number, form in enumerate(search.forms):
        if form.nearly is not None:
            print_line(f"form {number + 1} is nearly of higher symmetry: {_option(form.nearly)}")
    sure = "sure" if search.is_sure else "not sure: give more frames, or compare with what is known"
    print_line(f"{sure}; autosteer index ... --cell {_option(search.forms[0].cell)}")
