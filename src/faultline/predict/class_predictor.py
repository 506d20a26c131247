"""The predictor of whole pictures: from pixels to the classes of a picture, for every user."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.device import resolve_device
from faultline.artifacts.precision import resolve_precision
from faultline.data.resize import fit_picture
from faultline.errors import ContractError
from faultline.metrics import decide_classes
from faultline.models.backbones import for_inference
from faultline.predict.predictor import Pixels, check_picture, threshold_by_hand
from faultline.predict.probability import to_probability

_FLIPS: tuple[tuple[int, ...], ...] = ((), (3,), (2,), (2, 3))


@dataclass(frozen=True, slots=True)
class ClassPrediction:
    """The answer for one picture.

    Attributes:
        probability: (K,) float32.
        decided: (K,) booleans: the classes that the picture is said to show.
        maker: Fingerprint of the bundle that made it.
        seconds: Time taken; a picture in a batch counts its share.
    """

    probability: NDArray[np.float32]
    decided: NDArray[np.bool_]
    maker: str
    seconds: float

    def names(self, classes: Sequence[str]) -> list[str]:
        """Names of the classes that it shows."""
        return [name for name, shown in zip(classes, self.decided, strict=True) if shown]


class ClassPredictor:
    """Answers for whole pictures, from a bundle.

    Args:
        bundle: The model and all that belongs to it.
        device: "auto", "cpu", "cuda", ...; see `resolve_device`.
        precision: "auto", "fp32", "bf16" or "fp16"; see `resolve_precision`.
        threshold: One for all classes; wins over the bundle's and is recorded as set by hand.
        tta: Average over mirrored copies (four times the work).

    Raises:
        BundleError: The weights do not fit their model.
        ConfigError: A setting is out of range or not available on this machine, or a threshold is
            asked for where classes exclude each other.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: str | torch.device = "auto",
        precision: str = "auto",
        threshold: float | None = None,
        tta: bool = False,
    ) -> None:
        self.bundle = bundle
        self.names = bundle.label_space.names
        self.threshold = (
            bundle.threshold
            if threshold is None
            else threshold_by_hand(bundle.label_space, threshold)
        )
        self.thresholds = [self.threshold.of(name) for name in self.names]
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        self.tta = tta
        model = for_inference(bundle.build_model()).requires_grad_(False)
        self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(self, image: Pixels) -> ClassPrediction:
        """The answer for one RGB picture (H, W, 3) uint8, of any size."""
        return self.predict_batch([image])[0]

    def predict_batch(self, images: Sequence[Pixels]) -> list[ClassPrediction]:
        """The answers for RGB pictures (H, W, 3) uint8 of any sizes, in the same order.

        Raises:
            ContractError: A picture is of another shape or type, or sizes differ and the bundle
                brings them to none.
        """
        if not images:
            return []
        start = time.perf_counter()
        fitted = [self.fit(image) for image in images]
        for image in fitted:
            check_picture(image, fitted[0].shape)
        pixels = torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2)
        probability = self.probabilities(pixels)
        decided = self.decide(probability)
        seconds = (time.perf_counter() - start) / len(images)
        maker = self.bundle.fingerprint
        return [
            ClassPrediction(row, shown, maker, seconds)
            for row, shown in zip(probability, decided, strict=True)
        ]

    def fit(self, image: Pixels) -> Pixels:
        """The picture at the size that the model was trained on.

        Raises:
            ContractError: It is of another shape or type.
        """
        check_picture(image, image.shape)
        spec = self.bundle.input
        if not (spec.height and spec.width):
            return image
        return fit_picture(image, (spec.height, spec.width), bool(spec.keep_aspect))

    @torch.inference_mode()
    def probabilities(self, pixels: Tensor) -> NDArray[np.float32]:
        """Fitted pictures (B, 3, H, W) uint8 -> probabilities (B, K) float32."""
        pictures = self.bundle.normalisation.apply(pixels.to(self.device))
        flips = _FLIPS if self.tta else _FLIPS[:1]
        answers = [self._answer(pictures.flip(axes) if axes else pictures) for axes in flips]
        found: NDArray[np.float32] = torch.stack(answers).mean(0).cpu().numpy()
        return found

    def decide(self, probability: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Probabilities (B, K) -> what the pictures are said to show, (B, K)."""
        values = probability.astype(np.float64)
        return decide_classes(values, self.bundle.label_space.kind, self.thresholds)

    def describe(self) -> dict[str, Any]:
        """All that decides the answers, as plain JSON values, to be stored beside them."""
        return {
            "maker": self.bundle.fingerprint,
            "model": self.bundle.model_name,
            "threshold": self.threshold.to_dict(),
            "device": self.device.type,
            "precision": self.precision.precision,
            "tta": self.tta,
        }

    def _answer(self, pictures: Tensor) -> Tensor:
        """Normalised (B, 3, H, W) -> probabilities (B, K) float32."""
        with self.precision.autocast(self.device):
            logits = self.model(pictures.contiguous(memory_format=torch.channels_last))
        expected = (len(pictures), len(self.names))
        if tuple(logits.shape) != expected:
            raise ContractError(
                f"model {self.bundle.model_name!r} gave logits of {tuple(logits.shape)} "
                f"for pictures of {tuple(pictures.shape)}, expected {expected}",
                where=self.bundle.source,
                remedy="a classifier must return (B, K), K being the number of classes",
            )
        return to_probability(logits, self.bundle.label_space.kind)
