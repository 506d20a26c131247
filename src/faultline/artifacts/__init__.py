"""Bundles, run folders, provenance and curves: all that a training leaves behind."""
