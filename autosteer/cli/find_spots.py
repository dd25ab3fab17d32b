"""``autosteer find-spots``: Bragg spots on the frames of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autosteer.cli._frame_options import (
    BeamCenter,
    Dataset,
    Device,
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
from autosteer.cli._output import clear_errors, number_or_none, print_line, wide_console

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from autosteer.analysis.frames import FileGeometry, FrameSource
    from autosteer.analysis.offline import SpotBatch
    from autosteer.analysis.rings import RingSpots
    from autosteer.cli._frame_reader import FrameReader


def find_spots(
    files: FilesOfFrames,
    dataset: Dataset = None,
    mask: Mask = None,
    geometry: Geometry = None,
    distance_mm: DistanceMm = None,
    pixel_um: PixelUm = None,
    wavelength: Wavelength = None,
    beam_center: BeamCenter = None,
    min_snr: MinSnr = 5.0,
    min_pixels: Annotated[int, typer.Option(help="Pixels of the smallest spot.")] = 2,
    max_pixels: Annotated[int, typer.Option(help="Pixels of the largest spot.")] = 200,
    max_spots: MaxSpots = 500,
    saturation: Saturation = None,
    device: Device = "cpu",
    show: Annotated[
        bool, typer.Option("--show", help="Draw a frame of each file with its spots, as PNG.")
    ] = False,
    show_frame: Annotated[
        int | None,
        typer.Option(help="Number of the frame to draw; that with most spots by default."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the results to a .npz, .parquet or .cxi file.")
    ] = None,
    json_output: JsonOutput = False,
) -> None:
    """Find Bragg spots on frames; with a geometry, say which lie on rings of ice or powder."""
    from autosteer.cli._progress import counting

    with clear_errors():
        from autosteer.analysis.columns import write_columns
        from autosteer.analysis.crystfel_files import write_cxi
        from autosteer.analysis.detectors import mask_of_frames
        from autosteer.analysis.offline import spot_columns, spots_of_frames
        from autosteer.analysis.spot_finders import make_finder
        from autosteer.cli._frame_reader import (
            FrameReader,
            check_results_file,
            read_beam_center,
        )

        if out is not None:
            check_results_file(out, files, (".cxi",))
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
            device=device,
        )
        found: list[SpotBatch] = []
        rings: list[RingSpots | None] = []
        pictures: list[Path] = []
        done = 0
        with counting("frames", quiet=json_output) as count:
            for file in files:
                source = reader.open(file)
                known = _geometry(source, reader)
                finder = make_finder(
                    device,
                    min_snr=min_snr,
                    min_pixels=min_pixels,
                    max_pixels=max_pixels,
                    max_spots=max_spots,
                    mask=mask_of_frames(source, mask),
                    saturation=saturation,
                )
                of_file = []
                for batch in spots_of_frames(source, finder):
                    of_file.append(batch)
                    done += len(batch.spots.n_spots)
                    count(done)
                found += of_file
                rings += [_rings(batch, known) for batch in of_file]
                if show:
                    pictures.append(_draw(source, of_file, known, show_frame))
        if out is not None and out.suffix == ".cxi":
            write_cxi(out, source, found)
        elif out is not None:
            write_columns(out, {**spot_columns(found), **_ring_columns(rings)})
        if json_output:
            _print_json(found, rings, pictures)
        else:
            _print_table(found, rings)
            for picture in pictures:
                print_line(f"wrote {picture}")


def _geometry(source: FrameSource, reader: FrameReader) -> FileGeometry | None:
    """Return the geometry of frames, where one is known."""
    from autosteer.analysis.offline import geometry_of_frames

    given = (reader.distance_mm, reader.beam_center_px)
    if source.geometry is None and given == (None, None):
        return None
    return geometry_of_frames(
        source,
        distance_mm=reader.distance_mm,
        pixel_um=reader.pixel_um,
        wavelength_angstrom=reader.wavelength_angstrom,
        beam_center_px=reader.beam_center_px,
    )


def _rings(batch: SpotBatch, geometry: FileGeometry | None) -> RingSpots | None:
    """Say which spots lie on rings, where resolutions are known."""
    import numpy as np

    from autosteer.analysis.rings import spots_on_rings

    if geometry is None or not np.isfinite(geometry.wavelength_angstrom).all():
        return None
    q = geometry.scattering_vectors(batch.spots, batch.first_frame)
    return spots_on_rings(batch.spots, q)


def _ring_columns(rings: Sequence[RingSpots | None]) -> dict[str, NDArray[Any]]:
    """Arrange the flags as columns, if all files have a geometry."""
    import numpy as np

    known = [one for one in rings if one is not None]
    if not known or len(known) < len(rings):
        return {}
    return {
        "on_ring": np.concatenate([one.on_ring for one in known]),
        "on_ice": np.concatenate([one.on_ice for one in known]),
    }


def _draw(
    source: FrameSource,
    found: Sequence[SpotBatch],
    geometry: FileGeometry | None,
    number: int | None,
) -> Path:
    """Draw one frame of a file into the working directory."""
    import itertools

    import numpy as np

    from autosteer.analysis.pictures import draw_spots
    from autosteer.contracts import AnalysisError

    n_spots = np.concatenate([batch.spots.n_spots for batch in found])
    chosen = int(n_spots.argmax()) if number is None else number
    if not 0 <= chosen < len(n_spots):
        raise AnalysisError(
            f"{source.path}: has no frame {chosen}: --show-frame counts from 0 to "
            f"{len(n_spots) - 1}"
        )
    batch = next(batch for batch in reversed(found) if batch.first_frame <= chosen)
    frame = next(itertools.islice(iter(source), chosen, None))
    path = Path(f"{source.path.stem}-frame{chosen}-spots.png")
    wavelength = None
    if geometry is not None and np.isfinite(geometry.wavelength_angstrom).all():
        wavelengths = np.broadcast_to(geometry.wavelength_angstrom, (len(n_spots),))
        wavelength = float(wavelengths[chosen])
    draw_spots(
        path,
        frame,
        batch.spots.of_frame(chosen - batch.first_frame),
        title=f"{source.path.name}, frame {chosen}: {n_spots[chosen]} spots",
        detector=None if geometry is None else geometry.detector,
        wavelength_angstrom=wavelength,
    )
    return path


def _print_json(
    found: Sequence[SpotBatch], rings: Sequence[RingSpots | None], pictures: Sequence[Path]
) -> None:
    """Print spots and background of each frame."""
    import json

    frames = [
        {
            "path": str(batch.path),
            "frame": batch.first_frame + index,
            "n_spots": int(batch.spots.n_spots[index]),
            "background_level": number_or_none(batch.spots.background_level[index]),
            "gain": number_or_none(batch.spots.gain[index]),
            "ring_score": None if flags is None else number_or_none(flags.ring_score[index]),
        }
        for batch, flags in zip(found, rings, strict=True)
        for index in range(len(batch.spots.n_spots))
    ]
    print_line(json.dumps({"frames": frames, "pictures": [str(path) for path in pictures]}))


def _print_table(found: Sequence[SpotBatch], rings: Sequence[RingSpots | None]) -> None:
    """Print one line for each frame, and a last one for all."""
    import math

    from rich.table import Table

    with_rings = any(flags is not None for flags in rings)
    table = Table(box=None, padding=(0, 2))
    table.add_column("file", no_wrap=True)
    for heading in ("frame", "spots", "background", *(["on rings"] if with_rings else [])):
        table.add_column(heading, justify="right")
    for batch, flags in zip(found, rings, strict=True):
        spots = batch.spots
        for index, n_spots in enumerate(spots.n_spots):
            level = f"{spots.background_level[index]:.1f}"
            cells = [batch.path.name, str(batch.first_frame + index), str(n_spots), level]
            if with_rings:
                share = math.nan if flags is None else float(flags.ring_score[index])
                cells.append("" if math.isnan(share) else f"{100 * share:.0f} %")
            table.add_row(*cells)
    wide_console().print(table)
    n_frames = sum(len(batch.spots.n_spots) for batch in found)
    print_line(f"{sum(len(batch.spots) for batch in found)} spots on {n_frames} frames")
