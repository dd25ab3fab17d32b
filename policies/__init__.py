"""Policies: what decides where to go. The seam is ``suggest`` and ``ingest``."""

from typing import TYPE_CHECKING, Any

from autosteer.policies.simple import GridPolicy, RandomPolicy

if TYPE_CHECKING:
    from autosteer.policies.bayes import BayesianPolicy
    from autosteer.policies.pareto import ParetoPolicy

__all__ = ["BayesianPolicy", "GridPolicy", "ParetoPolicy", "RandomPolicy"]


def __getattr__(name: str) -> Any:
    """Import BoTorch only when somebody wants it: it takes seconds."""
    if name == "BayesianPolicy":
        from autosteer.policies.bayes import BayesianPolicy

        return BayesianPolicy
    if name == "ParetoPolicy":
        from autosteer.policies.pareto import ParetoPolicy

        return ParetoPolicy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
