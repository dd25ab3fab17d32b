"""autosteer: an autonomous experiment control agent for X-ray light sources."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autosteer.cli.prompt import steer

__version__ = "0.1.0"

__all__ = ["__version__", "steer"]


def __getattr__(name: str) -> Any:
    """Import what is heavy when somebody wants it."""
    if name == "steer":
        from autosteer.cli.prompt import steer

        return steer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
