"""`faultline gate calibrate`: the least share of plant of each class, from gold masks.

Document 2, section 13, phase 0.5.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faultline.errors import DataError, FaultlineError
from faultline.files import check_writable, write_json
from faultline.pseudolabel.channels import Bits, plant
from faultline.pseudolabel.gate.decision import MIN_PLANT, Decision, Thresholds, decide
from faultline.pseudolabel.store import MASK_END, open_labels, read_bits

REPORT_NAME = "calibration_report.json"
PERCENTILE = 5
MIN_PASS = 0.98
DRAFT_END = "_draft" + MASK_END

Masks = Mapping[str, Bits]


@dataclass(frozen=True)
class Calibration:
    """What a calibration came to.

    Attributes:
        thresholds: By class.
        classes: Numbers of each class.
        decisions: What the gate says of each gold picture, by its stem.
        passed: Whether at least 98 % pass.
        failed: (file, reason) of masks that cannot be read.
    """

    thresholds: Thresholds
    classes: dict[str, dict[str, Any]]
    decisions: dict[str, Decision]
    passed: bool
    failed: list[tuple[str, str]]

    @property
    def rate(self) -> float:
        """Share of the gold pictures that pass."""
        return sum(one.passed for one in self.decisions.values()) / len(self.decisions)

    def rejected(self) -> list[str]:
        """Gold pictures that the gate rejects."""
        return [stem for stem, one in self.decisions.items() if not one.passed]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "passed": self.passed,
            "pass_rate": self.rate,
            "least_pass_rate": MIN_PASS,
            "pictures": len(self.decisions),
            "default": self.thresholds.default,
            "thresholds": dict(self.thresholds.classes),
            "classes": self.classes,
            "rejected": {stem: self.decisions[stem].to_dict() for stem in self.rejected()},
            "failed": [{"file": file, "reason": reason} for file, reason in self.failed],
        }


def calibrate(ratios: Mapping[str, list[float]]) -> dict[str, float]:
    """Threshold of each class: the largest share seen that at most 5 % of its pictures lie below.

    That is the 5th percentile without interpolation. Interpolated, it lies above the smallest value
    of any set of more than one, so that one picture in 15 would be below it: 6.7 %, not 5 %.
    """
    return {
        name: float(np.percentile(values, PERCENTILE, method="lower"))
        for name, values in ratios.items()
    }


def run_calibration(
    gold: Path, output: Path | None = None, *, adjust: bool = False, say: Callable[[str], None]
) -> Calibration:
    """Calibrate on the gold masks in `gold` and write `calibration_report.json`.

    Args:
        gold: Folder of `pseudolabel gold`, or of labels: `<class>/<stem>_mask.png`. Drafts do not
            count.
        output: Folder of the report; `gold` by default.
        adjust: Lower thresholds to the plant shares of gold pictures that they reject.
        say: Takes lines of text.

    Raises:
        DataError: There are no corrected masks.
        OutputError: The report cannot be written.
    """
    output = gold if output is None else output
    check_writable(output)
    masks, failed = _gold_masks(gold)
    ratios: dict[str, list[float]] = defaultdict(list)
    for stem, bits in masks.items():
        ratios[_class_of(stem)].append(float(plant(bits).mean()))
    values = calibrate(ratios)
    decisions = {stem: decide(bits, values[_class_of(stem)]) for stem, bits in masks.items()}
    lowered: dict[str, float] = {}
    if adjust:
        lowered = _lowered(decisions)
        values |= lowered
        decisions = {stem: decide(bits, values[_class_of(stem)]) for stem, bits in masks.items()}
    classes = {name: _numbers(ratios[name], values[name], name in lowered) for name in values}
    thresholds = Thresholds(values, MIN_PLANT)
    share = sum(one.passed for one in decisions.values()) / len(decisions)
    found = Calibration(thresholds, classes, decisions, share >= MIN_PASS and not failed, failed)
    write_json(output / REPORT_NAME, found.to_dict())
    for line in _lines(found, output):
        say(line)
    return found


def _gold_masks(gold: Path) -> tuple[dict[str, Bits], list[tuple[str, str]]]:
    """Corrected masks by stem, and those that cannot be read."""
    folder = open_labels(gold)
    paths = [
        path
        for path in sorted(folder.root.rglob(f"*{MASK_END}"))
        if not path.name.endswith(DRAFT_END) and path.parent != folder.root
    ]
    masks: dict[str, Bits] = {}
    failed = []
    for path in paths:
        stem = path.relative_to(folder.root).as_posix().removesuffix(MASK_END)
        try:
            masks[stem] = read_bits(path)
        except FaultlineError as error:
            failed.append((stem, str(error)))
    if not masks:
        drafts = sum(1 for _ in folder.root.rglob(f"*{DRAFT_END}"))
        raise DataError(
            f"holds no corrected mask that can be read ({drafts} drafts, {len(failed)} unreadable)",
            where=gold,
            remedy=f"correct the drafts and save each as <stem>{MASK_END}",
        )
    return masks, failed


def _class_of(stem: str) -> str:
    """The folder that a picture lies in."""
    return stem.split("/")[-2]


def _lowered(decisions: Mapping[str, Decision]) -> dict[str, float]:
    """Class -> the smallest plant share of its pictures that only the threshold rejects."""
    lowered: dict[str, float] = {}
    for stem, one in decisions.items():
        if one.step == 4:
            name = _class_of(stem)
            lowered[name] = min(lowered.get(name, 1.0), one.plant_ratio)
    return lowered


def _numbers(values: list[float], threshold: float, adjusted: bool) -> dict[str, Any]:
    percentiles = {f"p{p}": float(np.percentile(values, p)) for p in (5, 25, 50)}
    return {
        "pictures": len(values), "least": min(values), **percentiles, "threshold": threshold,
        "adjusted": adjusted,
    }  # fmt: skip


def _lines(found: Calibration, output: Path) -> list[str]:
    width = max(len(name) for name in [*found.classes, "class"])
    lines = [f"{'class':<{width}}  pictures     5 %    25 %    50 %  threshold"]
    for name, row in found.classes.items():
        lines.append(
            f"{name:<{width}}  {row['pictures']:>8}  {row['p5']:6.3f}  {row['p25']:6.3f}  "
            f"{row['p50']:6.3f}  {row['threshold']:9.3f}{' (lowered)' if row['adjusted'] else ''}"
        )
    lines.append(
        f"{found.rate:.1%} of {len(found.decisions)} gold pictures pass (at least {MIN_PASS:.0%})"
    )
    lines += [f"  rejected: {stem}: {found.decisions[stem].reason}" for stem in found.rejected()]
    lines += [f"  failed: {file}: {reason}" for file, reason in found.failed]
    return [*lines, f"written: {output / REPORT_NAME}"]
