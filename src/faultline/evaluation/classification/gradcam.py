"""Grad-CAM: where a classifier looked when it gave a class its score (Selvaraju et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from faultline.data.resize import fitted_shape
from faultline.extras import import_extra
from faultline.predict.class_predictor import ClassPredictor

EXTRA = "explain"
Pixels = NDArray[np.uint8]
Heat = NDArray[np.float32]
AsMap = Callable[[Tensor, tuple[int, int]], Tensor]


class GradCam:
    """Heat maps of one predictor's network, through captum's LayerGradCam.

    The layer is the one that the backbone names as its last evidence; of a network without that,
    the last convolution.

    Args:
        predictor: What gives the answers.

    Raises:
        MissingExtraError: captum is not installed.
    """

    def __init__(self, predictor: ClassPredictor) -> None:
        captum: Any = import_extra("captum.attr", EXTRA)
        self.predictor = predictor
        self._tap = nn.Identity()
        self._grad_cam = captum.LayerGradCam(self._logits, self._tap)

    def heat(self, picture: Pixels, class_index: int) -> Heat:
        """Evidence for a class, (H, W) of the picture as fitted, 0 to 1; 0 where there is none.

        Args:
            picture: (H, W, 3) uint8, fitted (see `ClassPredictor.fit`).
            class_index: Position of the class.
        """
        predictor = self.predictor
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].to(predictor.device)
        inputs = predictor.bundle.normalisation.apply(pixels).requires_grad_()
        layer, as_map, padded = _evidence(predictor.model, picture.shape[0], picture.shape[1])
        link = layer.register_forward_hook(_tapped(self._tap, as_map, picture.shape[:2]))
        try:
            with torch.enable_grad():
                found = self._grad_cam.attribute(inputs, class_index, relu_attributions=True)
        finally:
            link.remove()
        return _upright(found[0, 0].detach().float().cpu().numpy(), padded, picture.shape[:2])

    def heat_on(self, picture: Pixels, class_index: int) -> Heat:
        """Evidence for a class, (H, W) of a picture of any size (H, W, 3) uint8, 0 to 1."""
        fitted = self.predictor.fit(picture)
        heat = self.heat(fitted, class_index)
        keep = bool(self.predictor.bundle.input.keep_aspect)
        height, width = fitted_shape(picture.shape[:2], fitted.shape[:2], keep)
        size = (picture.shape[1], picture.shape[0])
        large = cv2.resize(heat[:height, :width], size, interpolation=cv2.INTER_LINEAR)
        return np.clip(large, 0, 1).astype(np.float32)

    def _logits(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.predictor.model(pictures)
        return logits


class _Link(torch.autograd.Function):
    """Puts a map beside the flow: the output passes unchanged, its gradient reaches the map too.

    Grad-CAM wants activations (B, C, h, w). A transformer's are tokens or channels last; the way
    back from a map to them is not always there, but none is needed: gradients of the map are
    those of the output, arranged in the same way.
    """

    @staticmethod
    def forward(
        ctx: Any, output: Tensor, mapped: Tensor, arrange: Callable[[Tensor], Tensor]
    ) -> Tensor:
        ctx.arrange = arrange
        return output.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        return gradient, ctx.arrange(gradient), None


def _tapped(tap: nn.Module, as_map: AsMap, size: tuple[int, ...]) -> Callable[..., Tensor]:
    """A forward hook that lets a layer's output pass by `tap` as a map."""
    shape = (size[0], size[1])

    def arrange(output: Tensor) -> Tensor:
        return as_map(output, shape)

    def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        linked: Tensor = _Link.apply(output, tap(arrange(output)), arrange)
        return linked

    return hook


def _evidence(
    model: nn.Module, height: int, width: int
) -> tuple[nn.Module, AsMap, tuple[int, int]]:
    """Layer to look at, how its output becomes a map, and the size that the map covers."""
    backbone: Any = getattr(model, "backbone", None)
    if hasattr(backbone, "evidence"):
        layer, as_map = backbone.evidence()
        return layer, as_map, tuple(backbone.padded_size(height, width))
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    return convolutions[-1], lambda output, size: output, (height, width)


def _upright(heat: Heat, padded: tuple[int, int], size: tuple[int, ...]) -> Heat:
    """Map (h, w) at the size of the picture, scaled to a maximum of 1."""
    large = cv2.resize(heat, (padded[1], padded[0]), interpolation=cv2.INTER_LINEAR)
    cut = np.clip(large[: size[0], : size[1]], 0, None).astype(np.float32)
    highest = float(cut.max(initial=0.0))
    return cut / highest if highest > 0 else cut


def overlay_heat(picture: Pixels, heat: Heat, strength: float = 0.55) -> Pixels:
    """`picture` (H, W, 3) with `heat` (H, W) over it: dark where there is none, yellow at most."""
    colours = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    share = strength * heat[..., None]
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return (grey * (1 - share) + colours * share).round().astype(np.uint8)
