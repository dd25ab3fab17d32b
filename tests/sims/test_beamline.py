"""The jet in the beam: probabilities, draws and their independence of batches."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from autosteer.contracts.simulation import (
    SimulatedBeam,
    SimulatedCrystals,
    SimulatedJet,
    SimulatedSfx,
)
from autosteer.sims import JetBeamline, ShotTruth

ALIGNED = {"across": 0.3, "along": -0.1}


def beamline(
    *,
    jet: dict[str, Any] | None = None,
    beam: dict[str, Any] | None = None,
    mean_in_beam: float = 0.5,
    seed: int = 5,
) -> JetBeamline:
    described = SimulatedJet(
        across="across",
        along="along",
        aligned_across_mm=ALIGNED["across"],
        aligned_along_mm=ALIGNED["along"],
        **(jet or {}),
    )
    config = SimulatedSfx(
        kind="sfx",
        jet=described,
        beam=SimulatedBeam(**(beam or {})),
        crystals=SimulatedCrystals(mean_in_beam=mean_in_beam),
    )
    return JetBeamline(config, seed)


RESTLESS = {
    "wander_um": 8.0,
    "wander_time_s": 5.0,
    "drift_um_per_min": 4.0,
    "clogs_per_min": 3.0,
}


def run(one: JetBeamline, pulses: np.ndarray[Any, Any], offset_mm: float = 0.01) -> ShotTruth:
    positions: dict[str, Any] = {"across": np.full(len(pulses), 0.3 + offset_mm), "along": -0.1}
    return one.shots(pulses.astype(np.uint64), pulses / 120.0, positions)


def assert_same(one: ShotTruth, two: ShotTruth) -> None:
    for field in fields(ShotTruth):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))


def together(parts: list[ShotTruth]) -> ShotTruth:
    return ShotTruth(
        *(
            np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(ShotTruth)
        )
    )


@given(cuts=st.lists(st.integers(0, 1500), max_size=6))
@settings(max_examples=40)
def test_any_split_into_calls_gives_the_same_shots(cuts: list[int]) -> None:
    pulses = np.arange(1500)
    whole = run(beamline(jet=RESTLESS), pulses)
    one = beamline(jet=RESTLESS)
    parts = [run(one, part) for part in np.split(pulses, sorted(cuts))]
    assert_same(together(parts), whole)


@given(pulses=st.lists(st.integers(0, 10**5), min_size=1, max_size=40, unique=True))
@settings(max_examples=25)
def test_a_pulse_is_the_same_alone_in_any_order(pulses: list[int]) -> None:
    whole = run(beamline(jet=RESTLESS), np.array(pulses))
    one = beamline(jet=RESTLESS)
    assert_same(together([run(one, np.array([pulse])) for pulse in pulses]), whole)


def test_another_seed_gives_other_shots() -> None:
    pulses = np.arange(500)
    one, two = run(beamline(seed=5), pulses), run(beamline(seed=6), pulses)
    assert not np.array_equal(one.n_crystals, two.n_crystals)
    assert not np.array_equal(one.beam_intensity, two.beam_intensity)


@pytest.mark.parametrize(("diameter_um", "fwhm_um"), [(60.0, 10.0), (5.0, 20.0), (100.0, 0.5)])
def test_thickness_is_the_beam_times_the_chord(diameter_um: float, fwhm_um: float) -> None:
    one = beamline(
        jet={"diameter_um": diameter_um},
        beam={"fwhm_um": fwhm_um, "jitter_um": 0.0},
    )
    sigma, radius = fwhm_um / math.sqrt(8 * math.log(2)), diameter_um / 2

    def passed(offset: float) -> float:
        def integrand(x: float) -> float:
            return math.sqrt(radius**2 - x**2) * math.exp(-0.5 * ((x - offset) / sigma) ** 2)

        value: float = quad(integrand, -radius, radius, points=[np.clip(offset, -radius, radius)])[
            0
        ]
        return value

    for offset_um in np.array([0.0, 0.2, 0.7, 1.0, 1.1]) * (radius + sigma):
        shots = run(one, np.array([3]), offset_um / 1000)
        expected = passed(offset_um) / passed(0.0)
        assert shots.jet_thickness_in_beam[0] == pytest.approx(expected, abs=2e-3)
        assert shots.overlap[0] == shots.jet_thickness_in_beam[0]


@pytest.mark.parametrize("offset_mm", [0.0, 0.02, -0.03])
def test_p_hit_is_the_mean_over_shots(offset_mm: float) -> None:
    one = beamline(beam={"jitter_um": 6.0}, mean_in_beam=0.8)
    shots = run(one, np.arange(200_000), offset_mm)
    hits = (shots.n_crystals > 0).mean()
    p_hit = shots.p_hit[0]
    assert np.ptp(shots.p_hit) == 0
    assert hits == pytest.approx(p_hit, abs=4.5 * math.sqrt(p_hit * (1 - p_hit) / 200_000))


def test_without_jitter_alignment_gives_the_poisson_probability() -> None:
    one = beamline(beam={"jitter_um": 0.0}, mean_in_beam=0.5)
    assert float(one.p_hit_at(ALIGNED, 0.0)) == pytest.approx(1 - math.exp(-0.5), rel=1e-12)
    assert float(one.p_hit_attainable(0.0)) == pytest.approx(1 - math.exp(-0.5), rel=1e-12)


def test_stability_along_the_jet_is_a_gaussian() -> None:
    one = beamline(beam={"jitter_um": 0.0}, jet={"stable_length_mm": 0.2}, mean_in_beam=0.3)
    heights = np.array([-0.1, 0.1, -0.3, 0.3])
    p_hit = one.p_hit_at({"across": 0.3, "along": heights}, np.zeros(4))
    rates = -np.log1p(-p_hit) / 0.3
    np.testing.assert_allclose(rates, np.exp([0.0, -0.5, -0.5, -2.0]), rtol=1e-9)


def test_a_jet_without_a_motor_along_it_is_always_at_its_best() -> None:
    jet = SimulatedJet(across="x", aligned_across_mm=0.0)
    one = JetBeamline(SimulatedSfx(kind="sfx", jet=jet), 1)
    assert one.motors == ("x",)
    np.testing.assert_array_equal(one.p_hit_at({"x": 0.0}, 0.0), one.p_hit_attainable(0.0))


@given(across=st.floats(-0.2, 0.2), along=st.floats(-1, 1), time_s=st.floats(0, 600))
@settings(max_examples=60)
def test_nothing_beats_the_attainable(across: float, along: float, time_s: float) -> None:
    one = beamline(jet=RESTLESS)
    there = {"across": 0.3 + across, "along": -0.1 + along}
    assert float(one.p_hit_at(there, time_s)) <= float(one.p_hit_attainable(time_s)) * (1 + 1e-12)


def test_best_positions_reach_the_attainable_while_the_jet_wanders() -> None:
    one = beamline(jet=RESTLESS)
    times = np.linspace(0, 300, 200)
    best = one.best_positions(times)
    np.testing.assert_allclose(one.p_hit_at(best, times), one.p_hit_attainable(times), rtol=1e-9)
    assert best["across"].std() > 0.004
    assert best["along"].std() > 0.002


def test_drift_moves_the_jet_steadily() -> None:
    one = beamline(jet={"drift_um_per_min": 30.0})
    best = one.best_positions(np.array([0.0, 60.0, 120.0]))
    np.testing.assert_allclose(best["across"], [0.3, 0.27, 0.24])


def test_a_clog_lowers_even_the_attainable() -> None:
    one = beamline(jet={"clogs_per_min": 20.0, "clog_s": 3.0})
    shots = run(one, np.arange(60_000), 0.0)
    clogged = shots.p_hit_attainable == 0
    assert clogged.mean() == pytest.approx(0.5, abs=0.12)
    for gone in (shots.p_hit, shots.n_crystals, shots.overlap, shots.jet_thickness_in_beam):
        assert not gone[clogged].any()
    assert (shots.p_hit[~clogged] > 0.3).all()


def test_intensity_has_its_spread() -> None:
    intensity = run(beamline(beam={"intensity_spread": 0.2}), np.arange(50_000)).beam_intensity
    assert intensity.mean() == pytest.approx(1.0, abs=0.005)
    assert intensity.std() == pytest.approx(0.2, rel=0.03)
    assert intensity.min() > 0


def test_truth_at_positions_agrees_with_the_shots() -> None:
    one = beamline(jet=RESTLESS)
    pulses = np.arange(400)
    shots = run(one, pulses)
    there = {"across": 0.31, "along": -0.1}
    np.testing.assert_array_equal(one.p_hit_at(there, pulses / 120), shots.p_hit)
    np.testing.assert_array_equal(one.p_hit_attainable(pulses / 120), shots.p_hit_attainable)


def test_rows_and_selections() -> None:
    shots = run(beamline(), np.arange(100))
    some = shots.select(shots.n_crystals > 0)
    assert 0 < len(some) < len(shots) == 100
    assert some.shot(0).n_crystals == some.n_crystals[0] > 0
    assert shots.select(slice(3, 5)).pulse_id.tolist() == [3, 4]


def test_no_pulses_give_no_shots() -> None:
    assert len(run(beamline(jet=RESTLESS), np.arange(0))) == 0


@pytest.mark.parametrize(
    ("positions", "times", "message"),
    [
        ({"across": 0.3}, [0.0], "no position of motor"),
        ({"across": np.nan, "along": 0.0}, [0.0], "not finite"),
        ({"across": [0.3, 0.3], "along": 0.0}, [0.0], "have shape"),
        (ALIGNED, [-1.0], "count them from the start"),
        (ALIGNED, [1.7e9], "count them from the start"),
        (ALIGNED, [np.nan], "count them from the start"),
        (ALIGNED, [0.0, 1.0], "both must be"),
    ],
)
def test_impossible_input_is_refused(
    positions: dict[str, Any], times: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        beamline(jet=RESTLESS).shots(np.array([1], np.uint64), np.array(times), positions)


def test_crystal_slurries_are_refused() -> None:
    with pytest.raises(ValueError, match="mean_in_beam"):
        beamline(mean_in_beam=101.0)
