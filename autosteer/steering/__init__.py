"""Outcomes of settings, the envelope, the controller, its drivers, and the Bluesky plan."""
