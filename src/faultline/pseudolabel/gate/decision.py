"""The decision of the gate on a mask: document 2, section 10.1, steps 1 to 8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from faultline.errors import ConfigError
from faultline.pseudolabel.channels import HEALTHY, Bits, holds, plant, signs
from faultline.pseudolabel.class_table import comparable
from faultline.pseudolabel.quality import largest_component

MIN_PLANT = 0.15
MIN_COMPONENT = 500.0
MIN_HEALTHY = 0.10
MIN_LESION = 0.3
REFERENCE_SIDE = 224
"""The 500 pixels are pixels of a picture of 224 x 224, the size that the document works at: 1.0 %
of the picture. In a photograph of 12 megapixels 500 pixels would be a speck, in a thumbnail all."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Least share of plant.

    Attributes:
        classes: By class, as calibrated on a gold set.
        default: For other classes.
    """

    classes: Mapping[str, float] = field(default_factory=dict)
    default: float = MIN_PLANT

    def of(self, class_name: str | None) -> float:
        """The threshold for a class; for an unknown one (None) the lowest of all.

        The gate stands before the classifier, so that the class is unknown in use: a plant of the
        class that fills least of its pictures has to pass too. A class that is named and was not
        calibrated gets the default.
        """
        if not self.classes:
            return self.default
        if class_name is None:
            return min([*self.classes.values(), self.default])
        known = {comparable(name): value for name, value in self.classes.items()}
        return known.get(comparable(class_name), self.default)

    @classmethod
    def from_dict(cls, values: Any, where: object = None) -> Thresholds:
        """From a calibration report, or any JSON with `thresholds` (and `default`).

        Raises:
            ConfigError: It is not of this form, or the calibration that wrote it did not pass.
        """
        place = None if where is None else str(where)
        if isinstance(values, dict) and values.get("passed") is False:
            raise ConfigError(
                "this calibration did not pass, so its thresholds cannot be used",
                where=place,
                remedy="correct the gold masks that it names, or calibrate with --adjust",
            )
        given = values.get("thresholds") if isinstance(values, dict) else None
        default = values.get("default", MIN_PLANT) if isinstance(values, dict) else None
        numbers = [*given.values(), default] if isinstance(given, dict) else [None]
        if not all(isinstance(n, (int, float)) and 0 <= n <= 1 for n in numbers):
            raise ConfigError(
                "has no `thresholds` of class -> 0 to 1",
                where=place,
                remedy="give the calibration_report.json of `faultline gate calibrate`",
            )
        return cls({str(name): float(n) for name, n in given.items()}, float(default))  # type: ignore[union-attr, arg-type]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says of a picture, and why.

    Attributes:
        passed: Whether it shows a plant.
        step: The step of section 10.1 that decided: 4, 5, 6, 7 or 8.
        reason: The same in words.
        plant_ratio: Share of the picture in channels 1 to 4.
        threshold: The least share asked for.
        component: Largest connected region of plant, in pixels of a picture of 224 x 224.
        signs_ratio: Share of the picture in channels 2 to 4.
        healthy_ratio: Share of the picture in channel 1.
    """

    passed: bool
    step: int
    reason: str
    plant_ratio: float
    threshold: float
    component: float
    signs_ratio: float
    healthy_ratio: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def decide(bits: Bits, threshold: float = MIN_PLANT) -> Decision:
    """Whether a mask (H, W) of bits shows a plant.

    Args:
        bits: See `channels`.
        threshold: Least share of plant.
    """
    found = plant(bits)
    ratio = float(found.mean())  # steps 1 to 3
    component = largest_component(found) * REFERENCE_SIDE**2 / bits.size
    sick, healthy = float(signs(bits).mean()), float(holds(bits, HEALTHY).mean())
    passed, step, reason = _steps(ratio, threshold, component, sick, healthy)
    return Decision(passed, step, reason, ratio, threshold, component, sick, healthy)


def _steps(
    ratio: float, threshold: float, component: float, sick: float, healthy: float
) -> tuple[bool, int, str]:
    if ratio < threshold:
        return False, 4, f"too little plant: {ratio:.1%} of the picture, less than {threshold:.1%}"
    if component < MIN_COMPONENT:
        return False, 5, (
            f"no coherent plant: the largest region has {component:.0f} of {MIN_COMPONENT:.0f} "
            f"pixels (at {REFERENCE_SIDE} x {REFERENCE_SIDE})"
        )  # fmt: skip
    if sick > 0:
        return True, 6, f"signs of disease on {sick:.1%} of the picture"
    if healthy > MIN_HEALTHY:
        return True, 7, f"healthy tissue on {healthy:.1%} of the picture"
    return False, 8, "nothing recognised as plant"
