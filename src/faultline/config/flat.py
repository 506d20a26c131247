"""The flat upper-case configuration of the crack-segmentation document, key by key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from faultline.errors import ConfigError
from faultline.registry import did_you_mean


def _precision(value: Any) -> str:
    return "auto" if value in (True, "true", "True", "auto") else "fp32"


FLAT_KEYS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "MODEL_NAME": ("model.name", str),
    "BASE_CHANNELS": ("model.base_channels", int),
    "ASPP_RATES": ("model.aspp_rates", list),
    "THRESHOLD": ("threshold", lambda value: value),
    "AMP": ("trainer.precision", _precision),
    "BATCH_SIZE": ("data.batch_size", int),
    "EPOCHS": ("trainer.max_epochs", int),
    "LR": ("optimizer.lr", float),
    "WEIGHT_DECAY": ("optimizer.weight_decay", float),
    "SCHEDULER": ("scheduler.name", str),
    "EARLY_STOPPING_PATIENCE": ("trainer.early_stopping_patience", int),
    "ACCUM_STEPS": ("trainer.accumulate", int),
    "LOSS": ("loss.name", str),
    "IMG_SIZE": ("data.crop", int),
    "DATA_ROOT": ("data.root", str),
    "SEED": ("seed", int),
}
"""Flat key -> (key of this package, conversion). The first thirteen are the document's."""

_ONLY_FOR_PLUS = "ASPP_RATES"


def is_flat(values: dict[str, Any]) -> bool:
    """Whether `values` is written with the document's upper-case keys."""
    return any(key.isupper() for key in values)


def from_flat(values: dict[str, Any], model_name: str | None = None) -> dict[str, Any]:
    """Translate flat keys into dotted keys of this package.

    Args:
        values: Flat keys and values.
        model_name: Model that the command line asks for; it wins over `MODEL_NAME`. The ASPP
            rates are used by the `scratch_ed_plus` family only, as the document says.

    Raises:
        ConfigError: Unknown keys or values of the wrong type, all of them at once.
    """
    translated: dict[str, Any] = {}
    wrong: list[str] = []
    for key, value in values.items():
        if key not in FLAT_KEYS:
            wrong.append(f"unknown key {key!r}{did_you_mean(key, FLAT_KEYS)}")
            continue
        target, convert = FLAT_KEYS[key]
        try:
            translated[target] = convert(value)
        except (TypeError, ValueError):
            wrong.append(f"{key}={value!r} is not a valid {getattr(convert, '__name__', 'value')}")
    if wrong:
        raise ConfigError("; ".join(wrong), remedy=f"known flat keys: {', '.join(FLAT_KEYS)}")
    name = model_name or translated.get("model.name", "scratch_ed_plus")
    if not str(name).startswith("scratch_ed_plus"):
        translated.pop(FLAT_KEYS[_ONLY_FOR_PLUS][0], None)
    return translated
