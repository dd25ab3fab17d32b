"""Who takes part in the comparison on simulated beamlines: ours, parts of ours, and peers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from _gpcam import GpcamPolicy
from _habits import FixedStays, Guided, Opened, Renewed, WithoutErrors
from _holding import Holding
from _xopt_in_time import XoptInTimePolicy

from autosteer.contracts import Problem
from autosteer.policies import RandomPolicy
from autosteer.policies.peers import AxPolicy, BlopPolicy, OptunaPolicy, XoptPolicy

PIPELINED, WAITING = 8, 0
_HABITS = ("benchmarks/_habits.py",)
_HOLDING = ("benchmarks/_holding.py", "policies/_nearby.py")
STAYS_S = (0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a policy with fixed stays is used.

    Parameters
    ----------
    stay_s : float, optional
        Shots are taken for so long at each place [s]; None: the policy says.
    in_flight : int, optional
        Places that may be left before their results are there; None: as the scenario says.
    """

    stay_s: float | None = None
    in_flight: int | None = None

    def __str__(self) -> str:
        """Return it in words, for the table."""
        stay = "its own stays" if self.stay_s is None else f"{self.stay_s:g} s"
        return f"{stay}, waiting" if self.in_flight == WAITING else stay


def _as_it_is(policy: Any) -> Any:
    return policy


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who takes part.

    Parameters
    ----------
    make : callable, optional
        Makes the policy of the problem; None: the policy that the scenario names.
    habit : callable, optional
        How that policy is used.
    packages : tuple of str
        Distributions of other people that do the work; empty for our own.
    tunings : tuple of Tuning
        How it may be used: the best of these is found out first, unless there is only one.
    overrides : tuple of str
        Overrides of the scenario.
    files : tuple of str
        Files of the benchmark on which the results depend.
    """

    make: Callable[[Problem], Any] | None = None
    habit: Callable[[Any], Any] = _as_it_is
    packages: tuple[str, ...] = ()
    tunings: tuple[Tuning, ...] = (Tuning(),)
    overrides: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def versions(self) -> dict[str, str] | None:
        """Versions of its packages; None where one is not installed."""
        found = {}
        with contextlib.suppress(PackageNotFoundError):
            for package in self.packages:
                found[package] = version(package)
            return found
        return None


_PIPELINED_ONLY = tuple(Tuning(stay_s, PIPELINED) for stay_s in STAYS_S)
_WAITING_ONLY = tuple(Tuning(stay_s, WAITING) for stay_s in STAYS_S)
_EITHER = _PIPELINED_ONLY + _WAITING_ONLY

PEERS: Mapping[str, Contender] = {
    "ax": Contender(AxPolicy, packages=("ax-platform",), tunings=_EITHER),
    "optuna": Contender(OptunaPolicy, packages=("optuna",), tunings=_EITHER),
    "blop": Contender(BlopPolicy, packages=("blop", "ax-platform"), tunings=_EITHER),
    "xopt": Contender(XoptPolicy, packages=("xopt",), tunings=_EITHER),
    "gpcam": Contender(
        partial(Opened, make=GpcamPolicy),
        packages=("gpcam",),
        tunings=_WAITING_ONLY,
        files=("benchmarks/_gpcam.py", *_HABITS),
    ),
}
"""Other people's optimizers; gpCAM knows no points in flight, and is made to wait."""

_TAGGED = ("dwell.motion=tag",)
OURS = Contender(overrides=_TAGGED)
FOLLOW = Contender(overrides=("policy.class=autosteer.policies:FollowPolicy", "policy.options={}"))
RANDOM = Contender(RandomPolicy, tunings=_PIPELINED_ONLY)

ABLATION: Mapping[str, Contender] = {
    "ours": OURS,
    "no pipeline": replace(OURS, tunings=(Tuning(None, WAITING),)),
    "fixed stays": replace(OURS, habit=FixedStays, tunings=tuple(map(Tuning, STAYS_S))),
    "no errors": replace(OURS, habit=WithoutErrors),
    "no diagnostics": replace(OURS, overrides=(*_TAGGED, "diagnostics=[]")),
    "no shots in motion": Contender(),
    "none of the five": Contender(
        habit=lambda policy: FixedStays(WithoutErrors(policy)),
        tunings=_WAITING_ONLY,
        overrides=("diagnostics=[]",),
    ),
}
"""Ours with one thing left out."""


def _with_habit(peer: Contender, habit: Callable[..., Any], **options: Any) -> Contender:
    return replace(
        peer,
        make=partial(habit, make=peer.make, **options),
        tunings=_WAITING_ONLY if peer.tunings == _WAITING_ONLY else _PIPELINED_ONLY,
        files=(*peer.files, *_HABITS, *(_HOLDING if habit is Holding else ())),
    )


GUIDED: Mapping[str, Contender] = {
    f"{name} guided": _with_habit(peer, Guided) for name, peer in PEERS.items()
}
"""Peers that somebody lets optimize a diagnostic first."""


FOLLOWERS: Mapping[str, Contender] = {
    "xopt in time": Contender(
        XoptInTimePolicy,
        packages=("xopt",),
        tunings=_WAITING_ONLY,
        files=("benchmarks/_xopt_in_time.py",),
    ),
    **{
        f"{name} {habit}": contender
        for name, peer in PEERS.items()
        for habit, contender in {
            "holding": _with_habit(peer, Holding),
            "then near": _with_habit(peer, Holding, search_s=30.0, near=0.25),
            "going on": _with_habit(peer, Renewed),
        }.items()
    },
}
"""Peers that follow an optimum which wanders: by a model of time, or by habits of their users."""
