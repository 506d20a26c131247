"""The predictor: from pixels to probabilities and mask, the same for every user of a bundle."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.contents import Threshold
from faultline.artifacts.device import resolve_device
from faultline.artifacts.precision import resolve_precision
from faultline.data.resize import (
    fit_picture,
    fitted_shape,
    resize_picture,
    resize_probability,
)
from faultline.errors import ConfigError, ContractError
from faultline.models.backbones import for_inference
from faultline.predict.padding import pad_reflect, padded_size
from faultline.predict.probability import Prediction, to_mask, to_probability
from faultline.predict.tiling import predict_tiled
from faultline.predict.tta import mirrored_mean
from faultline.types import LabelKind, LabelSpace

Pixels = NDArray[np.uint8]


class Predictor:
    """Answers for pictures, from a bundle.

    Args:
        bundle: The model and all that belongs to it.
        device: "auto", "cpu", "cuda", ...; see `resolve_device`.
        precision: "auto", "fp32", "bf16" or "fp16"; see `resolve_precision`.
        threshold: Wins over the bundle's and is recorded as set by hand.
        tta: Average over mirrored copies (four times the work).
        tile: Side of tiles in pixels; None tiles only pictures above the bundle's limit, 0 none.

    Raises:
        BundleError: The weights do not fit their model.
        ConfigError: A setting is out of range or not available on this machine.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: str | torch.device = "auto",
        precision: str = "auto",
        threshold: float | None = None,
        tta: bool = False,
        tile: int | None = None,
    ) -> None:
        if tile is not None and tile < 0:
            raise ConfigError(f"tile is {tile}", remedy="give a side in pixels, or 0 for no tiles")
        self.bundle = bundle
        self.threshold = _threshold(bundle, threshold)
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        self.tta = tta
        self.tile = tile
        model = for_inference(bundle.build_model()).requires_grad_(False)
        self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(self, image: Pixels) -> Prediction:
        """The answer for one RGB picture (H, W, 3) uint8, of any size.

        Raises:
            ContractError: `image` is of another shape or type.
        """
        return self.predict_batch([image])[0]

    def predict_batch(self, images: Sequence[Pixels]) -> list[Prediction]:
        """The answers for RGB pictures (H, W, 3) uint8 of one size, in the same order.

        Raises:
            ContractError: A picture is of another shape or type, or sizes differ.
        """
        if not images:
            return []
        for image in images:
            check_picture(image, images[0].shape)
        start = time.perf_counter()
        probabilities = self._probabilities(images)
        masks = [self._mask(probability) for probability in probabilities]
        seconds = (time.perf_counter() - start) / len(images)
        maker, first = self.bundle.fingerprint, self.bundle.label_space.first
        return [
            Prediction(probability, mask, self.threshold.value, maker, seconds, first)
            for probability, mask in zip(probabilities, masks, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """All that decides the answers, as plain JSON values, to be stored beside them."""
        return {
            "maker": self.bundle.fingerprint,
            "model": self.bundle.model_name,
            "threshold": self.threshold.to_dict(),
            "device": self.device.type,
            "precision": self.precision.precision,
            "tta": self.tta,
            "tile": self.tile,
        }

    def _mask(self, probability: NDArray[np.float32]) -> Pixels:
        return to_mask(probability, self.bundle.label_space.kind, self.threshold.value)

    def _probabilities(self, images: Sequence[Pixels]) -> list[NDArray[np.float32]]:
        """Probabilities (K, H, W) at the size of the pictures, whatever size they are taken at."""
        height, width = images[0].shape[:2]
        spec = self.bundle.input
        if spec.height and spec.width:
            size, keep = (spec.height, spec.width), bool(spec.keep_aspect)
            rows, columns = fitted_shape((height, width), size, keep)
            fitted = np.stack([fit_picture(image, size, keep) for image in images])
            found = self._forward(fitted)[..., :rows, :columns]
            return [resize_probability(p, height, width) for p in found]
        resized = [resize_picture(image, spec.resize) for image in images]
        return [resize_probability(p, height, width) for p in self._at_model_size(resized)]

    def _at_model_size(self, images: Sequence[Pixels]) -> list[NDArray[np.float32]]:
        tile = self._tile_side(*images[0].shape[:2])
        if tile == 0:
            return list(self._forward(np.stack(images)))
        classes = self.bundle.label_space.num_outputs
        return [predict_tiled(self._forward, image, classes, tile) for image in images]

    def _tile_side(self, height: int, width: int) -> int:
        """Side of tiles for a picture of this size; 0 takes it whole."""
        spec = self.bundle.input
        if self.tile is None:
            return spec.tile if height * width > spec.max_pixels else 0
        return self.tile if max(height, width) > self.tile else 0

    @torch.inference_mode()
    def _forward(self, images: Pixels) -> NDArray[np.float32]:
        """(B, H, W, 3) uint8 -> probabilities (B, K, H, W) float32."""
        # Pixels lie channel by channel already, so the permuted view is channels_last.
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).to(self.device)
        pictures = self.bundle.normalisation.apply(pixels)
        if self.tta:
            return mirrored_mean(self._answer, pictures).cpu().numpy()
        return self._answer(pictures).cpu().numpy()

    def _answer(self, pictures: Tensor) -> Tensor:
        """Normalised (B, 3, H, W) -> probabilities (B, K, H, W) float32."""
        spec = self.bundle.input
        height, width = pictures.shape[2:]
        tall, wide = (padded_size(n, spec.multiple, spec.min_size) for n in (height, width))
        padded = pad_reflect(pictures, tall, wide).contiguous(memory_format=torch.channels_last)
        with self.precision.autocast(self.device):
            logits = self.model(padded)
        expected = (len(pictures), self.bundle.label_space.num_outputs, tall, wide)
        if tuple(logits.shape) != expected:
            raise ContractError(
                f"model {self.bundle.model_name!r} gave logits of {tuple(logits.shape)} "
                f"for pictures of {tuple(padded.shape)}, expected {expected}",
                where=self.bundle.source,
                remedy="a model must return (B, K, H, W), K being the number of classes",
            )
        return to_probability(logits[..., :height, :width], self.bundle.label_space.kind)


def _threshold(bundle: Bundle, asked: float | None) -> Threshold:
    """The one asked for, or the bundle's; classes that exclude each other have none."""
    if asked is not None:
        return threshold_by_hand(bundle.label_space, asked)
    if bundle.label_space.kind is not LabelKind.MULTICLASS:
        return bundle.threshold
    return Threshold(status="most_probable")


def threshold_by_hand(space: LabelSpace, asked: float) -> Threshold:
    """A threshold that a person asks for.

    Raises:
        ConfigError: The classes exclude each other, or it does not lie between 0 and 1.
    """
    if space.kind is LabelKind.MULTICLASS:
        raise ConfigError(
            f"threshold {asked:g} cannot be used: the classes exclude each other, and the most "
            "probable one is taken",
            remedy="leave the threshold out",
        )
    return Threshold.by_hand(asked)


def check_picture(image: Pixels, shape: tuple[int, ...]) -> None:
    """Make sure that `image` is RGB (H, W, 3) uint8, and of `shape`.

    Raises:
        ContractError: It is not.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ContractError(
            f"picture of shape {image.shape} and type {image.dtype}",
            remedy="give RGB pictures (H, W, 3) of uint8, as read_image returns them",
        )
    if image.shape != shape:
        raise ContractError(
            f"pictures of different sizes in one batch: {shape} and {image.shape}",
            remedy="predict them one by one, or batch those of one size",
        )
