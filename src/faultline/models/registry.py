"""The registry of models; plugins add theirs through the entry-point group `faultline.models`."""

from __future__ import annotations

from torch import nn

from faultline.registry import Registry

MODELS: Registry[nn.Module] = Registry("model", "faultline.models")

NETWORK_ONLY = "network_only"
"""Tag of models that can be built, but that no command trains."""
