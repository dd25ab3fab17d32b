"""Spot finding for graphics processors: the spots of `SpotFinder` by torch, many frames at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from autosteer.analysis._background import INTEGER_NOISE, BlockBackground
from autosteer.analysis._bad_values import flag_of
from autosteer.analysis._dense_background import DenseBackground, DenseLevels
from autosteer.analysis._dense_measurement import DenseMeasurement, DensePixels
from autosteer.analysis._devices import usable_device
from autosteer.analysis._finder_options import FinderOptions
from autosteer.analysis._gain import gain_of_frames
from autosteer.analysis._photon_size import LEAST_SKEWNESS, photon_sizes
from autosteer.analysis._significance import BOX
from autosteer.analysis.spots import LISTED_SHARE, Spots, concatenate, no_spots, with_own_noise
from autosteer.contracts import AnalysisError

_CHUNK_PIXELS_ON_CPU = 2**22


class DenseSpotFinder:
    """Finds Bragg spots as `SpotFinder` does, with dense operations on a torch device.

    Background, thresholds and tests are the same, so that the same spots are found but for
    rounding. On a graphics processor no step goes frame by frame or spot by spot: the time of a
    batch hardly grows with its size until the device is filled. On a processor `SpotFinder` is
    several times quicker.

    Parameters
    ----------
    device : str or torch.device, default "cuda"
        Where the work is done.
    frames_together : int, optional
        Frames on the device at a time, some 30 bytes for each pixel; by default as many as fit into
        a third of its free memory, or into a processor's cache.
    min_snr, min_pixels, max_pixels, max_spots, mask, saturation
        As of `SpotFinder`.

    Raises
    ------
    AnalysisError
        If an option is out of range, or there is no such device.
    """

    def __init__(
        self,
        device: str | torch.device = "cuda",
        *,
        frames_together: int | None = None,
        min_snr: float = 5.0,
        min_pixels: int = 2,
        max_pixels: int = 200,
        max_spots: int = 500,
        mask: ArrayLike | None = None,
        saturation: float | None = None,
    ) -> None:
        self._options = FinderOptions(min_snr, min_pixels, max_pixels, max_spots, mask, saturation)
        if frames_together is not None and frames_together < 1:
            raise AnalysisError(f"frames_together is {frames_together}: it must be positive")
        self._device = usable_device(str(device))
        self._frames_together = frames_together
        self._prepared: _Prepared | None = None

    def find(self, frames: NDArray[Any]) -> Spots:
        """Find the spots of frames.

        Parameters
        ----------
        frames : ndarray, shape (n_frames, n_panels, n_slow, n_fast)
            Frames of type uint8, int16, uint16, int32, uint32 or float32; a NaN is no
            measurement [detector counts].

        Returns
        -------
        Spots
            The spots.

        Raises
        ------
        FrameError
            If the frames have another type, or a shape other than the mask's.
        """
        good = self._options.good_pixels(frames)
        if self._prepared is None or not np.array_equal(self._prepared.good, good):
            self._prepared = _Prepared(good, self._device)
        if not len(frames):
            return no_spots()
        step = self._frames_together or self._fitting(good.size)
        starts = range(0, len(frames), step)
        with torch.inference_mode():
            return concatenate(
                [self._find(frames[start : start + step], self._prepared) for start in starts],
                step,
            )

    def _fitting(self, n_pixels: int) -> int:
        """Return how many frames of so many pixels are worked on together."""
        if self._device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self._device)
            return max(1, int(free / 3 / (30 * n_pixels)))
        return max(1, _CHUNK_PIXELS_ON_CPU // max(1, n_pixels))

    def _find(self, frames: NDArray[Any], prepared: _Prepared) -> Spots:
        """Find the spots of some frames."""
        whole = frames.dtype.kind != "f"
        native = np.ascontiguousarray(frames, dtype=frames.dtype.newbyteorder("="))
        raw = torch.from_numpy(native).to(self._device).to(torch.float32)
        flag = flag_of(native.dtype)
        values = raw.masked_fill(~prepared.good_pixels, torch.nan)
        values = values.masked_fill(~values.isfinite(), torch.nan)
        if flag is not None:
            values = values.masked_fill(raw >= float(np.float32(flag)), torch.nan)
        levels = prepared.background.estimate(values, float(INTEGER_NOISE) if whole else 0.0)
        listed = self._listed(values, levels, prepared.background)
        correlation = levels.correlation.cpu().numpy()
        photon = prepared.photon_sizes(values, listed, levels)
        pixels = prepared.with_levels(listed.reshape(-1).nonzero().squeeze(1), levels, photon)
        pixels = _strongest(pixels, values, int(LISTED_SHARE * values.numel()))
        blocks = tuple(levels.level.shape)
        measurement = DenseMeasurement(values, listed, correlation)
        spots = measurement.measure(pixels, blocks, self._options.criteria)
        level = levels.level.cpu().numpy()
        noise = levels.noise.cpu().numpy()
        gain = gain_of_frames(level, noise, correlation, photon.cpu().numpy())
        return Spots(
            frame=spots.frame,
            panel=spots.panel,
            slow_px=spots.slow_px,
            fast_px=spots.fast_px,
            intensity=spots.intensity,
            sigma=with_own_noise(spots.sigma, spots.intensity, gain[spots.frame]),
            n_pixels=spots.n_pixels,
            peak_snr=spots.peak_snr,
            snr=spots.snr,
            n_spots=np.bincount(spots.frame, minlength=len(frames)),
            background_level=prepared.blocks.level_of_frames(level),
            saturated_fraction=self._saturated_fraction(raw, prepared),
            gain=gain,
        )

    def _listed(self, values: Tensor, levels: DenseLevels, background: DenseBackground) -> Tensor:
        """Mark pixels that stand out together with their neighbours."""
        correlation = levels.correlation.cpu().numpy()
        noise, skewness = (
            torch.as_tensor(factor, device=self._device)[:, None, None, None]
            for factor in (BOX.noise_factor(correlation), BOX.skewness_factor(correlation))
        )
        sigmas = self._options.criteria.listed_sigmas
        above = sigmas * noise * levels.noise
        above = above + (sigmas**2 - 1) / 6 * skewness * levels.quantum
        level = background.spread(levels.level)
        filled = torch.where(values.isnan(), level, values)
        down = filled[:, :, :-2] + filled[:, :, 1:-1] + filled[:, :, 2:]
        box = down[..., :-2] + down[..., 1:-1] + down[..., 2:]
        listed = torch.zeros(values.shape, dtype=torch.bool, device=self._device)
        threshold = BOX.weights.sum() * level + background.spread(above)
        listed[:, :, 1:-1, 1:-1] = box > threshold[:, :, 1:-1, 1:-1]
        return listed

    def _saturated_fraction(self, raw: Tensor, prepared: _Prepared) -> NDArray[np.float32]:
        """Saturated over good pixels."""
        if self._options.saturation is None:
            return np.full(len(raw), np.nan, dtype=np.float32)
        saturated = (raw >= self._options.saturation) & prepared.good_pixels
        share = saturated.flatten(1).sum(dim=1) / max(1, int(prepared.good.sum()))
        array: NDArray[np.float32] = share.float().cpu().numpy()
        return array


def _strongest(pixels: DensePixels, values: Tensor, count: int) -> DensePixels:
    """Keep about the given number of pixels, those that stand out most."""
    if len(pixels) <= count:
        return pixels
    height = ((values.reshape(-1)[pixels.place] - pixels.level) / pixels.noise).nan_to_num(0.0)
    return pixels.select(height >= height.kthvalue(len(height) - count + 1).values)


class _Prepared:
    """What is known of a detector before the first frame, on the device."""

    def __init__(self, good: NDArray[np.bool_], device: torch.device) -> None:
        self.good = good
        self.blocks = BlockBackground(good)
        layout = self.blocks.layout
        shape = (good.shape[0], good.shape[1], good.shape[2])
        self.background = DenseBackground(layout, shape, device)
        self.good_pixels = torch.as_tensor(good, device=device)
        row_block = torch.as_tensor(layout.row_block, device=device)
        column_block = torch.as_tensor(layout.column_block, device=device)
        panel_block = torch.arange(len(good), device=device) * (layout.blocks[0] * layout.blocks[1])
        self._block = (
            panel_block[:, None, None] + row_block[:, None] * layout.blocks[1] + column_block
        ).reshape(-1)
        self._n_blocks = len(good) * layout.blocks[0] * layout.blocks[1]

    def with_levels(self, place: Tensor, levels: DenseLevels, photon: Tensor) -> DensePixels:
        """Look up the background of pixels."""
        frame = place // len(self._block)
        block = frame * self._n_blocks + self._block[place % len(self._block)]
        level, noise, quantum = (
            values.reshape(-1)[block] for values in (levels.level, levels.noise, levels.quantum)
        )
        return DensePixels(place, level, noise, quantum, frame, block, photon[frame])

    def photon_sizes(self, values: Tensor, listed: Tensor, levels: DenseLevels) -> Tensor:
        """Learn what a photon counts; see `photon_sizes_of_frames`."""
        layout, telling = self.blocks.layout, self.blocks.layout.telling
        block = torch.as_tensor(telling, device=values.device)
        place = torch.as_tensor(layout.samples[telling], device=values.device)
        samples = values.flatten(1)[:, place].masked_fill(listed.flatten(1)[:, place], torch.nan)
        level, noise, quantum = (
            of_blocks.flatten(1) for of_blocks in (levels.level, levels.noise, levels.quantum)
        )
        skewed = quantum.median(dim=1).values > LEAST_SKEWNESS * noise.median(dim=1).values
        sizes = photon_sizes(samples, level[:, block], noise[:, block], quantum[:, block])
        return torch.where(skewed & (levels.correlation == 0), sizes, 0.0)
