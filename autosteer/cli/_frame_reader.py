"""Frames, their geometry and their spot finder, as the options of a command describe them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autosteer.analysis.columns import check_ending, check_folder
from autosteer.analysis.detectors import mask_of_frames
from autosteer.analysis.frames import (
    FileGeometry,
    FrameSource,
    holds_spot_lists,
    read_frames,
)
from autosteer.analysis.geometry_files import describes_itself
from autosteer.analysis.offline import geometry_of_frames
from autosteer.analysis.spot_finders import make_finder
from autosteer.analysis.spots import FindsSpots
from autosteer.contracts import AnalysisError
from autosteer.physics import UnitCell


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameReader:
    """How frames are read, seen and searched for spots.

    Parameters
    ----------
    dataset : str or None
        Dataset or array of the frames.
    mask : Path or None
        NPY file with a mask.
    geometry : Path or None
        Geometry file.
    distance_mm, pixel_um, wavelength_angstrom : float or None
        Distance, pixel edge and wavelength.
    beam_center_px : (float, float) or None
        Where the beam meets the detector, (slow, fast) [px].
    min_snr : float
        Least counts of a spot above the background over the noise.
    max_spots : int
        Brightest spots of each frame.
    saturation : float or None
        Counts at and above which a pixel is saturated.
    device : str, default "cpu"
        Torch device that searches the frames.
    """

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
    device: str = "cpu"

    def read(self, file: Path) -> tuple[FrameSource, FileGeometry, FindsSpots]:
        """Open a file of frames.

        Parameters
        ----------
        file : Path
            The file.

        Returns
        -------
        source : FrameSource
            Its frames.
        geometry : FileGeometry
            Their geometry.
        finder : FindsSpots
            Finds their spots.
        """
        source = self.open(file)
        geometry = geometry_of_frames(
            source,
            distance_mm=self.distance_mm,
            pixel_um=self.pixel_um,
            wavelength_angstrom=self.wavelength_angstrom,
            beam_center_px=self.beam_center_px,
        )
        finder = make_finder(
            self.device,
            min_snr=self.min_snr,
            max_spots=self.max_spots,
            mask=mask_of_frames(source, self.mask),
            saturation=geometry.saturation if self.saturation is None else self.saturation,
        )
        return source, geometry, finder

    def open(self, file: Path) -> FrameSource:
        """Open frames, cut by the geometry that was given or that they hold.

        Parameters
        ----------
        file : Path
            The file.

        Returns
        -------
        FrameSource
            Its frames.
        """
        flat = (self.distance_mm, self.pixel_um, self.beam_center_px)
        if self.geometry is not None and any(value is not None for value in flat):
            raise AnalysisError(
                f"{self.geometry}: a geometry file says distance, pixel size and beam center: "
                "leave --distance-mm, --pixel-um and --beam-center out"
            )
        if self.geometry is None and self.distance_mm is None and describes_itself(file):
            return read_frames(file, self.dataset, file)
        return read_frames(file, self.dataset, self.geometry)


def gives_spot_lists(file: Path, key: str | None, dataset: str | None) -> bool:
    """Say whether spot lists are to be read from a file, rather than frames.

    Parameters
    ----------
    file : Path
        The file.
    key : str or None
        Prefix of the arrays of spot lists, where one was given.
    dataset : str or None
        Dataset or array of frames, where one was given.

    Returns
    -------
    bool
        True if a key says so, or if the file holds spot lists and no dataset was given.
    """
    return key is not None or (dataset is None and holds_spot_lists(file))


def check_results_file(out: Path, files: Sequence[Path], others: tuple[str, ...]) -> None:
    """Check the name of a file of results before the work is done.

    Parameters
    ----------
    out : Path
        The file.
    files : sequence of Path
        Files of frames that the results are of.
    others : tuple of str
        Endings that the command takes besides those of columns.
    """
    check_ending(out, others)
    check_folder(out)
    if out.suffix == ".cxi" and len(files) > 1:
        raise AnalysisError(
            f"{out}: a CXI file takes the spots of one file of frames, not of {len(files)}"
        )


def read_cell(text: str) -> UnitCell:
    """Read the option ``--cell``.

    Parameters
    ----------
    text : str
        ``a,b,c,alpha,beta,gamma[,centering]``.

    Returns
    -------
    UnitCell
        The cell.
    """
    try:
        return UnitCell.from_text(text)
    except ValueError as error:
        raise AnalysisError(f"--cell: {error}") from error


def read_beam_center(text: str | None) -> tuple[float, float] | None:
    """Read the option ``--beam-center``.

    Parameters
    ----------
    text : str or None
        ``slow,fast``; None where it is not given.

    Returns
    -------
    (float, float) or None
        The two numbers [px].
    """
    if text is None:
        return None
    try:
        slow, fast = (float(word) for word in text.split(","))
    except ValueError:
        raise AnalysisError(
            f"--beam-center: '{text}' is no place: write slow,fast in pixels, as 511.5,511.5"
        ) from None
    return slow, fast
