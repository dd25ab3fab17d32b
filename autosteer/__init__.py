"""autosteer: an autonomous experiment control agent for X-ray light sources."""

__version__ = "0.1.0"
