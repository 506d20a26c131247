"""From a data configuration to training, validation and test items that do not overlap."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from faultline.config.schema import DataConfig
from faultline.data.division import Shown, divide, divides_anew
from faultline.data.duplicates import near_duplicate_groups
from faultline.data.importers import import_dataset
from faultline.data.manifest import Item, Manifest, Problem
from faultline.data.prepare_checks import (
    check_foreground,
    check_parts,
    check_targets,
    refuse_whole_pictures,
    same_classes,
)
from faultline.data.shipped import take_shipped
from faultline.data.split import PARTS, Split, class_shares, load_split
from faultline.data.targets import with_targets
from faultline.data.thin import thin
from faultline.errors import ConfigError, DataError
from faultline.types import LabelSpace

CLASSIFICATION = "classification"


@dataclass
class Prepared:
    """Items by role, ready to train and evaluate on.

    Attributes:
        label_space: What the labels' classes mean.
        train: Items that weights are fitted on.
        valid: Items that the epoch and the threshold are chosen on.
        test: Items that nothing is chosen on; may be empty.
        fingerprint: Hash of the training data set.
        problems: Items that cannot be used, with reasons.
        notes: What was decided on the user's behalf.
        split: The parts of the data set itself, without `data.test`, and each class in each part
            where the task or the strategy asks what pictures show.
    """

    label_space: LabelSpace
    train: list[Item]
    valid: list[Item]
    test: list[Item]
    fingerprint: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    split: Split | None = None


def load_manifest(
    config: DataConfig,
    root: str | None = None,
    format: str | None = None,
    task: str = "segmentation",
) -> Manifest:
    """Import the data set of `config`, or the one at `root`, with the same label rules.

    For `task="classification"` the labels are of whole pictures, whatever the folder holds.

    Raises:
        DataError: There is no folder, or nothing usable in it.
    """
    folder = root or config.root
    if folder is None:
        raise DataError("no data set was given", remedy="add data=FOLDER with labelled pictures")
    manifest = import_dataset(
        Path(folder),
        format=format or config.format,
        positive=config.positive,
        on_error=config.on_error,
        mask_colours=config.mask_colours or None,
        mask_rule=config.mask_rule,
        kind=config.kind,
        classes=config.classes,
        group_by=config.group_by,
        task=task,
        duplicate_distance=config.duplicate_distance,
        # A test set from elsewhere stands in for the shipped one, labelled or not.
        unused=("test",) if root is None and config.test is not None else (),
    )
    return with_targets(manifest, config.min_pixels) if task == CLASSIFICATION else manifest


def prepare(config: DataConfig, seed: int, task: str = "segmentation") -> Prepared:
    """Import and split as `config` says; the same seed gives the same split.

    Args:
        config: Settings.
        seed: Seed of the split, unless `config.split_seed` is another.
        task: `segmentation` or `classification`.

    Raises:
        DataError: A part is empty or has no foreground, or the labels do not suit the task.
        LeakageError: The same picture, or the same group, is in two parts.
    """
    manifest = load_manifest(config, task=task)
    if task != CLASSIFICATION:
        refuse_whole_pictures(manifest)
    tested, problems = _other_data_set(manifest, config, task)
    split = _split(manifest, tested, config, seed, task)
    parts = {name: list(split.parts.get(name, ())) for name in PARTS}
    if tested is not None:
        parts["test"] = tested.items
    notes = [*manifest.notes, *split.notes]
    check_parts(parts, config)
    if task == CLASSIFICATION:
        notes += check_targets(parts, config, manifest.label_space)
    else:
        notes += check_foreground(parts, config, manifest.label_space)
    return Prepared(
        manifest.label_space, parts["train"], parts["valid"], parts["test"],
        manifest.fingerprint(), [*manifest.problems, *problems], notes, split,
    )  # fmt: skip


@dataclass
class _Tested:
    """The items of `data.test`: its `test` split, or all of it where it has none."""

    items: list[Item]


def _other_data_set(
    manifest: Manifest, config: DataConfig, task: str
) -> tuple[_Tested | None, list[Problem]]:
    if config.test is None:
        return None, []
    other = load_manifest(config, config.test, config.test_format, task)
    if task == CLASSIFICATION:
        other = same_classes(other, manifest.label_space)
    return _Tested([_apart(item) for item in other.split("test") or other.items]), other.problems


def _apart(item: Item) -> Item:
    """A picture that is its own group, which another data set's of the same name is not part of."""
    # A name that several pictures share ("x.rf.1.jpg") does tell copies, in any data set.
    return replace(item, group=f"data.test/{item.id}") if item.group == item.id else item


def _split(
    manifest: Manifest, tested: _Tested | None, config: DataConfig, seed: int, task: str
) -> Split:
    """The split of the data set itself; joins the groups of `tested` with its own, if asked."""
    seed = seed if config.split_seed is None else config.split_seed
    items = manifest.items
    kept = None if config.split_file is None else _kept(config, items)
    if kept is not None:
        items = [item for part in kept.parts.values() for item in part]
    if tested is not None and config.group_by == "near_duplicates":
        items = _join_groups(items, tested, config)
    shown = None
    if task == CLASSIFICATION or config.split_strategy.startswith("stratified"):
        shown = Shown.of(items, manifest.label_space, config.min_pixels)
    if kept is not None:
        by_id = {item.id: item for item in items}
        kept.parts = {name: [by_id[i.id] for i in part] for name, part in kept.parts.items()}
        split = kept
    elif divides_anew(config):
        split = divide(items, None if config.split_strategy == "grouped" else shown, config, seed)
    else:
        own = [item for item in items if tested is None or item.split != "test"]
        split = take_shipped(own, None if tested is None else tested.items, shown, config, seed)
    if config.thin:
        if shown is None:
            raise ConfigError(
                "data.thin needs picture-level classes, which this task does not have",
                where="data.thin",
                remedy="leave it out, or use task=classification or a stratified split",
            )
        split = thin(split, shown, config.thin, seed)
    if shown is not None:
        rows = {name: shown.targets(part) for name, part in split.parts.items()}
        if tested is not None:
            other = Shown.of(tested.items, manifest.label_space, config.min_pixels)
            rows["test"] = other.targets(tested.items)
        split.shares = class_shares(shown.label_space, rows)
    return split


def _kept(config: DataConfig, items: list[Item]) -> Split:
    # A test set from elsewhere stands in for the shipped one, which a split for it does not name.
    unused = {item.id for item in items if config.test is not None and item.split == "test"}
    split = load_split(str(config.split_file), items, unused)
    if config.test is not None and split.parts.get("test"):
        raise DataError(
            f"has a test part of its own ({len(split.parts['test'])} pictures), and data.test is "
            "another",
            where=config.split_file,
            remedy="leave out one of them",
        )
    return split


def _join_groups(items: list[Item], tested: _Tested, config: DataConfig) -> list[Item]:
    """Give near-duplicates in two data sets one group, so that they are refused as overlap."""
    own = [replace(i, id=f"own/{i.id}", group=f"own/{i.group}") for i in items]
    other = [replace(i, id=f"test/{i.id}", group=f"test/{i.group}") for i in tested.items]
    groups = near_duplicate_groups([*own, *other], config.duplicate_distance)
    tested.items = [replace(i, group=groups[f"test/{i.id}"]) for i in tested.items]
    return [replace(i, group=groups[f"own/{i.id}"]) for i in items]
