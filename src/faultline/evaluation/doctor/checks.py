"""The checks of a data set: each looks at the scans and adds what it found to the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from statistics import median

from faultline.data.manifest import Item, Manifest
from faultline.evaluation.doctor.report import DoctorReport
from faultline.evaluation.doctor.scan import ItemScan
from faultline.evaluation.words import counted, percent
from faultline.types import LabelKind

Scans = Sequence[ItemScan]

SMALL_SIDE = 64
WIDE_LABEL = 6.0
"""Labels narrower than this, in pixels, are not asked whether they cover background."""

CORE_SHARE = 0.5
WIDTH_RATIO = 2.0
BOX_SHARE = 0.5
EMPTY_SHARE = 0.9
POSITIVE_SHARE = 0.5
IGNORED_SHARE = 0.5
FEW_TEST_IMAGES = 30


def by_split(scans: Scans) -> dict[str, list[ItemScan]]:
    """Scans by the name of their split; items without one are under "(no split)"."""
    found: dict[str, list[ItemScan]] = defaultdict(list)
    for scan in scans:
        found[split_name(scan.item)].append(scan)
    order = {"train": 0, "valid": 1, "test": 2}
    return dict(sorted(found.items(), key=lambda pair: (order.get(pair[0], 3), pair[0])))


def split_name(item: Item) -> str:
    """The split of an item, in words."""
    return item.split or "(no split)"


def check_files(manifest: Manifest, scans: Scans, report: DoctorReport) -> None:
    """Files that the import left out, and pictures or labels that cannot be decoded."""
    if manifest.problems:
        report.add(
            "error",
            "unusable-files",
            f"Files that cannot be used and would be left out: {len(manifest.problems)} "
            f"({_some_reasons(problem.reason for problem in manifest.problems)}). "
            "Repair or remove them.",
            (str(problem) for problem in manifest.problems),
        )
    broken = [scan for scan in scans if scan.error]
    if broken:
        report.add(
            "error",
            "undecodable",
            f"Items that cannot be decoded in full: {len(broken)} "
            f"({_some_reasons(scan.error or '' for scan in broken)}). Repair or remove them.",
            (f"{scan.item.id}: {scan.error}" for scan in broken),
        )
    bare = [scan.item.id for scan in scans if not scan.item.labelled]
    if bare:
        report.add(
            "warning",
            "unlabelled",
            f"Pictures without a label: {len(bare)}. They are neither trained on nor scored.",
            bare,
        )


def check_sizes(manifest: Manifest, scans: Scans, report: DoctorReport) -> None:
    """Very small pictures."""
    small = [scan.item for scan in scans if min(scan.item.width, scan.item.height) < SMALL_SIDE]
    if small:
        report.add(
            "warning",
            "small-pictures",
            f"Pictures with a side below {SMALL_SIDE} px: {len(small)}. Little is left of them "
            "once a model has reduced them.",
            (f"{item.id} ({item.width}x{item.height})" for item in small),
        )


def check_positives(manifest: Manifest, scans: Scans, report: DoctorReport) -> None:
    """Splits and classes without any positive pixel, and splits that are nearly all empty."""
    space = manifest.label_space
    for split, members in by_split(scans).items():
        labelled = [scan for scan in members if scan.is_labelled]
        if not labelled:
            continue
        first = 1 if space.kind is LabelKind.MULTICLASS else 0
        missing = [
            name
            for index, name in enumerate(space.names)
            if index >= first and not any(scan.class_pixels[index] for scan in labelled)
        ]
        if len(missing) == len(space.names) - first:
            report.add(
                "error",
                "no-positives",
                f"Not one positive pixel in {split} ({counted(len(labelled), 'picture')}): "
                "nothing can be learned from it, tuned or measured on it. Check which classes "
                "count as positive (data.positive) and how masks are read (data.mask_rule).",
            )
        elif missing:
            report.add(
                "error" if split == "train" else "warning",
                "class-missing",
                f"{split} shows none of: {', '.join(missing)}.",
            )
        _check_emptiness(split, labelled, report)


def _check_emptiness(split: str, labelled: Scans, report: DoctorReport) -> None:
    empty = [scan.item.id for scan in labelled if scan.is_empty]
    share = len(empty) / len(labelled)
    if empty and len(empty) < len(labelled):
        report.add(
            "warning" if share > EMPTY_SHARE else "info",
            "empty-labels",
            f"Empty labels in {split}: {len(empty)} ({percent(share)}). They count as sound "
            "surface; if nobody looked at them, leave them out.",
            empty,
        )


def check_coverage(manifest: Manifest, scans: Scans, report: DoctorReport) -> None:
    """Labels that cover most of the picture, or leave most of it undecided."""
    if manifest.label_space.kind is LabelKind.BINARY:
        full = [
            scan.item.id
            for scan in scans
            if scan.is_labelled and scan.class_pixels[0] > POSITIVE_SHARE * scan.pixels
        ]
        labelled = sum(scan.is_labelled for scan in scans)
        if full:
            inverted = len(full) > labelled / 2
            report.add(
                "error" if inverted else "warning",
                "mostly-positive",
                f"Labels over more than half of the picture: {len(full)} of {labelled}. "
                + (
                    "It looks as if background and foreground were exchanged."
                    if inverted
                    else "Look at them."
                ),
                full,
            )
    undecided = [scan.item.id for scan in scans if scan.ignored > IGNORED_SHARE * scan.pixels]
    if undecided:
        report.add(
            "warning",
            "mostly-ignored",
            f"Labels that ignore more than half of the picture: {len(undecided)}.",
            undecided,
        )


def check_widths(manifest: Manifest, scans: Scans, report: DoctorReport) -> None:
    """Labels that are wider than the line beneath, or wider in one split than in another."""
    painted = [
        scan
        for scan in scans
        if scan.shape
        and (scan.shape.width or 0) >= WIDE_LABEL
        and scan.shape.core_width
        and not _is_boxed(scan)
    ]
    wide = [scan for scan in painted if _core_share(scan) < CORE_SHARE]
    if wide and len(wide) >= max(2, len(painted) / 2):
        label = median(scan.shape.width for scan in wide if scan.shape and scan.shape.width)
        core = median(
            scan.shape.core_width for scan in wide if scan.shape and scan.shape.core_width
        )
        report.add(
            "warning",
            "labels-too-wide",
            f"Labels that look painted: {len(wide)} of {len(painted)} measured, about "
            f"{label:.0f} px wide over dark lines of about {core:.0f} px. A model learns the "
            "painted width, and one that finds the true width cannot "
            "score well on IoU with it; judge by F1 with a tolerance, or label again.",
            (scan.item.id for scan in wide),
        )
    widths = {split: _median_width(members) for split, members in by_split(scans).items()}
    known = {split: width for split, width in widths.items() if width}
    if len(known) > 1:
        widest, thinnest = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
        if known[widest] > WIDTH_RATIO * known[thinnest]:
            report.add(
                "warning",
                "widths-differ",
                f"Labels of {widest} are {known[widest]:.1f} px wide, those of {thinnest} "
                f"{known[thinnest]:.1f} px: the splits were labelled by different rules.",
            )


def check_boxes(manifest: Manifest, scans: Scans, report: DoctorReport) -> None:
    """Labels that are filled boxes."""
    with_parts = [scan for scan in scans if scan.shape and scan.shape.parts]
    boxed = [scan.item.id for scan in with_parts if _is_boxed(scan)]
    if boxed:
        most = len(boxed) > len(with_parts) / 2
        report.add(
            "warning" if most or len(boxed) >= 3 else "info",
            "box-labels",
            f"Labels that are filled boxes: {len(boxed)} of {len(with_parts)} with areas. They "
            "tell where something is, not its outline: a model trained on them paints boxes, and "
            "IoU against them says little.",
            boxed,
        )


def check_frames(manifest: Manifest, scans: Scans, report: DoctorReport) -> None:
    """Labels that run out of the picture."""
    cut = [scan.item.id for scan in scans if scan.shape and scan.shape.touches_frame]
    if cut:
        report.add(
            "info",
            "labels-touch-frame",
            f"Labels that reach the edge of the picture: {len(cut)}. What they show goes on "
            "outside, so lengths measured on them are lower bounds.",
            cut,
        )


def check_groups(manifest: Manifest, scans: Scans, report: DoctorReport) -> None:
    """Groups that lie in more than one split."""
    splits: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for item in manifest.items:
        if item.split is not None:
            splits[item.group][item.split].append(item.id)
    cut = {group: parts for group, parts in splits.items() if len(parts) > 1}
    if cut:
        report.add(
            "error",
            "groups-cut",
            f"Groups of pictures that show the same thing, in more than one split: {len(cut)} "
            f"({', '.join(sorted({name for parts in cut.values() for name in parts}))}). Scores "
            "there would be of pictures that the model has seen. Move each group to one split, "
            "or let data.split_strategy=grouped divide all pictures anew.",
            (
                f"{group}: " + ", ".join(f"{name} {len(ids)}" for name, ids in parts.items())
                for group, parts in sorted(cut.items())
            ),
        )


def check_counts(manifest: Manifest, scans: Scans, report: DoctorReport) -> None:
    """Test sets too small for narrow intervals."""
    for split, members in by_split(scans).items():
        if split in ("valid", "test") and len(members) < FEW_TEST_IMAGES:
            report.add(
                "info",
                "few-pictures",
                f"Few pictures in {split}: {len(members)}. Scores on it carry wide intervals.",
            )


CHECKS: tuple[Callable[[Manifest, Scans, DoctorReport], None], ...] = (
    check_files, check_positives, check_groups, check_coverage, check_boxes, check_widths,
    check_sizes, check_frames, check_counts,
)  # fmt: skip
"""In the order in which they are reported."""


def _is_boxed(scan: ItemScan) -> bool:
    shape = scan.shape
    return shape is not None and shape.parts > 0 and shape.boxes >= BOX_SHARE * shape.parts


def _core_share(scan: ItemScan) -> float:
    shape = scan.shape
    if shape is None or not shape.width or shape.core_width is None:
        return 1.0
    return shape.core_width / shape.width


def _median_width(scans: Iterable[ItemScan]) -> float | None:
    widths = [scan.shape.width for scan in scans if scan.shape and scan.shape.width]
    return median(widths) if widths else None


def _some_reasons(reasons: Iterable[str], most: int = 3) -> str:
    distinct = list(dict.fromkeys(reasons))
    more = f", and {len(distinct) - most} other reasons" if len(distinct) > most else ""
    return "; ".join(distinct[:most]) + more
