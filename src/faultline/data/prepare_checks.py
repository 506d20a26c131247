"""What is refused before anything is trained: empty parts, overlap, labels that say nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from faultline.config.schema import DataConfig
from faultline.data.division import divides_anew
from faultline.data.manifest import Item, Manifest
from faultline.data.masks import load_mask
from faultline.data.splits import check_disjoint
from faultline.errors import DataError
from faultline.types import IGNORE_INDEX, LabelSpace

Parts = Mapping[str, Sequence[Item]]


def check_parts(parts: Parts, config: DataConfig) -> None:
    """Refuse an empty train or valid, and parts that share a picture or a group.

    Raises:
        DataError: A part is empty.
        LeakageError: Parts overlap.
    """
    for name in ("train", "valid"):
        if not parts[name]:
            raise DataError(
                f"no pictures are left for {name}",
                where=config.root,
                remedy="give more pictures, or change data.valid_fraction",
            )
    filled = {name: items for name, items in parts.items() if items}
    check_disjoint(_ways_out(config), **filled)


def _ways_out(config: DataConfig) -> dict[str, str]:
    """What helps against overlap besides taking pictures away, by the name of the later part."""
    together = "data.group_by=near_duplicates"
    if config.split_file is not None:
        anew = (
            "make the split anew with copies together: faultline split data=FOLDER "
            f"data.split_strategy=grouped {together} --save {config.split_file}"
        )
    elif divides_anew(config):
        anew = f"keep copies together: {together}"
    else:
        anew = f"divide anew with copies together: data.split_strategy=grouped {together}"
    other = "name other pictures with data.test, or leave it out"
    return {"valid": anew, "test": anew if config.test is None else other}


def refuse_whole_pictures(manifest: Manifest) -> None:
    """Refuse labels of whole pictures where masks are needed.

    Raises:
        DataError: An item is labelled as a whole.
    """
    if any(item.image_level for item in manifest.items):
        raise DataError(
            f"labels are of whole pictures ({manifest.format}), they do not say where anything is",
            where=manifest.root,
            remedy="use task=classification, or give masks",
        )


def check_foreground(parts: Parts, config: DataConfig, label_space: LabelSpace) -> list[str]:
    """Refuse training or validation pictures without any foreground; a note on such a test set.

    Raises:
        DataError: Neither part may be without.
    """
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
            remedy=f"check that their labels say {config.positive!r} (data.positive); or raise "
            "data.valid_fraction, change seed, or set data.validation=train",
        )
    test = parts["test"]
    if not test or any(has_foreground(item, label_space) for item in test):
        return []
    return [
        f"WARNING: none of the {len(test)} test pictures{_shipped_as(test)} has a foreground "
        "pixel: scores on them will tell about false alarms and nothing about what is found. Check "
        f"that their labels say {config.positive!r} (data.positive), or name others with data.test"
    ]


def _shipped_as(items: Sequence[Item]) -> str:
    """The split that all items were shipped as, where its name is not that of their role."""
    names = {item.split for item in items}
    other = len(names) == 1 and not names & {None, "test"}
    return f" (shipped as `{names.pop()}`)" if other else ""


def check_targets(parts: Parts, config: DataConfig, label_space: LabelSpace) -> list[str]:
    """Refuse training or validation pictures that show no class; notes on classes a part lacks.

    Raises:
        DataError: No picture of train or valid shows any class.
    """
    notes = []
    for name, use in _WITHOUT_A_CLASS.items():
        shown = {position for item in parts[name] for position in item.targets or ()}
        if not shown and name != "test":
            raise DataError(
                f"none of the {len(parts[name])} pictures of {name} shows any of "
                f"{', '.join(label_space.names)}",
                where=config.root,
                remedy="raise data.valid_fraction, use data.split_strategy=stratified_70_15_15, or "
                "lower data.min_pixels",
            )
        missing = [n for position, n in enumerate(label_space.names) if position not in shown]
        if missing and parts[name]:
            warning = "" if shown else "WARNING: "
            notes.append(f"{warning}no picture of {name} shows {', '.join(missing)}: it {use}")
    return notes


_WITHOUT_A_CLASS = {
    "train": "cannot be learnt",
    "valid": "gets no threshold of its own",
    "test": "gets no score there",
}


def same_classes(other: Manifest, label_space: LabelSpace) -> Manifest:
    """Another data set, labelled as a whole, with its classes at the positions of `label_space`.

    Raises:
        DataError: It has classes that `label_space` lacks, or classes of another kind.
    """
    theirs = other.label_space
    unknown = [name for name in theirs.names if name not in label_space.names]
    if unknown or theirs.kind is not label_space.kind:
        raise DataError(
            f"its classes are {', '.join(theirs.names)} ({theirs.kind.value}), those of the "
            f"training data {', '.join(label_space.names)} ({label_space.kind.value})",
            where=other.root,
            remedy="test on a data set with the same classes, or name them with data.classes",
        )
    items = at_positions_of(label_space, other.items, theirs)
    return replace(other, items=items, label_space=label_space)


def at_positions_of(
    label_space: LabelSpace, items: Sequence[Item], theirs: LabelSpace
) -> list[Item]:
    """Items labelled as a whole with classes of `theirs`, which `label_space` has all of."""
    moved = {index: label_space.names.index(name) for index, name in enumerate(theirs.names)}
    return [
        replace(item, targets=tuple(sorted(moved[position] for position in item.targets or ())))
        for item in items
    ]


def has_foreground(item: Item, label_space: LabelSpace) -> bool:
    """Whether the truth of `item` holds a pixel of any class but background."""
    if item.positive is not None:
        return item.positive
    mask = load_mask(item, label_space)
    return bool(((mask > 0) & (mask != IGNORE_INDEX)).any())
