"""Pictures with mask files beside them, paired by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from faultline.data.class_file import read_class_file
from faultline.data.images import ImageFacts
from faultline.data.importers.bare_splits import BareSplit, refuse_bare_splits
from faultline.data.importers.coco_files import USUAL_NAME
from faultline.data.importers.collect import Collector
from faultline.data.importers.label_spaces import mask_space
from faultline.data.importers.layout import Unit, find_units
from faultline.data.importers.options import IMPORTERS, ImportOptions
from faultline.data.importers.pairing import Pairing, pair_unit
from faultline.data.manifest import Manifest, MaskFile
from faultline.data.mask_rules import (
    MaskScan,
    ValueTable,
    parse_rule,
    resolve_rule,
    scan_misfit,
)
from faultline.data.masks import scan_mask, wrong_size
from faultline.errors import DataError, MaskError
from faultline.types import LabelKind, LabelSpace


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture and its mask; without a mask it is known to show nothing."""

    image: Path
    mask: Path | None
    split: str | None


@IMPORTERS.register("masks", summary="pictures and mask files, paired by name")
def import_masks(root: Path, options: ImportOptions) -> Manifest:
    """Read pictures with mask files: `images/` and `masks/`, or both in one folder.

    Raises:
        DataError: Nothing pairs, or nothing of a split; no prompt is positive, or the masks fit no
            rule.
        ConfigError: The settings contradict each other.
    """
    units = find_units(root)
    options = with_shipped_classes(root, options)
    pairings = [pair_unit(unit) for unit in units]
    if not any(pairing.has_masks for pairing in pairings):
        raise no_masks(root, pairings)
    _check_every_split(root, units, pairings, options)
    collector = Collector(root)
    prompts = chosen_prompts(pairings, options, root)
    rows: list[Labelled] = []
    for unit, pairing in zip(units, pairings, strict=True):
        rows += _rows_of(unit, pairing, prompts, collector)
    return build(collector, "masks", rows, options, names=prompts or ())


def _check_every_split(
    root: Path, units: Sequence[Unit], pairings: Sequence[Pairing], options: ImportOptions
) -> None:
    """Refuse a split of pictures without any mask, where others have masks.

    Raises:
        DataError: There is such a split.
    """
    both = list(zip(units, pairings, strict=True))
    bare = [
        BareSplit(unit.split, unit.images, len(pairing.pairs))
        for unit, pairing in both
        if unit.split is not None and unit.split not in options.unused
        and pairing.pairs and not pairing.has_masks
    ]  # fmt: skip
    masks = [unit.masks or unit.images for unit, pairing in both if pairing.has_masks]
    refuse_bare_splits(root, bare, "mask file", masks, "add masks of the same stem")


def with_shipped_classes(root: Path, options: ImportOptions) -> ImportOptions:
    """The options, with the class names of the data set's own `classes.txt` unless told others.

    Raises:
        DataError: The file cannot be used.
    """
    told = options.classes or options.mask_colours or options.kind not in ("auto", "multiclass")
    return options if told else replace(options, classes=read_class_file(root) or ())


def no_masks(root: Path, pairings: Sequence[Pairing]) -> DataError:
    """The error for a folder in which no picture has a mask."""
    count = sum(len(pairing.pairs) for pairing in pairings)
    return DataError(
        f"{count} pictures, but no annotation file and no mask for any of them"
        if count
        else "the folder holds no pictures",
        where=root,
        remedy=f"put {USUAL_NAME} beside the pictures, or masks of the same stem in masks/",
    )


def chosen_prompts(
    pairings: Sequence[Pairing], options: ImportOptions, root: Path
) -> list[str] | None:
    """Prompts in mask names that count as foreground; None where names hold no prompts.

    Raises:
        DataError: There are prompts and none matches; the message lists them.
    """
    found = [
        prompt
        for pairing in pairings
        for pair in pairing.pairs
        for _, prompt in pair.masks
        if prompt is not None
    ]
    return options.choose(sorted(set(found)), "mask prompt", root) if found else None


