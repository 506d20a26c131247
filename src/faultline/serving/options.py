"""What a service is asked to do, and how much a request may ask of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faultline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken.

    Attributes:
        mebibytes: Size of a request's body.
        megapixels: Size of a picture, decoded.
        waiting: Requests that may wait while one is answered.
        prompts: Prompts of a request.
    """

    mebibytes: float = 32.0
    megapixels: float = 50.0
    waiting: int = 8
    prompts: int = 16

    def __post_init__(self) -> None:
        for name in ("mebibytes", "megapixels"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigError(f"the limit of {name} is {value:g}, must be above 0")
        if self.waiting < 0 or self.prompts < 1:
            raise ConfigError(f"{self.waiting} waiting requests", remedy="give 0 or more")

    @property
    def pixels(self) -> int:
        """Of the largest picture."""
        return int(self.megapixels * 1e6)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"max_mebibytes": self.mebibytes, "max_megapixels": self.megapixels,
                "max_waiting": self.waiting, "max_prompts": self.prompts}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What `faultline serve` is asked for.

    Attributes:
        weights: The bundle, or the run that holds it.
        gate: Up to three segmenters that are asked first; none lets every picture pass.
        thresholds: Report of a calibration of the gate.
        class_name: Class of the pictures, where the gate can know it.
        limits: What a request may ask for.
        threshold: Wins over the bundle's.
        tta: Average over mirrored copies.
        mm_per_px: Scale of the pictures, unless a request gives its own.
        base: Local copy of the pretrained model that prompted weights rest on.
        model: Fail unless the weights are of this model.
        device: See `Predictor`.
        precision: See `Predictor`.
    """

    weights: Path
    gate: Sequence[Path] = ()
    thresholds: Path | None = None
    class_name: str | None = None
    limits: Limits = Limits()
    threshold: float | None = None
    tta: bool = False
    mm_per_px: float | None = None
    base: Path | None = None
    model: str | None = None
    device: str = "auto"
    precision: str = "auto"
