"""Scores a policy on the simulated beamline, on the virtual clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autosteer.bench import run_trial
from autosteer.cli._experiment import read_experiment
from autosteer.cli._policies import make_policy, pin_threads
from autosteer.cli._worlds import world_of_experiment
from autosteer.sims.virtual import VirtualBeamline
from autosteer.steering.virtual import VirtualTimes


@dataclass(frozen=True, slots=True)
class Score:
    """How well a run on the simulator went; the truth is known to the score alone.

    Parameters
    ----------
    start, end : float
        How good the place truly was, 1 for the best that there is, at the first shot and where the
        knobs were left: of hits, for example, their probability over the best that any position
        would have given.
    mean : float
        The same on the average over the run: what the search itself has cost.
    moves : int
        Moves that arrived.
    beam_s : float
        Beam time used [s].
    violated : float
        Share of that time during which a limit was truly broken.
    """

    start: float
    end: float
    mean: float
    moves: int
    beam_s: float
    violated: float


def score(file: Path | str, seed: int, overrides: Sequence[str] = ()) -> Score:
    """Run an experiment file on the virtual clock, and score it against the simulator's truth.

    Parameters
    ----------
    file : path-like
        Experiment file with a simulation.
    seed : int
        Seed of the policy and of everything simulated.
    overrides : sequence of str, optional
        Overrides of the file, as ``dotted.path=value``: the policy, for example.

    Returns
    -------
    Score
        The score.
    """
    pin_threads()
    experiment, _ = read_experiment(Path(file), [*overrides, f"seed={seed}"])
    beamline = VirtualBeamline(experiment, world_of_experiment(experiment, seed))
    course = run_trial(experiment, beamline, make_policy(experiment), VirtualTimes())
    # While nothing can be attained, no place is better than another.
    shares = course.share_actual[~np.isnan(course.share_actual)]
    return Score(
        start=float(shares[0]),
        end=float(shares[-1]),
        mean=float(shares.mean()),
        moves=int(course.moves[-1]),
        beam_s=float(course.beam_s[-1]),
        violated=float(course.violated.mean()),
    )
