"""What every HTTP service here has in common: limits, turns, refusals, and how it is run."""
