"""Policies: what decides where to go. The seam is ``suggest`` and ``ingest``."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from autosteer.policies.bandit import BanditPolicy
from autosteer.policies.extremum import ExtremumSeeking
from autosteer.policies.lines import LineScanPolicy
from autosteer.policies.simple import GridPolicy, RandomPolicy

if TYPE_CHECKING:
    from autosteer.policies.bayes import BayesianPolicy
    from autosteer.policies.follow import FollowPolicy
    from autosteer.policies.pareto import ParetoPolicy
    from autosteer.policies.trust import TrustRegionPolicy

__all__ = [
    "BanditPolicy",
    "BayesianPolicy",
    "ExtremumSeeking",
    "FollowPolicy",
    "GridPolicy",
    "LineScanPolicy",
    "ParetoPolicy",
    "RandomPolicy",
    "TrustRegionPolicy",
]


def __getattr__(name: str) -> Any:
    """Import BoTorch, which takes seconds, only when somebody wants it."""
    modules = {
        "BayesianPolicy": "bayes",
        "FollowPolicy": "follow",
        "ParetoPolicy": "pareto",
        "TrustRegionPolicy": "trust",
    }
    if name in modules:
        return getattr(import_module(f"{__name__}.{modules[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
