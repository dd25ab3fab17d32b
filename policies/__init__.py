"""Policies: what decides where to go. The seam is ``suggest`` and ``ingest``."""

from typing import TYPE_CHECKING, Any

from autosteer.policies.bandit import BanditPolicy
from autosteer.policies.extremum import ExtremumSeeking
from autosteer.policies.lines import LineScanPolicy
from autosteer.policies.simple import GridPolicy, RandomPolicy

if TYPE_CHECKING:
    from autosteer.policies.bayes import BayesianPolicy

__all__ = [
    "BanditPolicy",
    "BayesianPolicy",
    "ExtremumSeeking",
    "GridPolicy",
    "LineScanPolicy",
    "RandomPolicy",
]


def __getattr__(name: str) -> Any:
    """Import BoTorch only when somebody wants it: it takes seconds."""
    if name == "BayesianPolicy":
        from autosteer.policies.bayes import BayesianPolicy

        return BayesianPolicy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
