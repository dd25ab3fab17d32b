"""The simulated beamlines of the scenarios: what their shots give, by knobs and time."""
