"""The suite of scenarios: each runs, is deterministic, and its truth is what shots show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from autosteer.cli._policies import make_policy
from autosteer.cli.scoring import score
from autosteer.contracts import Experiment, NameResolutionError
from autosteer.sims._motors import motors_of_knobs
from autosteer.sims.scenarios import Scenario, scenarios
from autosteer.sims.worlds import World
from autosteer.steering.reduction import Reduction
from autosteer.stream import JoinedShots
from tests.sims.scenario_runs import CUSTOM, SCENARIOS, random_places, run, scenario, world

_QUIET = (
    "simulation.beamline.options.lost_results=0",
    "simulation.beamline.options.trips_per_min=0",
)
_TIME_S = 7.0
# Where the objective is not of one peak, an ascent from random places may end on a lower one.
_MANY_PEAKS = {"ackley_4", "wells_44"}


def test_the_suite_is_complete() -> None:
    assert {
        *("jet_2", "jet_4", "jet_wander", "kb_focus", "detector_damage", "pump_probe"),
        *("double_pulse", "wells_44", "dose_cap", "aperture_pareto", "energy_context"),
        *("quality_fidelity", "branin", "branin_noisy", "hartmann_4", "hartmann_4_drifting"),
        *("ackley_4", "narrow_peak"),
    } == set(SCENARIOS)
    for name, one in SCENARIOS.items():
        assert one.name == name == scenario(name).name
        assert one.title
    assert SCENARIOS["dose_cap"].tags == {"constrained"}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_depends_on_the_seed_alone(name: str) -> None:
    made, again, other = (run(name, seed, "stop.duration_s=5")[0] for seed in (1, 1, 2))
    for one in (made, again, other):
        finish = one.run()
        assert finish.ok, finish.reason
    assert made.controller.outcomes == again.controller.outcomes
    assert made.controller.outcomes != other.controller.outcomes
    assert made.controller.moves >= 1
    measured = {name for one in made.controller.outcomes.values() for name in one.estimates}
    assert {one.name for one in scenario(name).quantities} <= measured


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_policy_of_the_file_can_be_made_and_asked(name: str) -> None:
    experiment = scenario(name)
    [point] = make_policy(experiment).suggest(1)
    for knob, limits in experiment.knobs.items():
        assert limits.low <= point[knob] <= limits.high


@pytest.mark.parametrize("name", CUSTOM)
def test_the_mean_of_many_shots_is_the_stated_truth(name: str) -> None:
    still = ("simulation.beamline.options.lasts_shots=1000000000",) if name == "wells_44" else ()
    experiment = scenario(name, *_QUIET, *still)
    made = world(name, 5, *_QUIET, *still)
    for place in (*random_places(name, 2, 3), _best_place(made, experiment)):
        truths = made.truths(place, _TIME_S)
        assert set(truths) == {one.name for one in experiment.quantities}
        shots = _shots(made, place, 30_000)
        for quantity in experiment.quantities:
            reduction = Reduction(quantity)
            reduction.add(shots)
            estimate = reduction.estimate
            assert estimate is not None
            error = estimate.mean - truths[quantity.name]
            assert abs(error) < 4.5 * estimate.sem + 1e-4 * abs(estimate.mean), quantity.name


def _shots(made: World[Any], place: Mapping[str, float], count: int) -> JoinedShots:
    """Take shots at one place and one time, joined."""
    pulse_ids = np.arange(1, count + 1, dtype=np.uint64)
    tables = made.tables(pulse_ids, np.full(count, _TIME_S), np.zeros(count, np.int64), place)
    columns = {
        f"{kind}.{name}": batch.column(name).to_numpy(zero_copy_only=False).astype(float)
        for kind, batch in tables.items()
        for name in batch.schema.names
    }
    present = {kind: np.ones(count, np.bool_) for kind in tables}
    return JoinedShots(pulse_ids, np.zeros(count, np.int64), columns, present)


def _best_place(made: World[Any], experiment: Experiment) -> dict[str, float]:
    """Return the place that the scene calls best, or some place."""
    known = made.beamline._scene.best(_TIME_S)  # type: ignore[attr-defined]
    motors = motors_of_knobs(experiment)
    if known is None:
        return random_places(experiment.name, 1, 9)[0]
    return {motors[knob]: value for knob, value in known.items()}


@pytest.mark.parametrize("name", CUSTOM)
def test_no_place_is_better_than_the_stated_best(name: str) -> None:
    experiment = scenario(name)
    made = world(name, 4)
    shares = {0: made.share_of_attainable(_best_place(made, experiment), _TIME_S)}
    if made.beamline._scene.best(_TIME_S) is not None:  # type: ignore[attr-defined]
        assert shares[0] == pytest.approx(1, abs=1e-9)
    places = random_places(name, 1500, 6)
    values = [made.share_of_attainable(place, _TIME_S) for place in places]
    assert max(values) <= 1 + 1e-6
    if name in _MANY_PEAKS:
        return
    motors = motors_of_knobs(experiment)
    bounds = [(one.low, one.high) for one in experiment.knobs.values()]
    scale = np.ptp(bounds, axis=1)

    def loss(unit: np.ndarray[Any, Any]) -> float:
        place = np.array([low for low, _ in bounds]) + unit * scale
        return -made.share_of_attainable(
            dict(zip(motors.values(), place.tolist(), strict=True)), _TIME_S
        )

    ascents = []
    for index in np.argsort(values)[-5:]:
        start = [
            (places[index][motor] - low) / (high - low)
            for motor, (low, high) in zip(motors.values(), bounds, strict=True)
        ]
        options = {"xatol": 1e-7, "fatol": 1e-12, "maxfev": 2500}
        found = minimize(
            loss, start, method="Nelder-Mead", bounds=[(0, 1)] * len(bounds), options=options
        )
        ascents.append(-found.fun)
    # Beyond the best there is nothing; up to it one gets, from somewhere.
    assert 0.995 < max(ascents) <= 1 + 1e-4


@pytest.mark.parametrize("name", ["detector_damage", "dose_cap"])
def test_the_best_within_limits_lies_on_their_edge(name: str) -> None:
    experiment = scenario(name)
    made = world(name, 1)
    [best] = made.attainable(0.0)
    [limit] = experiment.problem.limits
    assert limit.below is not None
    assert limit.kept_by(best[limit.name])
    assert best[limit.name] == pytest.approx(limit.below, rel=1e-3)
    free = scenario(name, "constraints=[]")
    [unlimited] = world(name, 1, "constraints=[]").attainable(0.0)
    assert unlimited[free.objective.name] > 1.05 * best[free.objective.name]
    beamline = run(name, 1)[1]
    standing = beamline.standing(0)
    # The start is a safe place, and far from the best.
    assert not standing.violated
    assert standing.share < 0.5


def test_no_place_beats_the_front() -> None:
    made = world("aperture_pareto", 1)
    front = np.array([[one["signal"], -one["background"]] for one in made.attainable(0.0)])
    assert len(front) > 100
    assert (np.diff(front[:, 0]) > 0).all()
    assert (np.diff(front[:, 1]) < 0).all()
    for place in random_places("aperture_pareto", 300, 2):
        truths = made.truths(place, 0.0)
        here = np.array([truths["signal"], -truths["background"]])
        ahead = (front > here + 0.02 * np.ptp(front, axis=0)).all(axis=1)
        behind = (front < here - 0.02 * np.ptp(front, axis=0)).all(axis=1)
        assert not behind.any()
        if ahead.any():
            assert made.share_of_attainable(place, 0.0) < 1


@pytest.mark.parametrize("name", ["energy_context", "hartmann_4_drifting"])
def test_an_optimum_that_moves_leaves_a_place_behind(name: str) -> None:
    experiment = scenario(name)
    made = world(name, 2)
    motors = motors_of_knobs(experiment)
    scene = made.beamline._scene  # type: ignore[attr-defined]
    shares = []
    for time_s in np.arange(0.0, 120.0, 5.0):
        at_start = {motors[knob]: value for knob, value in scene.best(0.0).items()}
        now = {motors[knob]: value for knob, value in scene.best(time_s).items()}
        assert made.share_of_attainable(now, time_s) == pytest.approx(1)
        shares.append(made.share_of_attainable(at_start, time_s))
        for knob, value in scene.best(time_s).items():
            assert experiment.knobs[knob].low < value < experiment.knobs[knob].high
    assert shares[0] == pytest.approx(1)
    assert min(shares) < 0.8


def test_the_show_case_is_a_needle_with_graded_signs() -> None:
    experiment = scenario("jet_4")
    made = world("jet_4", 1)
    best = _best_place(made, experiment)
    assert made.truths(best, 0.0)["hit_fraction"] == pytest.approx(0.5, abs=0.01)
    assert run("jet_4", 1)[1].standing(0).truths["hit_fraction"] < 1e-3
    widths = {}
    for knob, motor in motors_of_knobs(experiment).items():
        limits = experiment.knobs[knob]
        line = np.linspace(limits.low, limits.high, 2001)
        hits, signal = np.array([
            [truths["hit_fraction"], truths["jet_signal"]]
            for truths in (made.truths({**best, motor: value}, 0.0) for value in line.tolist())
        ]).T
        widths[knob] = np.mean(hits > 0.5 * hits.max())
        # Where hits have become rare, the liquid still shows the way.
        assert np.mean(signal > 10) > 2 * np.mean(hits > 0.25 * hits.max()) or knob != "x"
    assert 0.08 <= widths["x"] <= 0.10
    assert 0.25 <= widths["y"] <= 0.35
    assert 0.25 <= widths["z"] <= 0.35
    assert widths["pressure"] > 0.4
    for motor, one in experiment.simulation.ioc.motors.items():  # type: ignore[union-attr]
        knob = next(k for k, m in motors_of_knobs(experiment).items() if m == motor)
        quarter = (experiment.knobs[knob].high - experiment.knobs[knob].low) / 4
        assert quarter / one.velocity == pytest.approx(0.3, rel=0.02)


def test_a_scenario_is_scored_as_any_file_is() -> None:
    policy = ["policy.class=autosteer.policies:RandomPolicy", "policy.options={}"]
    made = score(
        SCENARIOS["detector_damage"].file, 1, [*policy, "stop.duration_s=10", "stop.then=stay"]
    )
    assert made.start == pytest.approx(0.024, abs=0.01)
    assert 0 < made.violated < 1
    assert score(SCENARIOS["jet_2"].file, 1, [*policy, "stop.duration_s=5"]).violated == 0
    clogs = "simulation.beamline.jet.clogs_per_min=30"
    clogged = score(SCENARIOS["jet_wander"].file, 1, [*policy, clogs, "stop.duration_s=20"])
    # What cannot be attained, while the jet is clogged, counts neither way.
    assert 0 < clogged.mean < 1


def _install(folder: Path, entry_points: str, **files: str) -> None:
    """Put a package into a folder, as pip would."""
    (folder / "elsewhere").mkdir()
    for name, text in files.items():
        (folder / "elsewhere" / name.replace("__", ".")).write_text(text)
    record = folder / "elsewhere-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text(entry_points)


_WORLD = """
from collections.abc import Mapping
import numpy as np
from autosteer.contracts import INDEXING
from autosteer.sims.scene import Scene, Signal
from autosteer.sims.signal_world import world_of

