"""Structural similarity."""

from __future__ import annotations

import numpy as np
import pytest

from autosteer.physics.similarity import structural_similarity


def by_windows(
    x: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    y: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> float:
    """The definition, window by window."""
    values = []
    for row in range(x.shape[0] - 6):
        for column in range(x.shape[1] - 6):
            a, b = (image[row : row + 7, column : column + 7].ravel() for image in (x, y))
            cov = np.cov(a, b)
            values.append(
                (2 * a.mean() * b.mean() + 1e-4)
                * (2 * cov[0, 1] + 9e-4)
                / ((a.mean() ** 2 + b.mean() ** 2 + 1e-4) * (cov[0, 0] + cov[1, 1] + 9e-4))
            )
    return float(np.mean(values))


def test_it_is_the_mean_over_all_whole_windows() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 12, 20))
    y = 0.5 * x + y
    scaled = [(image - image.min()) / (image.max() - image.min()) for image in (x, y)]
    assert structural_similarity(x[None], y[None])[0] == pytest.approx(by_windows(*scaled))


def test_constant_images_are_alike() -> None:
    flat = np.full((1, 16, 32), 7.0)
    np.testing.assert_allclose(structural_similarity(flat, 2 * flat), 1)


@pytest.mark.parametrize(
    "shapes", [((1, 6, 9), (1, 6, 9)), ((1, 9, 9), (2, 9, 9)), ((9, 9), (9, 9))]
)
def test_wrong_shapes_are_named(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="images have the shapes"):
        structural_similarity(*(np.zeros(shape) for shape in shapes))
