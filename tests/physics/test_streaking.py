"""Angular streaking: phases and delays, and what a shot tells of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosteer.physics.sinogram_model import (
    SinogramLaw,
    SubSpikes,
    delta_phase_sigma,
    expected_rates,
    fisher_information,
)
from autosteer.physics.streaking import delay_as, fold_phase, optical_period_as, phase_rad

PAPER_MRAD = 46.52


@pytest.mark.parametrize(
    ("wavelength_um", "delay", "period_fs"),
    [(0.8, 19.8, 2.67), (1.2, 29.6, 4.00), (1.3, 32.1, 4.34), (2.0, 49.4, 6.67), (4.0, 98.8, 13.3),
     (5.0, 123.5, 16.7), (10.6, 261.8, 35.4)],
)  # fmt: skip
def test_delays_of_a_phase(wavelength_um: float, delay: float, period_fs: float) -> None:
    assert delay_as(PAPER_MRAD / 1000, wavelength_um) == pytest.approx(delay, abs=0.06)
    assert optical_period_as(wavelength_um) / 1000 == pytest.approx(period_fs, rel=0.004)


@given(st.floats(-1e4, 1e4), st.floats(0.3, 20.0))
def test_a_delay_is_known_up_to_sign_and_periods(delay: float, wavelength_um: float) -> None:
    period = optical_period_as(wavelength_um)
    again = delay_as(phase_rad(delay, wavelength_um), wavelength_um)
    assert 0 <= again <= period / 2 * (1 + 1e-12)
    off = min(
        abs((delay - sign * again) / period % 1 - whole) for sign in (1, -1) for whole in (0, 1)
    )
    assert off < 1e-8


@given(st.floats(-100, 100), st.integers(-3, 3))
def test_folding_forgets_sign_and_turns(phase: float, turns: int) -> None:
    folded = fold_phase(phase)
    assert 0 <= folded <= np.pi
    for other in (-phase, phase + 2 * np.pi * turns):
        assert fold_phase(other) == pytest.approx(folded, abs=1e-9)


@pytest.mark.parametrize("wavelength_um", [0.1, 31.0, float("nan")])
def test_a_wavelength_that_no_streaking_laser_has_is_an_error(wavelength_um: float) -> None:
    with pytest.raises(
        ValueError, match=r"wavelength_um is .*: a streaking laser has 0\.2 to 30 um"
    ):
        optical_period_as(wavelength_um)


def two_spikes(**changes: object) -> SubSpikes:
    columns: dict[str, object] = {
        "center_bins": np.array([[250.3, 262.1]]),
        "phase_rad": np.array([[0.4, 2.9]]),
        "amplitude": np.array([[1.1, 0.8]]),
        "polarization": np.array([[0.6, 0.3]]),
        "polarization_angle_rad": np.array([[0.2, 1.9]]),
        "kick_bins": np.array([110.0]),
        "background": np.array([0.003]),
        "electrons": np.array([4.0]),
    }
    return SubSpikes(**{**columns, **changes})  # type: ignore[arg-type]


def test_rates_are_lines_on_a_background() -> None:
    law = SinogramLaw()
    spikes = two_spikes()
    rates = expected_rates(spikes, law)
    assert rates.shape == (1, 16, 512)
    # A raised cosine of half width 3 adds up to 3, wherever it stands between the bins.
    q = 0.5 * (1 + spikes.polarization * np.cos(spikes.polarization_angle_rad))
    in_first = (3 * spikes.amplitude * q).sum() + 512 * 0.003
    assert rates[0, 0].sum() == pytest.approx(in_first)
    middle = spikes.center_bins[0] + 110 * np.cos(spikes.phase_rad[0])
    assert rates[0, 0].argmax() in np.round(middle)
    cut = expected_rates(two_spikes(kick_bins=np.array([300.0])), law)
    assert np.isfinite(cut).all()
    assert cut.sum() < rates.sum()


def test_information_is_that_of_finite_differences() -> None:
    law = SinogramLaw(efficiencies=(1.0,) * 8 + (0.5,) * 7 + (0.0,))
    spikes = two_spikes()
    efficiency = law.efficiency[:, None] * spikes.electrons[0]
    step = 1e-4
    by: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = []

    def changed(**columns: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        rates: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
        rates = expected_rates(two_spikes(**columns), law)[0]
        return rates

    for name in ("phase_rad", "center_bins"):
        for spike in range(2):
            shift = np.zeros((1, 2))
            shift[0, spike] = step
            middle = getattr(spikes, name)
            more, less = (changed(**{name: middle + sign * shift}) for sign in (1, -1))
            by.append((more - less) / (2 * step))
    shift = np.array([step])
    more, less = (changed(kick_bins=spikes.kick_bins + sign * shift) for sign in (1, -1))
    by.append((more - less) / (2 * step))
    by.append(np.ones_like(by[0]))
    jacobian = np.stack(by).reshape(len(by), -1)
    rate = expected_rates(spikes, law)[0]
    expected = (jacobian * (efficiency / rate).ravel()) @ jacobian.T
    chosen = [0, 1, 2, 3, 10, 11]
    information = fisher_information(spikes, law)[0][np.ix_(chosen, chosen)]
    np.testing.assert_allclose(information, expected, rtol=2e-3, atol=1e-3 * expected[5, 5] ** 0.5)


def test_a_shot_without_light_tells_no_phase() -> None:
    law = SinogramLaw()
    dark = two_spikes(amplitude=np.array([[1.0, 0.0]]))
    assert np.isinf(delta_phase_sigma(dark, law)).all()
    one_line = two_spikes(center_bins=np.array([[256.0, 256.0]]), phase_rad=np.array([[1.0, 1.0]]))
    assert np.isinf(delta_phase_sigma(one_line, law)).all()
    with pytest.raises(ValueError, match="differ in their number"):
        fisher_information(two_spikes(center_bins=np.array([[250.0, np.nan]])), law)


def test_more_electrons_tell_more() -> None:
    law = SinogramLaw()
    few, many = (
        delta_phase_sigma(two_spikes(electrons=np.array([electrons])), law)[0]
        for electrons in (4.0, 16.0)
    )
    assert few == pytest.approx(2 * many, rel=1e-6)
