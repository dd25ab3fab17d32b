"""Worlds made of scenes: what is drawn has the stated means, and faults do what they say."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from autosteer.contracts import Experiment, ExperimentFileError, parse_experiment
from autosteer.sims.scene import Scene, Signal
from autosteer.sims.scenes.samples import WellScene, plate_of_wells
from autosteer.sims.scenes.tables import WELL
from autosteer.sims.signal_world import Flow, signal_world
from autosteer.sims.worlds import World
from tests.experiments import experiment_data

Float = NDArray[np.float64]
CUSTOM = {"kind": "custom", "world": "somewhere:something"}
HIT = {"name": "hits", "column": "well.hit", "reduce": "fraction"}


def experiment(**changes: Any) -> Experiment:
    """Give the small experiment on a world of its own."""
    changes = {"simulation__beamline": CUSTOM, "objective": HIT, **changes}
    return parse_experiment(experiment_data(**changes), "test")


class Slope(Scene):
    """A hit fraction and numbers of spots that grow with x; nothing depends on y."""

    knobs = ("x",)
    kind = WELL
    signals: Mapping[str, Signal] = {
        "hit": Signal("fraction"),
        "n_spots": Signal("count", per_energy=True, only_with="hit", otherwise=0.5),
    }

    def expected(self, knobs: Mapping[str, Float], times_s: Float) -> Mapping[str, Float]:
        return {"hit": 0.5 + 4 * knobs["x"], "n_spots": 20 + 100 * knobs["x"]}


def slope(flow: Flow | None = None, seed: int = 1, **changes: Any) -> World[Any]:
    return signal_world(experiment(**changes), seed, Slope(seed), flow)


def shots(
    world: World[Any], first: int, count: int, x: float, rate_hz: float = 100.0
) -> Mapping[str, pa.RecordBatch]:
    numbers = first + np.arange(count)
    times_s = numbers / rate_hz
    return world.tables(
        (1 + numbers).astype(np.uint64),
        times_s,
        np.rint(times_s * 1e9).astype(np.int64),
        {"X": x, "Y": 0.0},
    )


def values(table: pa.RecordBatch, name: str) -> NDArray[Any]:
    return np.asarray(table.column(name).to_numpy(zero_copy_only=False))


@given(cuts=st.lists(st.integers(1, 199), unique=True), seed=st.integers(0, 1000))
def test_shots_are_the_same_however_they_are_grouped(cuts: list[int], seed: int) -> None:
    flow = Flow(lost_results=0.2, trips_per_min=60, trip_s=0.3)
    whole = shots(slope(flow, seed), 0, 200, 0.03)
    world = slope(flow, seed)
    edges = [0, *sorted(cuts), 200]
    parts = [shots(world, low, high - low, 0.03) for low, high in pairwise(edges)]
    for kind, table in whole.items():
        pieces = [part[kind] for part in parts if kind in part]
        assert pa.Table.from_batches(pieces).combine_chunks().to_pydict() == table.to_pydict()


def test_another_seed_draws_other_shots() -> None:
    assert not shots(slope(seed=1), 0, 50, 0.0)["well"].equals(
        shots(slope(seed=2), 0, 50, 0.0)["well"]
    )


def test_spots_come_with_hits_and_with_the_energy_of_the_pulse() -> None:
    tables = shots(slope(Flow(intensity_spread=0.3)), 0, 40_000, 0.05)
    hit, spots = (values(tables["well"], name) for name in ("hit", "n_spots"))
    energy = values(tables["machine"], "beam_intensity")
    assert hit.mean() == pytest.approx(0.7, abs=0.01)
    assert spots[hit].mean() == pytest.approx(25, abs=0.2)
    assert spots[~hit].mean() == pytest.approx(0.5, abs=0.02)
    assert energy.std() == pytest.approx(0.3, abs=0.01)
    # Poisson numbers about 25 times the energy: the spread of both adds up.
    assert spots[hit].var() == pytest.approx(25 + (25 * 0.3) ** 2, rel=0.05)


def test_large_counts_are_poisson_distributed_too() -> None:
    class Bright(Slope):
        signals: Mapping[str, Signal] = {"hit": Signal("fraction"), "n_spots": Signal("count")}

        def expected(self, knobs: Mapping[str, Float], times_s: Float) -> Mapping[str, Float]:
            return {"hit": np.ones_like(times_s), "n_spots": np.full_like(times_s, 900.0)}

    world = signal_world(experiment(), 1, Bright(1))
    spots = values(shots(world, 0, 40_000, 0.0)["well"], "n_spots")
    assert spots.mean() == pytest.approx(900, abs=1)
    assert spots.var() == pytest.approx(900, rel=0.03)


def test_lost_results_never_come_and_the_beam_monitor_does() -> None:
    world = slope(Flow(lost_results=0.3))
    tables = shots(world, 0, 20_000, 0.0)
    assert tables["machine"].num_rows == 20_000
    assert tables["well"].num_rows == pytest.approx(14_000, abs=300)
    nothing_came = [shots(world, first, 1, 0.0) for first in range(100)]
    assert sum("well" not in tables for tables in nothing_came) == pytest.approx(30, abs=15)


def test_the_beam_trips_for_seconds_and_nothing_is_hit_meanwhile() -> None:
    tables = shots(slope(Flow(trips_per_min=6, trip_s=5)), 0, 200_000, 0.1)
    dark = values(tables["machine"], "beam_intensity") == 0
    # 5 s off after 10 s on, on the average.
    assert dark.mean() == pytest.approx(1 / 3, abs=0.1)
    starts = np.count_nonzero(np.diff(dark.astype(int)) == 1)
    assert dark.sum() / 100 / starts == pytest.approx(5, rel=0.4)
    assert not values(tables["well"], "hit")[dark].any()
    assert not values(tables["well"], "n_spots")[dark].any()
    assert values(tables["well"], "hit")[~dark].mean() == pytest.approx(0.9, abs=0.02)


def test_the_share_is_over_the_best_and_limits_count() -> None:
    world = slope()
    here, best = {"X": 0.05, "Y": 0.0}, {"X": 0.1, "Y": 0.3}
    assert world.truths(here, 0.0) == {"hits": pytest.approx(0.7)}
    assert list(world.attainable(0.0)) == [{"hits": pytest.approx(0.9)}]
    assert world.share_of_attainable(here, 0.0) == pytest.approx(0.7 / 0.9)
    assert world.share_of_attainable(best, 0.0) == pytest.approx(1)
    spots = {"name": "spots", "column": "well.n_spots", "reduce": "mean"}
    limited = slope(constraints=[{**spots, "below": 0.7 * 25 + 0.3 * 0.5}])
    [at_the_edge] = limited.attainable(0.0)
    assert at_the_edge["hits"] == pytest.approx(0.7, abs=1e-6)
    assert limited.share_of_attainable(here, 0.0) == pytest.approx(1, abs=1e-6)
    assert limited.share_of_attainable(best, 0.0) == 0
    nowhere = slope(constraints=[{**spots, "below": -1}])
    assert nowhere.attainable(0.0) == ()
    assert np.isnan(nowhere.share_of_attainable(here, 0.0))


def test_what_is_to_be_small_is_scored_by_its_regret() -> None:
    world = slope(objective={**HIT, "direction": "minimize"})
    assert list(world.attainable(0.0)) == [{"hits": pytest.approx(0.1)}]
    shares = [world.share_of_attainable({"X": x, "Y": 0.0}, 0.0) for x in (-0.1, 0.0, 0.1)]
    assert shares == pytest.approx([1, 0, -1], abs=2e-3)


def test_what_enters_with_hits_alone_has_the_mean_of_hits() -> None:
    spots = {"name": "spots", "column": "well.n_spots", "reduce": "mean"}
    where = [{"column": "well.hit", "equals": True}]
    odd = {**spots, "name": "odd", "where": [{"column": "well.n_spots", "above": 3}]}
    world = slope(
        observables=[spots, {**spots, "name": "spots_of_hits", "where": where}, odd],
    )
    truths = world.truths({"X": 0.05, "Y": 0.0}, 0.0)
    assert truths == {
        "hits": pytest.approx(0.7),
        "spots": pytest.approx(0.7 * 25 + 0.3 * 0.5),
        "spots_of_hits": pytest.approx(25),
    }


def test_what_cannot_be_scored_is_said_so() -> None:
    with pytest.raises(ExperimentFileError, match="does not know the truth of rate"):
        slope(objective={"name": "rate", "column": "indexing.hit", "reduce": "fraction"})
    with pytest.raises(ExperimentFileError, match="needs the knobs well"):
        plate_of_wells(experiment(), 1)
    with pytest.raises(ValueError, match="lost_results is 1"):
        Flow(lost_results=1)
    with pytest.raises(ValueError, match="trip_s is 0"):
        Flow(trip_s=0)
    with pytest.raises(ValueError, match="latency_s is -1"):
        Flow(latency_s=-1)


def test_wells_are_used_up_by_shots_with_beam() -> None:
    scene = WellScene(3, lasts_shots=100)
    assert np.count_nonzero(scene.qualities >= 0.35) == 4
    assert np.count_nonzero(scene.qualities == 0) == 12
    well = scene.best(0.0)["well"]
    fresh = scene.qualities[int(well) - 1]
    here = {"well": np.full(150, well)}
    lit = np.arange(150) % 3 > 0
    hits = scene.expose(here, np.zeros(150), lit)["hit"]
    taken: NDArray[np.int64] = np.cumsum(lit) - lit
    np.testing.assert_allclose(hits, fresh * np.exp(-taken / 100))
    [after] = scene.expected({"well": np.array([well])}, np.zeros(1))["hit"]
    assert after == pytest.approx(fresh * np.exp(-1))
    assert scene.best(0.0)["well"] != well
    between = scene.expected({"well": np.array([well + 0.4])}, np.zeros(1))["hit"]
    assert between == 0
    assert not np.array_equal(WellScene(4).qualities, scene.qualities)
