"""Panels in frames: which rectangle of the stored array each panel of a detector is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PanelCuts:
    """Rectangles that cut a stored frame, an array (block, slow, fast), into panels.

    A slab that holds all panels side by side is one block; a stack holds a block a module.

    Parameters
    ----------
    block : ndarray of int64, shape (n_panels,)
        Block that each panel is in.
    first : ndarray of int64, shape (n_panels, 2)
        First (slow, fast) of each panel in its block.
    sizes : ndarray of int64, shape (n_panels, 2)
        Pixels of each panel along (slow, fast).

    Raises
    ------
    ValueError
        If the shapes do not agree, an index is negative, or a panel has no pixel.
    """

    block: Int
    first: Int
    sizes: Int

    def __post_init__(self) -> None:
        n_panels = len(self.block)
        if self.first.shape != (n_panels, 2) or self.sizes.shape != (n_panels, 2):
            raise ValueError(
                f"{n_panels} blocks, first {self.first.shape} and sizes {self.sizes.shape} do not "
                "agree"
            )
        if np.any(self.block < 0) or np.any(self.first < 0) or np.any(self.sizes < 1):
            raise ValueError("a panel begins before its block, or has no pixel")

    @classmethod
    def stack(cls, frame_shape: tuple[int, int, int]) -> Self:
        """Take each block as one panel.

        Parameters
        ----------
        frame_shape : (int, int, int)
            (n_blocks, n_slow, n_fast).

        Returns
        -------
        PanelCuts
            One panel a block.
        """
        n_panels = frame_shape[0]
        return cls(
            block=np.arange(n_panels),
            first=np.zeros((n_panels, 2), dtype=np.int64),
            sizes=np.tile(np.array(frame_shape[1:], dtype=np.int64), (n_panels, 1)),
        )

    @property
    def least_shape(self) -> tuple[int, int, int]:
        """Smallest frame, (n_blocks, n_slow, n_fast), that holds all panels."""
        n_slow, n_fast = (self.first + self.sizes).max(axis=0)
        return (int(self.block.max()) + 1, int(n_slow), int(n_fast))

    @property
    def panels_shape(self) -> tuple[int, int, int]:
        """Shape of a frame once cut, (n_panels, n_slow, n_fast)."""
        n_slow, n_fast = self.sizes.max(axis=0)
        return (len(self.block), int(n_slow), int(n_fast))

    def fit(self, frame_shape: tuple[int, int, int]) -> bool:
        """Say whether frames of a shape hold all panels.

        Parameters
        ----------
        frame_shape : (int, int, int)
            (n_blocks, n_slow, n_fast).

        Returns
        -------
        bool
            Whether every rectangle lies within.
        """
        return all(
            least <= there for least, there in zip(self.least_shape, frame_shape, strict=True)
        )

    def cut(self, frame: NDArray[Any]) -> NDArray[Any]:
        """Cut frames, or a mask, into their panels.

        Parameters
        ----------
        frame : ndarray, shape (..., n_blocks, n_slow, n_fast)
            The stored frame, or several.

        Returns
        -------
        ndarray, shape (..., n_panels, n_slow, n_fast)
            The panels, smaller ones padded with zeros; the frame itself where nothing changes.
        """
        if frame.shape[-3:] == self.panels_shape and self._is_stack():
            return frame
        panels = np.zeros((*frame.shape[:-3], *self.panels_shape), dtype=frame.dtype)
        rows = zip(self.block, self.first, self.sizes, strict=True)
        for index, (block, (slow, fast), (n_slow, n_fast)) in enumerate(rows):
            part = frame[..., block, slow : slow + n_slow, fast : fast + n_fast]
            panels[..., index, :n_slow, :n_fast] = part
        return panels

    def stored_positions(
        self, panel: NDArray[np.integer], slow_px: NDArray[Any], fast_px: NDArray[Any]
    ) -> tuple[Int, Float, Float]:
        """Say where positions on panels are in the stored frame.

        Parameters
        ----------
        panel : ndarray of int, shape (n,)
            Panel index.
        slow_px, fast_px : ndarray of float, shape (n,)
            Position on the panel [px].

        Returns
        -------
        block : ndarray of int64, shape (n,)
            Block of the stored frame.
        slow_px, fast_px : ndarray of float64, shape (n,)
            Position in the block [px].
        """
        first = self.first[panel].astype(np.float64)
        return self.block[panel], slow_px + first[:, 0], fast_px + first[:, 1]

    def _is_stack(self) -> bool:
        """Whether panels are the blocks, in order and whole."""
        return (
            bool(np.array_equal(self.block, np.arange(len(self.block))))
            and not self.first.any()
            and bool((self.sizes == self.panels_shape[1:]).all())
        )
