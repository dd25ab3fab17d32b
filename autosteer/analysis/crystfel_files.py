"""Files for CrystFEL: streams of lattices, and spot lists as CXI.

Axes are the same there and here (z along the beam, right-handed), so that q and reciprocal cell
vectors are only brought from 1/angstrom to 1/nm. Streams and geometries count positions from the
outer corner of a panel's first pixel, CXI files from its centre.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from autosteer.analysis._crystfel_geometry import CENTER_FROM_CORNER_PX, geometry_text
from autosteer.analysis._file_geometry import EV_ANGSTROM, FileGeometry
from autosteer.analysis._hdf5_frames import Hdf5Frames
from autosteer.analysis._items import number_within
from autosteer.analysis.frames import CutFrames, FrameSource
from autosteer.analysis.offline import LatticeBatch, SpotBatch
from autosteer.analysis.spots import Spots
from autosteer.contracts import AnalysisError
from autosteer.physics import PanelCuts, UnitCell, cell_parameters, lattice_type

Float = NDArray[np.float64]

_PER_NM = 10.0
_NM = 0.1
# CrystFEL calls a rhombohedral lattice on hexagonal axes H; its R is the primitive one.
_CENTERINGS = {"R": "H"}
_FRAMES_DATASET = "/entry_1/data_1/data"


def write_stream(path: Path, found: Sequence[LatticeBatch], cell: UnitCell) -> None:
    """Write spots and lattices as a CrystFEL stream of format 2.3.

    A crystal's reflections are the spots that its lattice explains, with the intensities that spot
    finding measured; nothing is predicted or integrated. The profile radius is the scatter of the
    excitation errors; the height of a peak is not kept and stands as ``nan``.

    Parameters
    ----------
    path : Path
        The file.
    found : sequence of LatticeBatch
        Spots and lattices of frames that were taken with one detector.
    cell : UnitCell
        The cell that was searched for.

    Raises
    ------
    AnalysisError
        If a batch comes from spot lists without positions, the detectors differ, or the file
        cannot be written.

    References
    ----------
    .. [1] T. A. White et al., Journal of Applied Crystallography 45, 335 (2012).
    """
    try:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in _stream(path, found, cell))
    except OSError as error:
        raise AnalysisError(f"{path}: cannot be written ({error.strerror})") from error


def write_cxi(path: Path, source: FrameSource, found: Sequence[SpotBatch]) -> None:
    """Write spot lists as CrystFEL reads them with ``--peaks=cxi``.

    Positions are those in the stored frames: x along fast, y along slow, a whole number being a
    pixel's centre; where frames are stacks of modules, these follow each other along y. Frames in
    HDF5 files are linked to, so that the file serves for both.

    Parameters
    ----------
    path : Path
        The file.
    source : FrameSource
        Frames in which the spots were found.
    found : sequence of SpotBatch
        Spots of all of these frames.

    Raises
    ------
    AnalysisError
        If the spots are of other frames, or the file cannot be written.

    References
    ----------
    .. [1] F. R. N. C. Maia, Nature Methods 9, 854 (2012), on CXI files.
    """
    n_found = sum(len(batch.spots.n_spots) for batch in found)
    if n_found != source.n_frames or any(batch.path != source.path for batch in found):
        raise AnalysisError(
            f"{path}: a CXI file takes the spots of all frames of one file; {source.path} has "
            f"{source.n_frames} frames, the spots are of {n_found}"
        )
    stored = source.source if isinstance(source, CutFrames) else source
    cuts = PanelCuts.stack(source.frame_shape)
    if isinstance(source, CutFrames):
        cuts = source.geometry.cuts
    n_spots = np.concatenate([batch.spots.n_spots for batch in found])
    lists = {
        name: np.zeros((len(n_spots), max(1, int(n_spots.max(initial=0)))), dtype=np.float32)
        for name in ("XPosRaw", "YPosRaw", "TotalIntensity", "SNR")
    }
    for batch in found:
        spots = batch.spots
        place = (batch.first_frame + spots.frame, number_within(spots.frame))
        block, slow, fast = cuts.stored_positions(spots.panel, spots.slow_px, spots.fast_px)
        lists["XPosRaw"][place] = fast
        lists["YPosRaw"][place] = slow + block * stored.frame_shape[1]
        lists["TotalIntensity"][place] = spots.intensity
        lists["SNR"][place] = spots.peak_snr
    try:
        with h5py.File(path, "w") as file:
            file["cxi_version"] = 160
            result = file.create_group("entry_1/result_1")
            result["nPeaks"] = n_spots.astype(np.int32)
            for name, values in lists.items():
                result.create_dataset(f"peak{name}", data=values, compression="gzip")
            if isinstance(stored, Hdf5Frames):
                _link_frames(file, path, stored)
    except OSError as error:
        raise AnalysisError(f"{path}: cannot be written ({error})") from error


def _link_frames(file: h5py.File, path: Path, frames: Hdf5Frames) -> None:
    """Show the frames of another file as one dataset."""
    target = frames.path.absolute()
    folder = path.absolute().parent
    name = str(target.relative_to(folder)) if target.is_relative_to(folder) else str(target)
    if len(frames.datasets) == 1:
        link = h5py.ExternalLink(name, frames.datasets[0])
        file[_FRAMES_DATASET] = link
        return
    with h5py.File(target, "r") as stored:
        parts = [stored[one] for one in frames.datasets]
        shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
        layout = h5py.VirtualLayout(shape, parts[0].dtype)
        first = 0
        for one, part in zip(frames.datasets, parts, strict=True):
            layout[first : first + len(part)] = h5py.VirtualSource(name, one, part.shape)
            first += len(part)
    file.create_virtual_dataset(_FRAMES_DATASET, layout)


def _stream(path: Path, found: Sequence[LatticeBatch], cell: UnitCell) -> Iterator[str]:
    """Give the lines of a stream."""
    geometry = _common_geometry(path, found)
    yield "CrystFEL stream format 2.3"
    yield "Generated by autosteer"
    yield "----- Begin geometry file -----"
    yield geometry_text(geometry).rstrip("\n")
    yield "----- End geometry file -----"
    lattice = _lattice_lines(cell)
    yield "----- Begin unit cell -----"
    yield "CrystFEL unit cell file version 1.0"
    yield ""
    yield from lattice
    for name, length in zip("abc", cell.lengths, strict=True):
        yield f"{name} = {length:.4f} A"
    for name, angle in zip(("al", "be", "ga"), cell.angles, strict=True):
        yield f"{name} = {angle:.4f} deg"
    yield "----- End unit cell -----"
    serial = 0
    for batch in found:
        for frame in range(len(batch.n_spots)):
            serial += 1
            yield from _chunk(batch, frame, serial, lattice)


def _common_geometry(path: Path, found: Sequence[LatticeBatch]) -> FileGeometry:
    """Return the geometry of all batches."""
    geometries = [batch.geometry for batch in found if batch.spots is not None]
    known = [geometry for geometry in geometries if geometry is not None]
    if len(known) < len(found):
        raise AnalysisError(
            f"{path}: spot lists have no positions on a detector: a stream can be written of "
            "frames only"
        )
    once = {id(geometry): geometry for geometry in known}.values()
    # Everything but the photon energy, which each frame has to itself.
    texts = {geometry_text(geometry).partition("\n")[2] for geometry in once}
    if len(texts) != 1:
        raise AnalysisError(
            f"{path}: the files were taken with {len(texts)} geometries, a stream has one: write "
            "a stream for each"
        )
    return known[0]


def _lattice_lines(cell: UnitCell) -> list[str]:
    """Describe the lattice as unit cell files and crystals of streams do."""
    kind, axis = lattice_type(cell)
    lines = [f"lattice_type = {kind}"]
    lines += [f"centering = {_CENTERINGS.get(cell.centering, cell.centering)}"]
    return lines + ([f"unique_axis = {axis}"] if axis else [])


def _chunk(batch: LatticeBatch, frame: int, serial: int, lattice: list[str]) -> Iterator[str]:
    """Give the lines of one frame."""
    geometry, all_spots = batch.geometry, batch.spots
    if geometry is None or all_spots is None:
        return
    spots = np.flatnonzero(all_spots.frame == frame)
    number = batch.first_frame + frame
    wavelength = float(geometry.wavelength_angstrom[number])
    q = geometry.detector.scattering_vectors(
        all_spots.panel[spots], all_spots.slow_px[spots], all_spots.fast_px[spots], wavelength
    )
    per_nm = np.linalg.norm(q, axis=1) * _PER_NM
    places = _places(all_spots, spots, geometry.cuts)
    crystals = np.flatnonzero(batch.result.found.frame == frame).tolist()
    yield "----- Begin chunk -----"
    yield f"Image filename: {batch.path}"
    yield f"Event: //{number}"
    yield f"Image serial number: {serial}"
    yield f"hit = {int(len(spots) > 0)}"
    yield f"indexed_by = {'autosteer' if len(crystals) else 'none'}"
    yield f"photon_energy_eV = {EV_ANGSTROM / wavelength:.6f}"
    yield f"average_camera_length = {geometry.detector.origin_mm[:, 2].mean() / 1000:.6f} m"
    yield f"num_peaks = {len(spots)}"
    if len(spots):
        yield f"peak_resolution = {per_nm.max():.6f} nm^-1 or {_PER_NM / per_nm.max():.6f} A"
    yield "Peaks from peak search"
    yield "  fs/px   ss/px (1/d)/nm^-1   Intensity  Panel"
    for (fast, slow, panel), one, intensity in zip(
        places, per_nm, all_spots.intensity[spots], strict=True
    ):
        yield f"{fast:7.2f} {slow:7.2f} {one:10.4f} {intensity:10.2f}   {panel}"
    yield "End of peak list"
    for crystal in crystals:
        yield from _crystal(batch, all_spots, crystal, frame, places, per_nm, lattice)
    yield "----- End chunk -----"


def _places(
    spots: Spots, chosen: NDArray[np.intp], cuts: PanelCuts
) -> list[tuple[float, float, str]]:
    """Give (fast, slow, panel's name) of spots as streams count them."""
    panel = spots.panel[chosen]
    _, slow, fast = cuts.stored_positions(panel, spots.slow_px[chosen], spots.fast_px[chosen])
    return [
        (float(x) + CENTER_FROM_CORNER_PX, float(y) + CENTER_FROM_CORNER_PX, f"p{index}")
        for x, y, index in zip(fast, slow, panel, strict=True)
    ]


def _crystal(
    batch: LatticeBatch,
    all_spots: Spots,
    crystal: int,
    frame: int,
    places: Sequence[tuple[float, float, str]],
    per_nm: Float,
    lattice: Sequence[str],
) -> Iterator[str]:
    """Give the lines of one lattice."""
    result = batch.result
    basis = result.found.basis[crystal]
    of_frame = result.spot_lattice[frame, : len(places)]
    members: list[int] = np.flatnonzero(of_frame == crystal).tolist()
    first = int(np.searchsorted(all_spots.frame, frame))
    lengths_angles = cell_parameters(basis)
    a, b, c = lengths_angles[:3] * _NM
    alpha, beta, gamma = lengths_angles[3:]
    yield "--- Begin crystal"
    yield f"Cell parameters {a:.5f} {b:.5f} {c:.5f} nm, {alpha:.5f} {beta:.5f} {gamma:.5f} deg"
    for name, (x, y, z) in zip("abc", np.linalg.inv(basis).T * _PER_NM, strict=True):
        yield f"{name}star = {x:+9.7f} {y:+9.7f} {z:+9.7f} nm^-1"
    yield from lattice
    yield f"profile_radius = {result.found.excitation_sigma[crystal] * _PER_NM:.5f} nm^-1"
    yield "predict_refine/det_shift x = 0.000 y = 0.000 mm"
    highest = per_nm[members].max(initial=0.0)
    if highest > 0:
        yield (f"diffraction_resolution_limit = {highest:.2f} nm^-1 or {_PER_NM / highest:.2f} A")
    yield f"num_reflections = {len(members)}"
    yield "Reflections measured after indexing"
    yield "   h    k    l          I   sigma(I)       peak background  fs/px  ss/px panel"
    background = all_spots.background_level[frame]
    for member in members:
        fast, slow, panel = places[member]
        index = " ".join(f"{one:4d}" for one in result.hkl[frame, member])
        intensity, sigma = (getattr(all_spots, x)[first + member] for x in ("intensity", "sigma"))
        yield (
            f"{index} {intensity:10.2f} {sigma:10.2f} {np.nan:10.2f} {background:10.2f} "
            f"{fast:6.1f} {slow:6.1f} {panel}"
        )
    yield "End of reflections"
    yield "--- End crystal"
