"""Which mask belongs to which picture, told from file names alone.

A mask bears the stem of its picture (`x.jpg` and `x.png`), the stem and an ending
(`x_mask.png`), or the stem and a prompt (`x__segment_crack.png`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from faultline.data.importers.layout import Unit, find_pictures

PROMPT_MARK = "__"
_ENDINGS = tuple(
    joint + word
    for joint in ("_", "-", ".", " ")
    for word in (
        "masks", "mask", "segmentation", "seg", "labels", "label", "annotation", "gt", "groundtruth"
    )
)  # fmt: skip
_PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})

Key = tuple[str, str]
"""Folder below the unit's, and stem."""


@dataclass(slots=True)
class Pair:
    """A picture with the masks that claim it: (file, prompt), the prompt None for a plain name."""

    image: Path
    masks: list[tuple[Path, str | None]] = field(default_factory=list)


@dataclass(slots=True)
class Pairing:
    """Pictures with their masks, and what is left over.

    Attributes:
        pairs: One per picture, in the order of paths.
        orphans: Masks without a picture.
        unclear: Files that may be either.
    """

    pairs: list[Pair]
    orphans: list[Path] = field(default_factory=list)
    unclear: list[Path] = field(default_factory=list)

    @property
    def has_masks(self) -> bool:
        """Whether any picture has a mask."""
        return any(pair.masks for pair in self.pairs)


def pair_unit(unit: Unit) -> Pairing:
    """Pair pictures and masks of a unit."""
    if unit.masks is None:
        return _pair_one_folder(find_pictures(unit.images))
    deep = not unit.masks.is_relative_to(unit.images)
    images = find_pictures(unit.images, deep=deep)
    masks = find_pictures(unit.masks, deep=True) if unit.masks.is_dir() else []
    return _pair(
        {image: _key(image, unit.images) for image in images},
        {mask: _key(mask, unit.masks) for mask in masks},
    )


def _pair(images: dict[Path, Key], masks: dict[Path, Key]) -> Pairing:
    pairing = Pairing([Pair(image) for image in images])
    by_key: dict[Key, list[Pair]] = {}
    for pair in pairing.pairs:
        by_key.setdefault(images[pair.image], []).append(pair)
    for mask, key in masks.items():
        owner, prompt = _owner(key, by_key)
        if owner is None:
            pairing.orphans.append(mask)
        for pair in by_key.get(owner, []) if owner else []:
            pair.masks.append((mask, prompt))
    return pairing


def _pair_one_folder(files: list[Path]) -> Pairing:
    """Pictures and masks lie among each other: names tell which is which."""
    by_stem: dict[str, list[Path]] = {}
    for file in files:
        by_stem.setdefault(file.stem, []).append(file)
    images: dict[Path, Key] = {}
    masks: dict[Path, Key] = {}
    unclear: list[Path] = []
    for stem, same in by_stem.items():
        photos = [file for file in same if file.suffix.lower() in _PHOTO_SUFFIXES]
        if any(other in by_stem for other, _ in _shorter(stem)):
            masks.update((file, ("", stem)) for file in same)
        elif len(same) == 1 or len(photos) == len(same):
            images.update((file, ("", stem)) for file in same)
        elif photos:
            images.update((file, ("", stem)) for file in photos)
            masks.update((file, ("", stem)) for file in same if file not in photos)
        else:
            unclear += same
    pairing = _pair(images, masks)
    pairing.unclear = unclear
    return pairing


def _owner(key: Key, by_key: dict[Key, list[Pair]]) -> tuple[Key | None, str | None]:
    """Key of the picture that a mask belongs to, and the prompt in its name."""
    folder, stem = key
    if key in by_key:
        return key, None
    for shorter, prompt in _shorter(stem):
        if (folder, shorter) in by_key:
            return (folder, shorter), prompt
    return None, None


def _shorter(stem: str) -> Iterable[tuple[str, str | None]]:
    """Stems of pictures that a mask of this stem may belong to, the longest first."""
    lowered = stem.lower()
    endings = [(stem[: -len(ending)], None) for ending in _ENDINGS if lowered.endswith(ending)]
    prompts: list[tuple[str, str | None]] = []
    at = stem.rfind(PROMPT_MARK)
    while at > 0:
        prompts.append((stem[:at], stem[at + len(PROMPT_MARK) :].replace("_", " ").strip()))
        at = stem.rfind(PROMPT_MARK, 0, at + 1)
    return [(name, prompt) for name, prompt in endings + prompts if name]


def _key(path: Path, base: Path) -> Key:
    relative = path.relative_to(base)
    return relative.parent.as_posix(), relative.stem