def _rows_of(
    unit: Unit, pairing: Pairing, prompts: list[str] | None, collector: Collector
) -> list[Labelled]:
    for orphan in pairing.orphans:
        collector.problem(orphan, "a mask without a picture of its name")
    for file in pairing.unclear:
        collector.problem(file, "may be picture or mask -> put the masks into a folder masks/")
    rows = []
    for pair in pairing.pairs:
        masks = [
            mask for mask, prompt in pair.masks if prompts is None or prompt in (None, *prompts)
        ]
        if len(masks) == 1:
            rows.append(Labelled(pair.image, masks[0], unit.split))
        elif masks:
            names = ", ".join(mask.name for mask in masks)
            collector.problem(
                pair.image, f"several masks: {names} -> keep one, or make data.positive narrower"
            )
        else:
            others = ", ".join(mask.name for mask, _ in pair.masks)
            collector.problem(pair.image, f"no mask (only {others})" if others else "no mask")
    return rows


def build(
    collector: Collector,
    form: str,
    rows: Sequence[Labelled],
    options: ImportOptions,
    names: Sequence[str] = (),
) -> Manifest:
    """A manifest of pictures with masks: check sizes and values, settle the rule.

    Raises:
        DataError: The masks fit no rule, or the settings contradict each other.
    """
    space, rule = mask_space(options, names)
    rows = _without_shared(rows, collector)
    facts = collector.inspect([row.image for row in rows])
    masks = [row.mask for row in rows if row.mask is not None and row.image in facts]
    in_colour = rule.startswith("rgb")
    scans = collector.each(lambda path: scan_mask(path, colours=in_colour), masks)
    table = parse_rule(resolve_rule(list(scans.values()), space) if rule == "auto" else rule, space)
    for row in rows:
        if row.image in facts and (row.mask is None or row.mask in scans):
            scan = None if row.mask is None else scans[row.mask]
            _add(collector, row, facts[row.image], scan, table, space)
    notes = [f"masks are read by the rule {table.rule.partition(':')[0]}"] if masks else []
    return Manifest(collector.root, form, space, collector.items, collector.problems, notes)


def _without_shared(rows: Sequence[Labelled], collector: Collector) -> list[Labelled]:
    """Strike pictures that claim one mask together (`x.jpg` and `x.bmp`)."""
    owners: dict[Path, list[Path]] = {}
    for row in rows:
        if row.mask is not None:
            owners.setdefault(row.mask, []).append(row.image)
    kept = []
    for row in rows:
        others = (
            [path.name for path in owners.get(row.mask, ()) if path != row.image]
            if row.mask
            else []
        )
        if others and row.mask is not None:
            collector.problem(
                row.image, f"shares the mask {row.mask.name} with {', '.join(others)}"
            )
        else:
            kept.append(row)
    return kept


def _add(
    collector: Collector,
    row: Labelled,
    facts: ImageFacts,
    scan: MaskScan | None,
    table: ValueTable,
    space: LabelSpace,
) -> None:
    if scan is None:
        collector.add(row.image, facts, row.split, positive=False)
        return
    try:
        _check(scan, facts, table, space)
    except MaskError as error:
        collector.problem(row.image, replace_where(error, scan.path))
        return
    positive = shows_foreground(scan, table, space)
    mask = MaskFile(scan.path, table.rule)
    collector.add(row.image, facts, row.split, mask_file=mask, positive=positive)


def _check(scan: MaskScan, facts: ImageFacts, table: ValueTable, space: LabelSpace) -> None:
    size, upright = (scan.width, scan.height), (facts.width, facts.height)
    turned = facts.orientation >= 5 and size == upright[::-1]
    if size != upright and not turned:
        raise wrong_size(scan.path, size, upright)
    if not scan.fits(table):
        raise scan_misfit(scan, space, table=table)


def shows_foreground(scan: MaskScan, table: ValueTable, space: LabelSpace) -> bool:
    """Whether any value of a mask stands for a class other than the background."""
    first = 1 if space.kind is LabelKind.MULTICLASS else 0
    return any(
        any(index >= first for index in table.classes[value] or ())
        for value in scan.values(table.reading) or ()
    )


def replace_where(error: MaskError, mask: Path) -> MaskError:
    """The error with the name of the mask in its text, for a problem listed by picture."""
    return MaskError(f"{mask.name}: {error.what}", remedy=error.remedy)
