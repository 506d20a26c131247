"""Pictures with two labels: what they show as a whole, and where. Split once, by the classes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from faultline.config.schema import DataConfig
from faultline.data.importers.detect import detect_format
from faultline.data.manifest import Item, MaskFile, Problem, label_hash
from faultline.data.mask_rules import APART
from faultline.data.prepare import CLASSIFICATION, Prepared, load_manifest, prepare
from faultline.data.prepare_checks import check_foreground
from faultline.data.pseudo_masks import BITS, find_pseudo_label, read_channels
from faultline.errors import DataError
from faultline.types import LabelKind, LabelSpace

HAND_MADE = "hand"
"""Where a tier stands: the mask was not guessed."""
_FOLDERS = ("class_folders", "class_masks")
_KINDS = {
    "class_masks": "multiclass",
    "coco": "multilabel",
    "json_per_picture": "multilabel",
    "severstal": "multilabel",
}
"""Kind of labels by format, where settings leave it open: a channel for every class."""


@dataclass(frozen=True, slots=True)
class MaskLabel:
    """Where a picture shows what.

    Attributes:
        item: The picture with this label; `load_mask` reads it.
        tier: `hand`, or the tier of a pseudo-label.
    """

    item: Item
    tier: str = HAND_MADE


@dataclass
class DualPrepared(Prepared):
    """Items by role with their classes, and the masks of those that have one.

    Attributes:
        mask_space: Channels of the masks, binary or multilabel.
        masks: Path of a picture -> its mask. Those of tier C are not among them.
        tiers: Pictures of each tier, C and `none` among them.
        class_fingerprint: Hash of the data set without its masks.
    """

    mask_space: LabelSpace = field(default=LabelSpace(LabelKind.BINARY, ("foreground",)))
    masks: dict[str, MaskLabel] = field(default_factory=dict)
    tiers: dict[str, int] = field(default_factory=dict)
    class_fingerprint: str = ""

    def masked(self, items: Sequence[Item]) -> list[Item]:
        """Those of `items` that have a mask, labelled with it."""
        found = (self.masks.get(str(item.path)) for item in items)
        return [label.item for label in found if label is not None]


def prepare_dual(config: DataConfig, seed: int, confidence: float) -> DualPrepared:
    """Import and split by classes, and find the masks.

    Args:
        config: Settings; with `config.masks` the masks are pseudo-labels.
        seed: See `prepare`.
        confidence: Pixels of pseudo-labels below it are ignored.

    Raises:
        DataError: No masks, or what `prepare` refuses.
        LeakageError: See `prepare`.
    """
    prepared = prepare(of_classes(config), seed, CLASSIFICATION)
    items = [*prepared.train, *prepared.valid, *prepared.test]
    space, masks, problems, notes = find_masks(config, items, confidence)
    found = Counter(masks[key].tier if key in masks else "none" for key in map(_key, items))
    used = {key: masks[key] for key in map(_key, items) if key in masks and masks[key].tier != "C"}
    dual = DualPrepared(
        **{one.name: getattr(prepared, one.name) for one in fields(Prepared)},
        mask_space=space, masks=used, tiers=dict(found), class_fingerprint=prepared.fingerprint,
    )  # fmt: skip
    dual.problems = [*prepared.problems, *problems]
    dual.notes = [*prepared.notes, *notes, _tier_note(found), *_check(dual, config)]
    dual.fingerprint = _fingerprint(prepared.fingerprint, dual)
    return dual


def of_classes(config: DataConfig) -> DataConfig:
    """The settings by which classes are read: of class folders, whether they have masks or not."""
    if config.format not in _FOLDERS:
        return config
    return replace(config, format="class_folders", kind="auto")


Masks = dict[str, MaskLabel]
"""Path of a picture -> its mask."""


def find_masks(
    config: DataConfig, items: Sequence[Item], confidence: float
) -> tuple[LabelSpace, Masks, list[Problem], list[str]]:
    """Channels, masks of pictures by path (tier C among them), problems and notes.

    Raises:
        DataError: There are no masks.
    """
    if config.masks is None:
        space, masks, notes = _own_masks(config)
        return space, masks, [], notes
    space, masks, problems = _pseudo_masks(Path(config.masks), items, confidence)
    return space, masks, problems, []


def _key(item: Item) -> str:
    return str(item.path)


def _own_masks(config: DataConfig) -> tuple[LabelSpace, dict[str, MaskLabel], list[str]]:
    """Masks that the data set itself brings, those of `data.test` included."""
    space, masks, notes = _masks_of(config, config.root, config.format)
    if config.test is not None:
        theirs, other, _ = _masks_of(config, config.test, config.test_format)
        if theirs.names != space.names:
            raise DataError(
                f"its masks are of {', '.join(theirs.names)}, those of the training data of "
                f"{', '.join(space.names)}",
                where=config.test,
                remedy="test on a data set with the same classes",
            )
        masks |= other
    return space, masks, notes


def _masks_of(
    config: DataConfig, root: str | None, form: str
) -> tuple[LabelSpace, dict[str, MaskLabel], list[str]]:
    if form in ("auto", "class_folders"):
        form = detect_format(Path(str(root)), "segmentation")[0]
    if form == "class_folders":
        raise DataError(
            "its pictures have classes, but no masks",
            where=root,
            remedy="give pseudo-labels with data.masks=FOLDER, or masks beside the pictures "
            "(docs/dual-head.md)",
        )
    kind = _KINDS.get(form, "auto") if config.kind == "auto" or form in _FOLDERS else config.kind
    manifest = load_manifest(replace(config, kind=kind), root, form)
    labelled = [item for item in manifest.items if item.labelled]
    space, items = independent(manifest.label_space, labelled)
    return space, {_key(item): MaskLabel(item) for item in items}, manifest.notes


def independent(space: LabelSpace, items: Sequence[Item]) -> tuple[LabelSpace, list[Item]]:
    """The same labels with a plane for each class, where classes exclude each other.

    The background is left out: a pixel of no class is one where every plane is 0.
    """
    if space.kind is not LabelKind.MULTICLASS:
        return space, list(items)
    apart = LabelSpace(LabelKind.MULTILABEL, space.names[1:], space.colours[1:])
    return apart, [_apart(item) for item in items]


def _apart(item: Item) -> Item:
    if item.mask_file is not None:
        rule = APART + item.mask_file.rule
        return replace(item, mask_file=replace(item.mask_file, rule=rule))
    regions = [replace(one, class_index=one.class_index - 1) for one in item.regions]
    return replace(item, regions=tuple(one for one in regions if one.class_index >= 0))


def _pseudo_masks(
    folder: Path, items: Sequence[Item], confidence: float
) -> tuple[LabelSpace, dict[str, MaskLabel], list[Problem]]:
    space = read_channels(folder)
    masks: dict[str, MaskLabel] = {}
    problems: list[Problem] = []
    for item in items:
        try:
            found = find_pseudo_label(folder, item.id)
        except DataError as error:
            problems.append(Problem(item.id, f"pseudo-label not used: {error}"))
            continue
        if found is not None:
            mask = MaskFile(found.mask, f"{BITS}:{confidence:g}")
            labelled = replace(item, mask_file=mask, targets=None, positive=None)
            masks[_key(item)] = MaskLabel(labelled, found.tier)
    if not masks:
        raise DataError(
            f"holds no pseudo-label for any of the {len(items)} pictures",
            where=folder,
            remedy="its files lie as the pictures do below data.root: CLASS/NAME_mask.png",
        )
    return space, masks, problems


def _tier_note(found: Mapping[str, int]) -> str:
    words = {HAND_MADE: "made by hand", "none": "without"}
    parts = [f"{count} {words.get(tier, f'of tier {tier}')}"
             for tier, count in sorted(found.items())]  # fmt: skip
    unused = "; tier C is not used" if "C" in found else ""
    return f"masks: {', '.join(parts)}{unused}"


def _check(dual: DualPrepared, config: DataConfig) -> list[str]:
    parts = {name: dual.masked(getattr(dual, name)) for name in ("train", "valid", "test")}
    return check_foreground(parts, config, dual.mask_space)


def _fingerprint(classes: str, dual: DualPrepared) -> str:
    digest = hashlib.sha256(classes.encode())
    for key in sorted(dual.masks, key=lambda key: dual.masks[key].item.id):
        label = dual.masks[key]
        digest.update(f"{label.item.id} {label.tier} {label_hash(label.item)}\n".encode())
    return digest.hexdigest()
