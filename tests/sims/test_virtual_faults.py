"""Faults on the virtual clock: moves that fail, a beam that trips, results that never come."""

from __future__ import annotations

import pytest

from tests.sims.scenario_runs import run


def _options(**given: float) -> list[str]:
    return [f"simulation.beamline.options.{name}={value}" for name, value in given.items()]


def test_a_share_of_the_moves_fails_and_the_run_goes_on() -> None:
    fails = "simulation.ioc.failed_moves=0.3"
    made, _ = run("branin", 1, fails, "stop.duration_s=60", "stop.max_failures=50")
    assert made.run().ok
    controller = made.controller
    failed = controller.decisions - controller.moves
    assert controller.decisions >= 40
    assert failed / controller.decisions == pytest.approx(0.3, abs=0.15)
    # Nothing has moved where a move failed: what is measured there stands at its old place.
    found = [name for name in controller.outcomes if name.startswith("found-")]
    assert len(found) >= 0.8 * failed


def test_moves_that_fail_in_a_row_end_a_run() -> None:
    made, _ = run("branin", 1, "simulation.ioc.failed_moves=0.99", "stop.duration_s=60")
    finish = made.run()
    assert not finish.ok
    assert "moves fail, 3 times in a row" in finish.reason


def test_nothing_moves_while_the_beam_is_away() -> None:
    made, beamline = run("branin", 2, *_options(trips_per_min=6, trip_s=5), "stop.duration_s=60")
    beam: list[tuple[float, int]] = []

    def look(now_ns: int) -> None:
        beam.append((beamline.interlocks()["beam"], made.controller.decisions))

    assert made.run(look).ok
    dark = [number for number, (intensity, _) in enumerate(beam) if intensity == 0]
    assert len(dark) > 50
    assert made.controller.moves > 20
    for number in dark:
        # The controller hears of the monitor in the next step.
        if number - 1 in dark:
            assert beam[number][1] == beam[number - 1][1]


def test_results_that_never_come_are_missed_and_waited_for_no_longer_than_said() -> None:
    lossy, _ = run("branin", 3, *_options(lost_results=0.3), "stop.duration_s=30")
    whole, _ = run("branin", 3, "stop.duration_s=30")
    assert lossy.run().ok
    assert whole.run().ok
    for made, share in ((lossy, 0.7), (whole, 1.0)):
        outcomes = [one for one in made.controller.outcomes.values() if "value" in one.estimates]
        assert len(outcomes) >= 10
        counted = sum(one.estimates["value"].n for one in outcomes)
        assert counted / sum(one.n_shots for one in outcomes) == pytest.approx(share, abs=0.03)
