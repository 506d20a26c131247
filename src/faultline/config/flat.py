"""The flat upper-case configuration of the crack-segmentation document, key by key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from faultline.config.schema import Config
from faultline.registry import did_you_mean


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text; put it in quotes")
    if not value.strip():
        raise ValueError("is empty")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return int(value)
        except ValueError:
            pass
    raise ValueError("must be a whole number")


def _number(value: Any) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    raise ValueError("must be a number")


def _wholes(value: Any) -> list[int]:
    if not isinstance(value, list) or not value:
        raise ValueError("must be a list of whole numbers, such as [1, 6, 12, 18]")
    try:
        return [_whole(one) for one in value]
    except ValueError:
        raise ValueError("must hold whole numbers only, such as [1, 6, 12, 18]") from None


def _precision(value: Any) -> str:
    switch = value.casefold() if isinstance(value, str) else value
    if switch in (True, "true", "auto"):
        return "auto"
    if switch in (False, "false"):
        return "fp32"
    raise ValueError("must be true or false (a format is set by trainer.precision=bf16 and so on)")


def _as_it_is(value: Any) -> Any:
    """What the rules of this package judge."""
    return value


FLAT_KEYS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "MODEL_NAME": ("model.name", _text),
    "BASE_CHANNELS": ("model.base_channels", _whole),
    "ASPP_RATES": ("model.aspp_rates", _wholes),
    "THRESHOLD": ("threshold", _as_it_is),
    "AMP": ("trainer.precision", _precision),
    "BATCH_SIZE": ("data.batch_size", _whole),
    "EPOCHS": ("trainer.max_epochs", _whole),
    "LR": ("optimizer.lr", _number),
    "WEIGHT_DECAY": ("optimizer.weight_decay", _number),
    "SCHEDULER": ("scheduler.name", _text),
    "EARLY_STOPPING_PATIENCE": ("trainer.early_stopping_patience", _whole),
    "ACCUM_STEPS": ("trainer.accumulate", _whole),
    "LOSS": ("loss.name", _text),
    "IMG_SIZE": ("data.crop", _whole),
    "DATA_ROOT": ("data.root", _text),
    "SEED": ("seed", _whole),
}
"""Flat key -> (key of this package, conversion). The first thirteen are the document's."""

_ONLY_FOR_PLUS = "ASPP_RATES"
_NESTED = {field.name for field in fields(Config)}


def is_flat(values: dict[str, Any]) -> bool:
    """Whether `values` is written with the document's upper-case keys."""
    return any(key.isupper() for key in values)


def from_flat(
    values: dict[str, Any], model_name: str | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Translate flat keys into dotted keys of this package; and what is wrong with the others.

    Args:
        values: Flat keys and values.
        model_name: Model that the command line asks for; it wins over `MODEL_NAME`. The ASPP
            rates are used by the `scratch_ed_plus` family only, as the document says.
    """
    translated: dict[str, Any] = {}
    wrong: list[str] = []
    for key, value in values.items():
        if key not in FLAT_KEYS:
            wrong.append(_unknown(key))
            continue
        if value is None:
            wrong.append(f"{key} is empty: give it a value, or leave it out")
            continue
        target, convert = FLAT_KEYS[key]
        try:
            translated[target] = convert(value)
        except ValueError as error:
            wrong.append(f"{key}={value!r} {error}")
    name = model_name or translated.get("model.name", "scratch_ed_plus")
    if not str(name).startswith("scratch_ed_plus"):
        translated.pop(FLAT_KEYS[_ONLY_FOR_PLUS][0], None)
    return translated, wrong


def _unknown(key: str) -> str:
    """What is wrong with a key that is not flat: a slip, or one of the other kind of file."""
    hint = did_you_mean(key, FLAT_KEYS)
    if key not in _NESTED:
        return f"unknown key {key!r}{hint or '; there are ' + ', '.join(FLAT_KEYS)}"
    return (
        f"{key!r} is a nested key beside flat ones; a file is written with one kind only, flat "
        f"(EPOCHS: 80) or nested (trainer: {{max_epochs: 80}}){hint}"
    )
