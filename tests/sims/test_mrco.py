"""The spectrometer MRCO: moments of its pulses and sinograms, and what can go wrong in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from autosteer.contracts.pulse_simulation import MRCO_PRESETS, SimulatedMrco
from autosteer.physics.sinogram_model import SinogramLaw, delta_phase_sigma, expected_rates
from autosteer.sims.mrco import MrcoSimulator


def pulses(n: int, first: int = 0) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.arange(first, first + n, dtype=np.uint64)


def changed(**changes: Any) -> SimulatedMrco:
    return SimulatedMrco(**changes)


def test_hits_by_class_are_those_of_the_specification() -> None:
    shots = MrcoSimulator(seed=3).shots(pulses(6000))
    hits = shots.sinograms.sum(axis=(1, 2))
    number = shots.truth.n_spikes
    # One background electron in each channel, as its mean of 1.02 is rounded down.
    assert (hits[number == 0] == 16).all()
    for count, mean in ((1, 168), (2, 270), (3, 364)):
        assert hits[number == count].mean() == pytest.approx(mean, rel=0.03)
    assert hits[number >= 4].mean() == pytest.approx(745, rel=0.04)
    share = np.bincount(np.minimum(number, 4), minlength=5) / len(number)
    np.testing.assert_allclose(share, 0.2, atol=0.02)
    assert set(np.unique(number[number >= 4])) == set(range(4, 11))


def test_the_bound_of_two_spikes_is_that_of_the_specification() -> None:
    simulator = MrcoSimulator(seed=4)
    truth = simulator.random_spikes(pulses(2000), n_spikes=2)
    bound = delta_phase_sigma(truth, simulator.law) * 1000
    assert np.median(bound) == pytest.approx(1.78, rel=0.03)
    assert np.sqrt(np.mean(bound**2)) == pytest.approx(2.12, rel=0.06)


def test_counts_stand_a_bin_below_the_rate() -> None:
    simulator = MrcoSimulator(seed=5)
    shots = simulator.shots(pulses(300), n_spikes=3)
    rates = expected_rates(shots.truth, simulator.law)

    def correlation(shift: int) -> float:
        return float(
            np.corrcoef(np.roll(rates, shift, axis=2).ravel(), shots.sinograms.ravel())[0, 1]
        )

    best = max(range(-3, 4), key=correlation)
    assert best == -1


def test_counts_are_drawn_from_the_rate() -> None:
    simulator = MrcoSimulator(changed(draw_scale=2000.0), seed=6)
    shots = simulator.shots(pulses(20), n_spikes=2)
    mean = 2000 * expected_rates(shots.truth, simulator.law)
    mean = np.roll(mean, -1, axis=2)
    # The lowest bin takes the electrons of two.
    mean[..., 0] += mean[..., -1]
    mean[..., -1] = 0
    some = mean > 5
    chi2 = ((shots.sinograms - mean)[some] ** 2 / mean[some]).mean()
    assert chi2 == pytest.approx(1, abs=0.1)


def test_a_pulse_is_the_same_alone_and_among_others() -> None:
    simulator = MrcoSimulator(changed(poisson_counts=True, response_bins=1.5), seed=7)
    together = simulator.shots(pulses(40))
    again = MrcoSimulator(simulator.config, seed=7)
    for pulse in (0, 13, 39):
        alone = again.shots(np.array([pulse], np.uint64))
        np.testing.assert_array_equal(alone.sinograms[0], together.sinograms[pulse])
        m = alone.truth.center_bins.shape[1]
        np.testing.assert_array_equal(alone.truth.phase_rad[0], together.truth.phase_rad[pulse, :m])
    other = MrcoSimulator(simulator.config, seed=8).shots(pulses(40))
    assert not np.array_equal(other.sinograms, together.sinograms)


def test_near_lines_have_different_phases() -> None:
    truth = MrcoSimulator(seed=9).random_spikes(pulses(4000), n_spikes=3)
    first, second = np.triu_indices(3, 1)
    near = np.abs(truth.center_bins[:, first] - truth.center_bins[:, second]) < 1
    apart = np.abs(truth.phase_rad[:, first] - truth.phase_rad[:, second])
    assert near.sum() > 500
    assert apart[near].min() > np.pi / 8
    assert (apart[~near] < np.pi / 8).any()


def test_poisson_counts_scatter_and_dead_channels_do_not() -> None:
    simulator = MrcoSimulator(
        changed(poisson_counts=True, dead_channels=(3, 11), dark_scale=0.005), seed=10
    )
    counts = simulator.shots(pulses(2000), n_spikes=0).sinograms.sum(axis=2)
    assert not counts[:, [3, 11]].any()
    alive = np.delete(counts, [3, 11], axis=1)
    assert alive.mean() == pytest.approx(512 * 0.005 * 4, rel=0.02)
    assert alive.var() == pytest.approx(alive.mean(), rel=0.05)


def test_times_of_flight_widen_the_lines() -> None:
    one = {"polarized": False, "secondary_scale": 0.0, "dark_scale": 0.0, "draw_scale": 400.0}
    variance = []
    for response in (0.0, 2.0):
        config = changed(response_bins=response, kick_bins=0.0, kick_spread_bins=0.0,
                         center_spread_bins=0.0, **one)  # fmt: skip
        counts = MrcoSimulator(config, seed=11).shots(pulses(50), n_spikes=1).sinograms
        bins = np.arange(512.0)
        total = counts.sum()
        mean = (counts * bins).sum() / total
        variance.append((counts * (bins - mean) ** 2).sum() / total)
    # The point in a bin is spread evenly before the error is added.
    assert variance[1] - variance[0] == pytest.approx(4 + 1 / 6, rel=0.03)


def test_the_gain_of_channels_is_always_the_same() -> None:
    simulator = MrcoSimulator(changed(gain_spread=0.1, polarized=False, draw_scale=50.0), seed=12)
    counts = simulator.shots(pulses(200), n_spikes=2).sinograms.sum(axis=(0, 2))
    np.testing.assert_allclose(counts / counts.mean(), simulator.law.efficiency, rtol=0.08)
    assert np.std(simulator.law.efficiency) > 0.03


def test_the_other_preset_counts_poisson_numbers_of_spikes() -> None:
    simulator = MrcoSimulator("upstream-main", seed=13)
    shots = simulator.shots(pulses(3000))
    assert shots.sinograms.shape == (3000, 16, 128)
    assert shots.truth.n_spikes.mean() == pytest.approx(3.0, rel=0.05)
    assert not np.nan_to_num(shots.truth.polarization).any()
    assert set(MRCO_PRESETS) == {"paper", "upstream-main"}


def test_draw_scale_varies_from_shot_to_shot() -> None:
    truth = MrcoSimulator(changed(draw_scale_range=(0.25, 4.0)), seed=14).random_spikes(
        pulses(3000)
    )
    assert truth.electrons.min() == pytest.approx(1, rel=0.02)
    assert truth.electrons.max() == pytest.approx(16, rel=0.02)
    assert np.median(truth.electrons) == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"class_mix": (1.0,)}, "class_mix has 1 shares"),
        ({"class_mix": (0.0, 0.0)}, "a positive sum"),
        ({"dead_channels": (16,)}, r"dead_channels names \[16\]: channels are 0 to 15"),
        ({"draw_scale_range": (2.0, 1.0)}, "put the smaller one first"),
        ({"gain_spred": 0.1}, "gain_spred"),
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SimulatedMrco(**wrong)


def test_wrong_requests_are_named() -> None:
    with pytest.raises(ValueError, match="no preset 'papers': there are paper, upstream-main"):
        MrcoSimulator("papers")
    with pytest.raises(ValueError, match="n_spikes is 11: it must be 0 to 10"):
        MrcoSimulator().shots(pulses(1), n_spikes=11)
    empty = MrcoSimulator().shots(pulses(0))
    assert empty.sinograms.shape == (0, 16, 512)
    assert empty.delta_phase_rad.shape == (0,)


def test_the_law_is_that_of_the_settings() -> None:
    assert MrcoSimulator("upstream-main").law.line_half_width_bins == 4
    assert MrcoSimulator().law.n_window == SinogramLaw().n_window == 6


def test_center_and_kick_can_wander() -> None:
    first, last = pulses(4000), pulses(4000, first=10**9)
    still, wandering = (
        MrcoSimulator(config, seed=4)
        for config in (changed(), changed(kick_wander_bins=10.0, center_wander_bins=20.0))
    )
    for when in (first, last):
        one, other = (simulator.random_spikes(when, 1) for simulator in (still, wandering))
        shift = other.kick_bins - one.kick_bins
        assert shift.std() < 2
        assert np.abs(np.diff(shift)).max() < 0.01
        center = (other.center_bins - one.center_bins)[:, 0]
        assert np.abs(np.diff(center)).max() < 0.02
    assert abs(shift.mean()) > 0.01
