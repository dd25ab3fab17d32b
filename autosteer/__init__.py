"""autosteer: an autonomous experiment control agent for X-ray light sources."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autosteer.cli.prompt import steer
    from autosteer.cli.scoring import score

__version__ = "0.1.0"

__all__ = ["__version__", "score", "steer"]


def __getattr__(name: str) -> Any:
    """Import what is heavy when somebody wants it."""
    later = {"score": "autosteer.cli.scoring", "steer": "autosteer.cli.prompt"}
    if name in later:
        return getattr(import_module(later[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
