"""Detector geometry: pixels to scattering vectors and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosteer.physics import Detector, module_mask

WAVELENGTH = 1.3


def two_panels(tilt_rad: float = 0.2) -> Detector:
    cos, sin = np.cos(tilt_rad), np.sin(tilt_rad)
    return Detector(
        origin_mm=np.array([[-40.0, -20.0, 80.0], [2.0, -20.0, 82.0]]),
        slow_axis=np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]),
        fast_axis=np.array([[1.0, 0.0, 0.0], [cos, 0.0, sin]]),
        pixel_size_mm=0.1,
        panel_shape=(400, 380),
    )


@given(st.integers(0, 1), st.floats(-0.4, 399.4), st.floats(-0.4, 379.4), st.floats(-0.5, 0.5))
def test_a_pixel_projects_back_onto_itself(
    panel: int, slow: float, fast: float, tilt_rad: float
) -> None:
    detector = two_panels(tilt_rad)
    q = detector.scattering_vectors([panel], [slow], [fast], WAVELENGTH)
    k_out = q + np.array([0, 0, 1 / WAVELENGTH])
    assert np.isclose(np.linalg.norm(k_out), 1 / WAVELENGTH)
    found, back_slow, back_fast = detector.project(k_out)
    assert found[0] == panel
    assert np.isclose(back_slow[0], slow, atol=1e-6)
    assert np.isclose(back_fast[0], fast, atol=1e-6)


def test_skewed_axes_project_exactly() -> None:
    detector = Detector(
        origin_mm=np.array([[-40.0, -20.0, 80.0]]),
        slow_axis=np.array([[0.004, 1.003, 0.0]]),
        fast_axis=np.array([[0.997, 0.005, 0.001]]),
        pixel_size_mm=0.1,
        panel_shape=(400, 800),
    )
    q = detector.scattering_vectors([0], [333.3], [777.7], WAVELENGTH)
    _, slow, fast = detector.project(q + np.array([0, 0, 1 / WAVELENGTH]))
    assert [slow[0], fast[0]] == pytest.approx([333.3, 777.7], abs=1e-6)


def test_the_beam_centre_scatters_nowhere_and_braggs_law_holds() -> None:
    detector = Detector.flat((1000, 1000), 0.075, 80.0, (500.0, 500.0))
    q = detector.scattering_vectors([0, 0], [500.0, 500.0], [500.0, 900.0], WAVELENGTH)
    assert np.allclose(q[0], 0)
    two_theta = np.arctan2(400 * 0.075, 80.0)
    assert np.isclose(np.linalg.norm(q[1]), 2 * np.sin(two_theta / 2) / WAVELENGTH)
    assert q[1, 0] > 0
    assert abs(q[1, 1]) < 1e-12


def test_rays_that_miss_meet_no_panel() -> None:
    panel, slow, fast = two_panels().project(np.array([[0, 0, -1], [1, 0, 0], [0, 1, 0.1]]))
    assert panel.tolist() == [-1, -1, -1]
    assert np.isnan(slow).all()
    assert np.isnan(fast).all()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"slow_axis": np.array([[0.0, 2.0, 0.0]])}, "vectors of length"),
        ({"fast_axis": np.zeros((2, 3))}, "has shape"),
        ({"pixel_size_mm": 0.0}, "must be positive"),
    ],
)
def test_an_impossible_detector_is_refused(change: dict[str, object], text: str) -> None:
    fields: dict[str, object] = {
        "origin_mm": np.zeros((1, 3)),
        "slow_axis": np.array([[0.0, 1.0, 0.0]]),
        "fast_axis": np.array([[1.0, 0.0, 0.0]]),
        "pixel_size_mm": 0.1,
        "panel_shape": (10, 10),
    }
    with pytest.raises(ValueError, match=text):
        Detector(**(fields | change))  # type: ignore[arg-type]


def test_gaps_between_modules() -> None:
    mask = module_mask((10, 21), (2, 3), (2, 3))
    assert mask.shape == (10, 21)
    assert mask[:, 0].tolist() == [True] * 4 + [False] * 2 + [True] * 4
    assert mask[0].tolist() == [True] * 5 + [False] * 3 + [True] * 5 + [False] * 3 + [True] * 5
    with pytest.raises(ValueError, match="do not fill 10 px evenly"):
        module_mask((10, 21), (3, 3), (1, 3))
