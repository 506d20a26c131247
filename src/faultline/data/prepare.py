"""From a data configuration to training, validation and test items that do not overlap."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from faultline.config.schema import DataConfig
from faultline.data.duplicates import near_duplicate_groups
from faultline.data.importers import import_dataset
from faultline.data.manifest import Item, Manifest, Problem
from faultline.data.masks import load_mask
from faultline.data.splits import check_disjoint, grouped_split
from faultline.errors import DataError
from faultline.types import IGNORE_INDEX, LabelSpace


@dataclass
class Prepared:
    """Items by role, ready to train and evaluate on.

    Attributes:
        label_space: What the masks' classes mean.
        train: Items that weights are fitted on.
        valid: Items that the epoch and the threshold are chosen on.
        test: Items that nothing is chosen on; may be empty.
        fingerprint: Hash of the training data set.
        problems: Items that cannot be used, with reasons.
        notes: What was decided on the user's behalf.
    """

    label_space: LabelSpace
    train: list[Item]
    valid: list[Item]
    test: list[Item]
    fingerprint: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def load_manifest(
    config: DataConfig, root: str | None = None, format: str | None = None
) -> Manifest:
    """Import the data set of `config`, or the one at `root`, with the same label rules.

    Raises:
        DataError: There is no folder, or nothing usable in it.
    """
    folder = root or config.root
    if folder is None:
        raise DataError("no data set was given", remedy="add data=FOLDER with labelled pictures")
    return import_dataset(
        Path(folder),
        format=format or config.format,
        positive=config.positive,
        on_error=config.on_error,
        mask_colours=config.mask_colours or None,
        mask_rule=config.mask_rule,
        kind=config.kind,
        classes=config.classes,
        group_by=config.group_by,
    )


def prepare(config: DataConfig, seed: int) -> Prepared:
    """Import and split as `config` says; the same seed gives the same split.

    Raises:
        DataError: A part is empty or has no foreground.
        LeakageError: The same picture, or the same group, is in two parts.
    """
    manifest = load_manifest(config)
    notes = list(manifest.notes)
    items = manifest.items
    parts = {name: [i for i in items if i.split == name] for name in ("train", "valid", "test")}
    unsplit = [item for item in items if item.split is None]
    if unsplit and not parts["train"]:
        parts["train"] = unsplit
        if config.test is None and not parts["test"] and config.test_fraction > 0:
            parts["train"], parts["test"] = grouped_split(unsplit, config.test_fraction, seed)
            notes.append(
                f"no split was shipped: {len(parts['test'])} pictures, by group, are the test set"
            )
    problems = list(manifest.problems)
    if config.test is not None:
        other = load_manifest(config, config.test, config.test_format)
        problems += other.problems
        parts["test"] = _test_part(other)
        if config.group_by == "near_duplicates":
            _join_groups(parts)
    _choose_validation(parts, config, seed, notes)
    _check(parts, config)
    _check_foreground(parts, config, manifest.label_space)
    return Prepared(
        manifest.label_space, parts["train"], parts["valid"], parts["test"],
        manifest.fingerprint(), problems, notes,
    )  # fmt: skip


def _test_part(manifest: Manifest) -> list[Item]:
    """The `test` split of a second data set, or all of it where it has none."""
    return manifest.split("test") or list(manifest.items)


def _join_groups(parts: dict[str, list[Item]]) -> None:
    """Give near-duplicates in two data sets one group, so that they are refused as overlap."""
    own = [replace(i, id=f"own/{i.id}", group=f"own/{i.group}")
           for name in ("train", "valid") for i in parts[name]]  # fmt: skip
    other = [replace(i, id=f"test/{i.id}", group=f"test/{i.group}") for i in parts["test"]]
    groups = near_duplicate_groups([*own, *other])
    for name, prefix in (("train", "own"), ("valid", "own"), ("test", "test")):
        parts[name] = [replace(i, group=groups[f"{prefix}/{i.id}"]) for i in parts[name]]


def _choose_validation(
    parts: dict[str, list[Item]], config: DataConfig, seed: int, notes: list[str]
) -> None:
    """Fill `valid` (and, by default, `test`) by the rules of `DataConfig.validation`."""
    tested = {item.sha256 for item in parts["test"]}
    spent = bool(parts["valid"]) and all(item.sha256 in tested for item in parts["valid"])
    if spent:
        notes.append("the shipped validation pictures are the test set here")
        parts["valid"] = []
    if config.validation == "split" and not parts["valid"]:
        raise DataError(
            "data.validation=split, but the data set has no `valid` split of its own",
            where=config.root,
            remedy="use data.validation=train to hold out a share of the training pictures",
        )
    if config.validation != "split" and parts["valid"] and not parts["test"]:
        parts["test"], parts["valid"] = parts["valid"], []
        notes.append(
            f"two splits were shipped: the {len(parts['test'])} pictures of `valid` are kept as "
            "the test set, since a model chosen on them could not be scored on them"
        )
    if config.validation == "train":
        parts["valid"] = []
    if not parts["valid"]:
        parts["train"], parts["valid"] = grouped_split(parts["train"], config.valid_fraction, seed)
        count = len(parts["valid"])
        notes.append(f"{count} training pictures ({config.valid_fraction:.0%}, by group) validate")


def _check(parts: dict[str, list[Item]], config: DataConfig) -> None:
    for name in ("train", "valid"):
        if not parts[name]:
            raise DataError(
                f"no pictures are left for {name}",
                where=config.root,
                remedy="give more pictures, or change data.valid_fraction",
            )
    check_disjoint(**{name: items for name, items in parts.items() if items})


def _check_foreground(
    parts: dict[str, list[Item]], config: DataConfig, label_space: LabelSpace
) -> None:
    if not any(has_foreground(item, label_space) for item in parts["train"]):
        raise DataError(
            f"none of the {len(parts['train'])} training pictures has a foreground pixel",
            where=config.root,
            remedy=f"check that the labels say {config.positive!r} (data.positive), and look at "
            "`faultline doctor`",
        )
    if not any(has_foreground(item, label_space) for item in parts["valid"]):
        raise DataError(
            f"none of the {len(parts['valid'])} validation pictures has a foreground pixel, so "
            "neither the best epoch nor a threshold can be chosen on them",
            where=config.root,
            remedy="raise data.valid_fraction, change seed, or set data.validation=train",
        )


def has_foreground(item: Item, label_space: LabelSpace) -> bool:
    """Whether the truth of `item` holds a pixel of any class but background."""
    if item.positive is not None:
        return item.positive
    mask = load_mask(item, label_space)
    return bool(((mask > 0) & (mask != IGNORE_INDEX)).any())
