"""The gate: does a picture show a plant at all? Asked before anything else is said about it."""
