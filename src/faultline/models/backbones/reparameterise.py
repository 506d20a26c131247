"""Fusing the branches of a trained network into single convolutions."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from torch import nn

_VERBS = ("fuse", "reparameterize", "switch_to_deploy")
"""What timm's layers call it; the first gives a new layer, the others change the layer."""


def reparameterize(model: nn.Module) -> nn.Module:
    """A copy of `model` for inference whose multi-branch layers are single convolutions.

    Branches that are all linear (convolutions, each with its batch normalisation in evaluation
    mode) add up to one convolution (Ding et al. 2021, "RepVGG", section 3.3). Outputs stay equal
    up to rounding; the copy is in evaluation mode and cannot be trained further. A model without
    such layers is copied as it is.
    """
    return for_inference(deepcopy(model))


def for_inference(model: nn.Module) -> nn.Module:
    """`model` itself in evaluation mode, with its branches fused in place; see `reparameterize`."""
    model.eval()
    _fuse_children(model)
    return model


def _fuse_children(parent: nn.Module) -> None:
    for name, child in parent.named_children():
        verb = _verb_of(child)
        if verb == "fuse":
            setattr(parent, name, _call(child, verb))
        elif verb is not None:
            _call(child, verb)
        _fuse_children(getattr(parent, name))


def _verb_of(layer: nn.Module) -> str | None:
    """How the layer is fused. Only timm's are asked: these words mean other things elsewhere."""
    kind = type(layer)
    if not kind.__module__.startswith("timm."):
        return None
    return next((verb for verb in _VERBS if callable(getattr(kind, verb, None))), None)


def _call(layer: nn.Module, verb: str) -> Any:
    return getattr(layer, verb)()
