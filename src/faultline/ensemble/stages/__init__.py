"""The stages; importing this registers all of them, in the order of the second document."""

from faultline.ensemble.stages import stacking, voting  # noqa: F401
