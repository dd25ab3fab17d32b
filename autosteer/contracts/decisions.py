"""What the decision clock speaks of: estimates, outcomes, suggestions, decisions, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Mode = Literal["observe", "suggest", "approve", "auto"]
"""How far the agent may go: read only, print, move after a person's yes, move."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its uncertainty, from the shots of one setting.

    Parameters
    ----------
    mean : float
        Estimate of the quantity, in the unit of its column.
    sem : float
        Standard error of the mean; never zero for a fraction, whatever the counts.
    n : int
        Shots that entered [shots].
    n_success : int, optional
        For fractions: shots that counted as success.
    """

    mean: float
    sem: float
    n: int
    n_success: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured at one setting so far.

    Outcomes of a setting are cumulative: a later one for the same suggestion replaces the earlier.

    Parameters
    ----------
    suggestion_id : str
        The suggestion (or found position) that the setting belongs to.
    readback : mapping of str to float
        Position reached, by knob, in the knob's unit; not the one asked for.
    estimates : mapping of str to Estimate
        One for each objective, observable and constraint.
    n_shots : int
        Shots attributed to the setting, whether or not an objective used them.
    first_pulse_id, last_pulse_id : int
        Range of the shots; both 0 where there are none.
    t_last_shot_ns : int
        Exposure time of the newest shot [ns UTC]; 0 where there is none.
    elapsed_s : float
        Beam time spent at the setting [s].
    sample_used_nl : float, optional
        Sample spent at the setting [nl], where the flow is known.
    final : bool
        Whether no further shot can come.
    """

    suggestion_id: str
    readback: Mapping[str, float]
    estimates: Mapping[str, Estimate]
    n_shots: int
    first_pulse_id: int
    last_pulse_id: int
    t_last_shot_ns: int
    elapsed_s: float
    sample_used_nl: float | None
    final: bool

    def as_point(self) -> dict[str, Any]:
        """Give the outcome as a policy takes it.

        Returns
        -------
        dict
            ``_id``, one entry per knob, and ``name``, ``name_sem``, ``name_n`` per estimate;
            besides ``_t_s``, the time of the newest shot [s UTC], and ``_final``.
        """
        point: dict[str, Any] = {
            "_id": self.suggestion_id,
            "_t_s": self.t_last_shot_ns / 1e9,
            "_final": self.final,
            **self.readback,
        }
        for name, estimate in self.estimates.items():
            point[name] = estimate.mean
            point[f"{name}_sem"] = estimate.sem
            point[f"{name}_n"] = estimate.n
        return point


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A place to go, proposed by a policy or a person.

    Parameters
    ----------
    id : str
        Identifier that the outcome will carry.
    knobs : mapping of str to float
        Target by knob, in the knob's unit.
    why : str
        The proposer's reason, one line for people.
    shots : int, optional
        Shots wanted there; None: as many as the experiment file says.
    worse_than : float, optional
        The stay may end early when the objective is clearly worse than this.
    """

    id: str
    knobs: Mapping[str, float]
    why: str = ""
    shots: int | None = None
    worse_than: float | None = None


@dataclass(frozen=True, slots=True)
class ParetoPoint:
    """A place that no other known place beats in all objectives.

    Parameters
    ----------
    knobs : mapping of str to float
        Position, in the knobs' units.
    mean, sd : mapping of str to float
        Posterior mean and standard deviation of each objective there.
    """

    knobs: Mapping[str, float]
    mean: Mapping[str, float]
    sd: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Best:
    """Where the policy believes the optimum to be.

    Parameters
    ----------
    knobs : mapping of str to float
        Position, in the knobs' units.
    mean, sd : float
        Posterior mean and standard deviation of the objective there.
    front : tuple of ParetoPoint
        With several objectives, the Pareto set as it is known; else empty.
    """

    knobs: Mapping[str, float]
    mean: float
    sd: float
    front: tuple[ParetoPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the envelope refused a suggestion: not a failure, nothing was tried.

    Parameters
    ----------
    check : str
        Name of the check that refused.
    reason : str
        What was found, with value, limit and unit.
    """

    check: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """One suggestion after the envelope, numbered in the order taken.

    Parameters
    ----------
    number : int
        Running number in the run, from 1.
    suggestion : Suggestion
        What was suggested.
    status : {"accepted", "refused", "printed"}
        What became of it; ``printed`` in modes that move nothing.
    refusal : Refusal, optional
        Why it was refused.
    t_ns : int
        When it was taken [ns UTC].
    last_pulse_id : int
        Newest pulse that the decision rests on; 0 if none.
    t_last_shot_ns : int
        Exposure of the newest shot that the decision rests on [ns UTC]; 0 if none.
    t_informed_ns : int
        Exposure of the newest shot that the policy had seen when it suggested [ns UTC]; 0 if none.
    final : bool
        Whether this is the closing move of the run.
    """

    number: int
    suggestion: Suggestion
    status: Literal["accepted", "refused", "printed"]
    refusal: Refusal | None
    t_ns: int
    last_pulse_id: int
    t_last_shot_ns: int
    t_informed_ns: int
    final: bool = False


@dataclass(frozen=True, slots=True)
class MotorFacts:
    """What a motor says of itself, in the units of its record.

    Parameters
    ----------
    units : str
        Engineering units (EGU).
    low, high : float
        Soft limits; equal where the device states none.
    offset : float
        User offset (OFF).
    direction : int
        User direction (DIR), 0 or 1.
    """

    units: str
    low: float
    high: float
    offset: float = 0.0
    direction: int = 0


@dataclass(frozen=True, slots=True)
class MoveResult:
    """How a move ended.

    Parameters
    ----------
    decision_number : int
        The decision that asked for it.
    status : {"arrived", "failed", "unverified"}
        ``arrived``: the readback is within tolerance; ``failed``: the motor did not do it;
        ``unverified``: nobody could read where it is.
    readback : mapping of str to float
        Position afterwards, by knob; empty where it could not be read.
    message : str
        What happened, for people.
    t_set_ns : int
        When the first set call of the move was made [ns UTC]; 0 if none was.
    """

    decision_number: int
    status: Literal["arrived", "failed", "unverified"]
    readback: Mapping[str, float] = field(default_factory=dict)
    message: str = ""
    t_set_ns: int = 0
