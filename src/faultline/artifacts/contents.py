"""What travels with the weights: how to prepare a picture, and where to cut a probability."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from faultline.errors import ConfigError
from faultline.types import check_threshold


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Mean and standard deviation of each channel, of pixel values scaled to 0-1.

    The defaults are the usual ones of ImageNet (as in torchvision's pretrained weights).
    """

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ConfigError(f"{len(self.mean)} means but {len(self.std)} standard deviations")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)) or min(self.std) <= 0:
            raise ConfigError(f"mean {self.mean} and std {self.std} must be finite, std above 0")

    def apply(self, pixels: Tensor) -> Tensor:
        """Pixels (B, C, H, W) of 0-255, any dtype -> normalised float32 of the same layout."""
        shape = (1, -1, 1, 1)
        mean = torch.tensor([255.0 * value for value in self.mean], device=pixels.device)
        scale = torch.tensor([1 / (255.0 * value) for value in self.std], device=pixels.device)
        return pixels.to(torch.float32).sub(mean.view(shape)).mul_(scale.view(shape))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Normalisation:
        """Inverse of `to_dict`."""
        return cls(
            tuple(float(value) for value in values["mean"]),
            tuple(float(value) for value in values["std"]),
        )


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Sizes that the model was made for, in pixels.

    Attributes:
        size: Side of the training crops, as a hint; pictures of any size can be given.
        multiple: Height and width are padded (by reflection) to a multiple of this.
        min_size: Smaller pictures are padded (by reflection) to at least this.
        tile: Side of the square tiles into which a large picture is cut.
        max_pixels: Pictures of more pixels than this are tiled, so that memory stays bounded.
        resize: Longest side that pictures are resized to first, as in training; 0 keeps them.
        height: Rows that whole pictures are brought to before they are classified; 0 keeps theirs.
        width: Columns, likewise.
        keep_aspect: 1 to pad rather than stretch them to height and width.
    """

    size: int = 256
    multiple: int = 1
    min_size: int = 32
    tile: int = 512
    max_pixels: int = 2**21
    resize: int = 0
    height: int = 0
    width: int = 0
    keep_aspect: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name in ("resize", "height", "width", "keep_aspect") else 1
            if value < least:
                raise ConfigError(f"input {name} is {value}, must be at least {least}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def changed(self) -> dict[str, Any]:
        """The values that differ from their defaults."""
        defaults = InputSpec().to_dict()
        return {name: value for name, value in self.to_dict().items() if value != defaults[name]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> InputSpec:
        """Inverse of `to_dict`; fields that an older writer did not know keep their default."""
        return cls(**{name: int(values[name]) for name in cls.__slots__ if name in values})


@dataclass(frozen=True, slots=True)
class ClassThreshold:
    """The probability from which a picture counts as showing one class.

    Attributes:
        name: The class.
        value: 0 to 1.
        status: "tuned" (searched on its own positives), "shared" (too few positives: the value of
            all classes) or "by_hand".
        positives: Pictures with the class among those searched on.
        score: F1 of the class there; None where it is not defined.
    """

    name: str
    value: float
    status: str
    positives: int = 0
    score: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise ConfigError(f"threshold {self.value} of {self.name!r} is outside 0-1")


@dataclass(frozen=True, slots=True)
class Threshold:
    """The probability from which a pixel counts as positive, and how it was chosen.

    Attributes:
        value: 0 to 1; a pixel is positive where its probability is at least this.
        status: "default" (nobody chose), "tuned" (searched on data), "by_hand" (set by a person)
            "no_positives" (the data it was searched on had none, so `value` is the default), or
            "most_probable" (classes exclude each other: the first one is taken, whatever it has).
        source: What it was chosen on, such as "validation".
        criterion: What was maximised, such as "iou".
        score: The value that the criterion reached, where there is one.
        classes: Values of single classes, where whole pictures are classified; `value` is then
            the one that they share.
    """

    value: float = 0.5
    status: str = "default"
    source: str = ""
    criterion: str = ""
    score: float | None = None
    classes: tuple[ClassThreshold, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise ConfigError(f"threshold {self.value} is outside 0-1")

    def of(self, name: str) -> float:
        """Threshold of the class `name`: its own, or the shared one."""
        return next((one.value for one in self.classes if one.name == name), self.value)

    @classmethod
    def by_hand(cls, value: float, source: str = "setting") -> Threshold:
        """A threshold that a person set; it wins over a tuned one.

        Raises:
            ConfigError: `value` does not lie between 0 and 1, both excluded.
        """
        return cls(check_threshold(float(value)), "by_hand", source)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; without `classes` where there are none."""
        values = asdict(self)
        classes = values.pop("classes")
        return {**values, "classes": list(classes)} if classes else values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Threshold:
        """Inverse of `to_dict`."""
        known = {name: values[name] for name in cls.__slots__ if name in values}
        known["classes"] = tuple(ClassThreshold(**one) for one in known.get("classes", ()))
        return cls(**known)
