"""The processes of a run and their supervision, the summary, and the checks of a machine."""
