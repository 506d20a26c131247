"""Masks for leaf pictures without annotation, and the gate that asks whether a plant is there."""