class Valley(Scene):
    knobs = ("x", "y")
    kind = INDEXING
    signals = {"hit": Signal("fraction")}

    def __init__(self, seed, *, depth=1.0):
        super().__init__(seed)
        self.depth = depth

    def best(self, time_s):
        return {"x": 0.02, "y": 0.1}

    def expected(self, knobs, times_s):
        away = ((knobs["x"] - 0.02) / 0.1) ** 2 + ((knobs["y"] - 0.1) / 0.4) ** 2
        return {"hit": 0.8 * np.exp(-self.depth * away)}

make = world_of(Valley)
"""
_ADDED = """
from pathlib import Path
from autosteer.sims.scenarios import Scenario

def valley():
    return Scenario.from_file(Path(__file__).parent / "valley.yaml")

plain = valley()
taken = Scenario("branin", "", plain.file)
wrong = 3
"""


def _valley_file() -> str:
    """Give the experiment file of somebody else, from that of jet_2."""
    text = SCENARIOS["jet_2"].file.read_text()
    head, _, _ = text.partition("  beamline:\n")
    head = head.replace("name: jet_2", "name: valley")
    return f"{head}  beamline: {{kind: custom, world: valley, options: {{depth: 2.0}}}}\n"


@pytest.mark.parametrize("value", ["valley", "plain"])
def test_another_package_adds_a_scenario_and_its_world(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forget(monkeypatch)
    _install(
        tmp_path,
        f"[autosteer.scenarios]\nvalley = elsewhere.added:{value}\n\n"
        "[autosteer.worlds]\nvalley = elsewhere.world:make\n",
        world__py=_WORLD,
        added__py=_ADDED,
        valley__yaml=_valley_file(),
        __init____py="",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = scenarios()
    assert set(found) - set(SCENARIOS) == {"valley"}
    assert found["valley"].title == "find the jet, and stay on it"
    made = score(
        found["valley"].file,
        3,
        ["policy.class=autosteer.policies:RandomPolicy", "policy.options={}", "stop.duration_s=5"],
    )
    expected = np.exp(-2 * ((0.032 / 0.1) ** 2 + (0.1 / 0.4) ** 2))
    assert made.start == pytest.approx(expected, rel=1e-6)
    assert made.moves >= 2


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("taken", "adds a scenario 'branin', and there is one already"),
        ("wrong", "cannot be loaded: 'int' object is not callable"),
        ("nothing", "has no attribute 'nothing'"),
    ],
)
def test_an_entry_point_that_gives_no_scenario_is_named(
    value: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forget(monkeypatch)
    _install(
        tmp_path,
        f"[autosteer.scenarios]\nodd = elsewhere.added:{value}\n",
        added__py=_ADDED,
        valley__yaml=_valley_file(),
        __init____py="",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(NameResolutionError, match=complaint) as error:
        scenarios()
    assert f"odd = elsewhere.added:{value}" in str(error.value)


def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the other package's modules after the test."""
    import sys

    for name in ("elsewhere", "elsewhere.added", "elsewhere.world"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_scenario_takes_its_title_and_tags_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("metadata: {purpose: to try, tags: 'drift , noisy'}\n")
    assert Scenario.from_file(file) == Scenario(
        "mine", "to try", file, frozenset({"drift", "noisy"})
    )
