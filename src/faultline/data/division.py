"""Dividing a data set anew, by the strategy that the settings name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from faultline.config.data_rules import split_shares
from faultline.config.schema import DataConfig
from faultline.data.manifest import Item
from faultline.data.split import Split
from faultline.data.splits import grouped_folds, grouped_split
from faultline.data.stratified import (
    large_groups,
    missing_classes,
    stratified_folds,
    stratified_split,
)
from faultline.data.targets import Targets, image_space, image_targets
from faultline.errors import ConfigError
from faultline.types import LabelSpace


@dataclass(frozen=True)
class Shown:
    """What every picture of a data set shows.

    Attributes:
        label_space: The K classes.
        rows: (K,) of 0 and 1 by item id.
    """

    label_space: LabelSpace
    rows: Mapping[str, Targets]

    @classmethod
    def of(cls, items: Sequence[Item], label_space: LabelSpace, min_pixels: int) -> Shown:
        """Look at all items once; masks are decoded for it.

        Raises:
            DataError: See `image_targets`.
        """
        image_level = bool(items) and items[0].targets is not None
        targets = image_targets(items, label_space, min_pixels)
        rows = {item.id: row for item, row in zip(items, targets, strict=True)}
        return cls(image_space(label_space, image_level), rows)

    def targets(self, items: Sequence[Item]) -> Targets:
        """(N, K) of some of the items."""
        if not items:
            return np.zeros((0, len(self.label_space.names)), np.uint8)
        return np.stack([self.rows[item.id] for item in items])

    def split(self, items: Sequence[Item], shares: Mapping[str, float], seed: int) -> Split:
        """Stratified split of some of the items, see `stratified_split`."""
        return stratified_split(items, self.targets(items), shares, seed, self.label_space)


def divides_anew(config: DataConfig) -> bool:
    """Whether the settings name a strategy that takes no notice of shipped splits."""
    return config.folds > 0 or config.split_strategy not in ("auto", "shipped")


def divide(items: Sequence[Item], shown: Shown | None, config: DataConfig, seed: int) -> Split:
    """Divide items into train, valid and test by `config`; with `data.test` there is no test part.

    Args:
        items: All items of the data set.
        shown: What they show; None for a strategy that does not ask.
        config: Settings.
        seed: Seed of the split.

    Raises:
        DataError: There are too few groups.
    """
    if config.folds:
        split = _fold(items, shown, config, seed)
    elif shown is None:
        split = _grouped(items, config, seed)
    else:
        split = shown.split(items, _shares(config), seed)
    if any(item.split is not None for item in items):
        split.notes.insert(0, f"the shipped splits are not used: {split.strategy}")
    return split


def _shares(config: DataConfig) -> dict[str, float]:
    shares = split_shares(config.split_strategy) or {
        "train": 1 - config.valid_fraction - config.test_fraction,
        "valid": config.valid_fraction,
        "test": config.test_fraction,
    }
    if shares["train"] < 1e-6:
        raise ConfigError(
            f"data.valid_fraction={config.valid_fraction:g} and data.test_fraction="
            f"{config.test_fraction:g} leave nothing to train on",
            remedy="lower one of them, so that their sum is below 1",
        )
    if config.test is None:
        return shares
    whole = shares["train"] + shares["valid"]
    return {name: shares[name] / whole for name in ("train", "valid")}


def _grouped(items: Sequence[Item], config: DataConfig, seed: int) -> Split:
    train, test = list(items), list[Item]()
    if config.test is None and config.test_fraction > 0:
        train, test = grouped_split(items, config.test_fraction, seed)
    train, valid = grouped_split(train, config.valid_fraction, seed)
    return Split({"train": train, "valid": valid, "test": test}, "grouped", seed)


def _fold(items: Sequence[Item], shown: Shown | None, config: DataConfig, seed: int) -> Split:
    if shown is None:
        rest, test = grouped_folds(items, config.folds, seed)[config.fold]
        train, valid = grouped_split(rest, config.valid_fraction, seed)
    else:
        folds = stratified_folds(items, shown.targets(items), config.folds, seed)
        rest, test = folds[config.fold]
        shares = {"train": 1 - config.valid_fraction, "valid": config.valid_fraction}
        inner = shown.split(rest, shares, seed)
        train, valid = inner.parts["train"], inner.parts["valid"]
    parts = {"train": train, "valid": valid, "test": test}
    kind = "grouped" if shown is None else "stratified"
    split = Split(parts, f"{kind} fold {config.fold} of {config.folds}", seed)
    wanted = {"valid": config.valid_fraction * len(rest), "test": len(items) / config.folds}
    split.notes += large_groups(items, wanted, parts)
    if shown is not None:
        rows = {name: shown.targets(part) for name, part in parts.items()}
        split.notes += missing_classes(items, shown.targets(items), shown.label_space, rows)
    return split
