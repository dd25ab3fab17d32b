"""Training of the networks that characterise pulses; shots come from whoever calls it."""
