"""Rules of the data section that concern several settings, or one of more than one form."""

from __future__ import annotations

import re
from typing import Any

from faultline.config.schema import DataConfig
from faultline.errors import ConfigError
from faultline.registry import did_you_mean

STRATEGIES = ("auto", "shipped", "grouped")
_STRATIFIED = re.compile(r"stratified_(\d{1,3})_(\d{1,3})_(\d{1,3})")


def picture_size(value: Any) -> tuple[int, int]:
    """(height, width) of `data.image_size`: one side, or both.

    Raises:
        ConfigError: It is neither.
    """
    sides = list(value) if isinstance(value, (list, tuple)) else [value, value]
    if len(sides) != 2 or any(type(side) is not int or not 8 <= side <= 16384 for side in sides):
        raise ConfigError(
            f"data.image_size={value!r}: write one side or [height, width], 8 to 16384 pixels each"
        )
    return sides[0], sides[1]


def split_shares(strategy: str) -> dict[str, float] | None:
    """Shares of train, valid and test in `stratified_70_15_15` and the like; None for others.

    Raises:
        ConfigError: The parts do not sum to 100, or train or valid is 0.
    """
    match = _STRATIFIED.fullmatch(strategy)
    if match is None:
        return None
    train, valid, test = (int(part) for part in match.groups())
    if train + valid + test != 100 or not train or not valid:
        raise ConfigError(
            f"data.split_strategy={strategy!r}: three percentages (train, valid, test) must sum to "
            "100; train and valid must be above 0"
        )
    return {"train": train / 100, "valid": valid / 100, "test": test / 100}


def splitting_faults(data: DataConfig) -> list[str]:
    """Faults in how the settings of a split go together."""
    problems = []
    try:
        known = data.split_strategy in STRATEGIES or split_shares(data.split_strategy) is not None
    except ConfigError as error:
        problems.append(str(error))
        known = True
    if not known:
        names = (*STRATEGIES, "stratified_70_15_15", "stratified_80_10_10")
        problems.append(
            f"data.split_strategy={data.split_strategy!r} is not one of {', '.join(names)}"
            f"{did_you_mean(data.split_strategy, names)}"
        )
    twice = sorted({name for name in data.classes if data.classes.count(name) > 1})
    if twice:
        problems.append(f"data.classes names {', '.join(map(repr, twice))} twice: give each once")
    if data.folds == 1 or data.fold >= max(1, data.folds):
        problems.append(f"data.fold={data.fold} with data.folds={data.folds}: folds are 2 or more, "
                        "counted from 0")  # fmt: skip
    if data.folds and (data.test is not None or data.split_strategy == "shipped"):
        problems.append(
            "data.folds makes its own test part: leave out data.test and shipped splits"
        )
    if data.split_file is not None and (data.folds or data.split_strategy != "auto"):
        problems.append("data.split_file says all: leave out data.split_strategy and data.folds")
    return problems
