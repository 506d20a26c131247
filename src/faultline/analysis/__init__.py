"""What trained classifiers have learnt: where they look, what is alive in them, where they err."""
