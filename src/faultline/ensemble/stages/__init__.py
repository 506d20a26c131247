"""The stages; importing this registers all of them."""

from faultline.ensemble.stages import (  # noqa: F401
    boosting,
    cascade,
    experts,
    fusion,
    meta,
    referee,
    segmentation_voting,
    stacking,
    voting,
)
