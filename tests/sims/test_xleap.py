"""The simulated X-ray laser: its statistics follow its knobs, and its scores its statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from autosteer.contracts.xleap_simulation import SimulatedXleap
from autosteer.physics.streaking import delay_as
from autosteer.sims import PULSE_TRUTH, PulseTruth, TruthLog, XleapMachine, read_pulse_truth
from autosteer.sims.xleap import attainable_share, pair_share

BEST = {"GAP": 17.0, "CHICANE": 0.7, "TAPER": 0.4, "LASER": 90.0}
WINDOW = (700.0, 900.0)


def config(**changes: Any) -> SimulatedXleap:
    return SimulatedXleap.model_validate({
        "kind": "xleap",
        "modulator": {"motor": "GAP", "best": 17.0, "width": 3.0},
        "chicane": {"motor": "CHICANE", "offset_fs": 0.1, "spread_as": 60},
        "taper": {"motor": "TAPER", "best": 0.4, "width": 0.7},
        "laser_phase": {"motor": "LASER", "best": 90.0, "width": 40.0},
        **changes,
    })  # fmt: skip


def shots(
    machine: XleapMachine, n: int, positions: dict[str, float] | None = None, first: int = 0
) -> PulseTruth:
    pulses = np.arange(first, first + n, dtype=np.uint64)
    return machine.shots(pulses, pulses / 1000.0, BEST | (positions or {}))


@pytest.mark.parametrize(
    "positions", [{}, {"GAP": 19.5}, {"TAPER": 1.2}, {"CHICANE": 1.0}, {"LASER": 30.0, "GAP": 14.0}]
)
def test_the_share_of_pairs_is_the_one_that_scores_are_made_of(positions: dict[str, float]) -> None:
    machine = XleapMachine(config(), 3)
    truth = shots(machine, 40_000, positions)
    phase = truth.spikes.phase_rad
    two = truth.n_spikes == 2
    delay = delay_as(np.abs(np.angle(np.exp(1j * (phase[:, 1] - phase[:, 0])))), 1.2)
    seen = (two & (delay > WINDOW[0]) & (delay < WINDOW[1])).mean()
    expected = pair_share(machine.chances({**BEST, **positions}, 0.0), WINDOW, machine.config)[0]
    assert seen == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 40_000))


def test_nothing_is_better_than_what_is_attainable() -> None:
    machine = XleapMachine(config(), 1)
    names = list(BEST)

    def negative(x: np.ndarray[Any, Any]) -> float:
        chances = machine.chances(dict(zip(names, x, strict=True)), 0.0)
        return -float(pair_share(chances, WINDOW, machine.config)[0])

    start = np.array(list(BEST.values())) + np.array([0.7, 0.03, 0.2, 10.0])
    found = minimize(negative, start, method="Nelder-Mead", options={"maxiter": 4000})
    attainable = attainable_share(WINDOW, machine.config)
    assert -found.fun == pytest.approx(attainable, rel=1e-4)
    assert found.x[0] == pytest.approx(17.0, abs=0.05)


def test_a_pulse_does_not_depend_on_the_others_of_a_call() -> None:
    machine = XleapMachine(config(), 5)
    together = shots(machine, 300)
    apart = shots(machine, 40, first=100)
    np.testing.assert_array_equal(together.n_spikes[100:140], apart.n_spikes)
    np.testing.assert_array_equal(together.delay_as[100:140], apart.delay_as)
    width = apart.spikes.phase_rad.shape[1]
    np.testing.assert_array_equal(
        together.spikes.phase_rad[100:140, :width], apart.spikes.phase_rad
    )


def test_the_delay_of_pairs_is_what_their_phases_say() -> None:
    truth = shots(XleapMachine(config(), 6), 4000, {"CHICANE": 1.2})
    pair = np.isfinite(truth.delay_as)
    assert 0.4 < pair.mean() < 0.9
    assert truth.delay_as[pair].mean() == pytest.approx(1300, abs=5)
    assert truth.delay_as[pair].std() == pytest.approx(60, rel=0.05)
    phase = truth.spikes.phase_rad[pair]
    turns = np.angle(np.exp(1j * (phase[:, 1] - phase[:, 0])))
    np.testing.assert_allclose(delay_as(turns, 1.2), truth.delay_as[pair], atol=1e-6)


def test_the_best_places_drift() -> None:
    drifting = config(chicane={"motor": "CHICANE", "offset_fs": 0.1, "drift_as_per_min": 60})
    chances = XleapMachine(drifting, 1).chances(BEST, [0.0, 60.0])
    assert np.diff(chances.delay_mean_as) == pytest.approx(60)
    wandering = config(modulator={"motor": "GAP", "best": 17.0, "width": 3.0, "wander": 1.0})
    times = np.linspace(0, 3000, 3000)
    first = XleapMachine(wandering, 1).chances(BEST, times).first_chance
    assert first.std() > 0.03


def test_with_the_shutter_closed_there_is_nothing_to_see() -> None:
    machine = XleapMachine(config(), 2)
    dark = shots(machine, 50).dark()
    assert len(dark) == 50
    assert not dark.beam_intensity.any()
    counts = machine.spectrometer.sinograms(dark.pulse_id, dark.spikes)
    assert counts.shape == (50, 16, 512)
    # One electron of the dark rate in each channel.
    assert (counts.sum(axis=(1, 2)) == 16).all()
    assert np.isnan(dark.delay_as).all()


@pytest.mark.parametrize(
    ("positions", "words"),
    [
        ({"GAP": np.nan}, "motor 'GAP' is not finite"),
        ({"GAP": [1.0, 2.0]}, r"shape \(2,\)"),
    ],
)
def test_wrong_positions_are_errors(positions: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        XleapMachine(config(), 1).chances({**BEST, **positions}, 0.0)
    with pytest.raises(ValueError, match="no position of motor 'CHICANE'"):
        XleapMachine(config(), 1).chances({"GAP": 1.0, "TAPER": 0.0, "LASER": 0.0}, 0.0)


def test_the_log_gives_the_truth_back(tmp_path: Any) -> None:
    machine = XleapMachine(config(), 4)
    truth = shots(machine, 200, {"GAP": 18.0})
    with TruthLog(tmp_path / "truth.arrows", PULSE_TRUTH) as log:
        log.append(truth, np.arange(200))
    read = read_pulse_truth(tmp_path / "truth.arrows")
    assert read.complete
    np.testing.assert_array_equal(read.n_spikes, truth.n_spikes)
    np.testing.assert_array_equal(read.delay_as, truth.delay_as)
    np.testing.assert_array_equal(read.chances.first_chance, truth.first_chance)
