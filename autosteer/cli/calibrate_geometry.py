"""``autosteer calibrate geometry``: where the detector is, from frames of a known cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autosteer.cli._frame_options import (
    BeamCenter,
    Cell,
    Dataset,
    DistanceMm,
    FilesOfFrames,
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
    from autosteer.analysis.calibration import GeometryCalibration
    from autosteer.analysis.calibration_geometry import GeometryCalibrator
    from autosteer.analysis.indexing import Indexer
    from autosteer.cli._frame_reader import FrameReader


def calibrate_geometry(
    files: FilesOfFrames,
    cell: Cell,
    calibrant: Annotated[
        bool,
        typer.Option(
            "--calibrant",
            help="The cell is known beyond doubt: hold it fixed and calibrate the distance, too.",
        ),
    ] = False,
    search_px: Annotated[
        float, typer.Option(help="How far the beam center may be off along each axis, in pixels.")
    ] = 8.0,
    valid_from_pulse: Annotated[
        int, typer.Option(min=0, help="First pulse that is to be analysed with the result.")
    ] = 0,
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
    out: Annotated[
        Path | None,
        typer.Option(help="Write the geometry to a .json file, which --geometry takes."),
    ] = None,
    json_output: JsonOutput = False,
) -> None:
    """Find beam center and panel shifts, and of a calibrant the distance."""
    with clear_errors():
        from autosteer.analysis.calibration import Trust, describe
        from autosteer.analysis.columns import check_folder
        from autosteer.analysis.geometry_files import write_geometry
        from autosteer.analysis.indexing import Indexer
        from autosteer.cli._frame_reader import FrameReader, read_beam_center, read_cell
        from autosteer.contracts import AnalysisError

        if out is not None and out.suffix != ".json":
            raise AnalysisError(f"{out}: a calibrated geometry is written to a .json file")
        if out is not None:
            check_folder(out)
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
        indexer = Indexer(read_cell(cell))
        calibrator = _collect(
            files,
            reader,
            indexer,
            calibrant=calibrant,
            search_px=search_px,
            quiet=json_output,
        )
        calibration = calibrator.calibrate(valid_from_pulse)
        if json_output:
            _print_json(calibration)
        else:
            _print_table(calibration)
        if out is None:
            return
        if calibration.trust is Trust.UNTRUSTED:
            raise AnalysisError(
                f"{out}: not written, for the calibration is untrusted: take more frames, or "
                "start with a better geometry"
            )
        notes = {"calibrations": [describe(one) for one in calibration.calibrations]}
        write_geometry(out, calibration.geometry, notes)


def _collect(
    files: list[Path],
    reader: FrameReader,
    indexer: Indexer,
    *,
    calibrant: bool,
    search_px: float,
    quiet: bool,
) -> GeometryCalibrator:
    """Find the spots of all frames of all files."""
    import numpy as np

    from autosteer.analysis.calibration_geometry import GeometryCalibrator
    from autosteer.analysis.offline import spots_of_frames
    from autosteer.analysis.spot_positions import SpotPositions
    from autosteer.cli._progress import counting
    from autosteer.contracts import AnalysisError

    calibrator: GeometryCalibrator | None = None
    first_origin = np.zeros(0)
    done = 0
    with counting("frames", quiet=quiet) as count:
        for file in files:
            source, geometry, finder = reader.read(file)
            if calibrator is None:
                calibrator = GeometryCalibrator(
                    indexer, geometry, calibrant=calibrant, search_px=search_px
                )
                first_origin = geometry.detector.origin_mm
            elif not np.array_equal(geometry.detector.origin_mm, first_origin):
                raise AnalysisError(
                    f"{file}: was taken with another geometry than {files[0]}: calibrate the files "
                    "of one geometry"
                )
            for batch in spots_of_frames(source, finder):
                n_frames = len(batch.spots.n_spots)
                within = slice(batch.first_frame, batch.first_frame + n_frames)
                wavelength = geometry.wavelength_angstrom[within]
                calibrator.add(SpotPositions.of_spots(batch.spots, wavelength))
                done += n_frames
                count(done)
    if calibrator is None:
        raise AnalysisError("no file of frames was given")
    return calibrator


def _print_json(calibration: GeometryCalibration) -> None:
    """Print everything that was found."""
    import json

    from autosteer.analysis.calibration import describe

    content = {
        "n_frames": calibration.n_frames,
        "trust": calibration.trust.name.lower(),
        "calibrations": [describe(one) for one in calibration.calibrations],
    }
    print_line(json.dumps(content))


def _print_table(calibration: GeometryCalibration) -> None:
    """Print one line for each number, and a last one for all."""
    from rich.table import Table

    from autosteer.analysis.calibration import WHOLE_DETECTOR, Quantity

    pixel_mm = calibration.geometry.detector.pixel_size_mm
    table = Table(box=None, padding=(0, 2))
    for heading in ("what", "panel", "value", "sigma", "in pixels", "trust", "id"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for one in calibration.calibrations:
        is_scale = one.quantity > Quantity.SHIFT_Z
        unit = "%" if is_scale else "um"
        factor = 100 if is_scale else 1000
        table.add_row(
            one.quantity.name.lower().replace("_", " "),
            "all" if one.panel == WHOLE_DETECTOR else str(one.panel),
            f"{one.value * factor:.3f} {unit}",
            f"{one.sigma * factor:.3f} {unit}",
            "" if is_scale else f"{one.value / pixel_mm:.3f}",
            one.trust.name.lower(),
            f"{one.id:016x}",
        )
    wide_console().print(table)
    print_line(
        f"{calibration.trust.name.lower()}, from {calibration.n_frames} indexed frames; valid "
        f"from pulse {calibration.valid_from_pulse} on"
    )
