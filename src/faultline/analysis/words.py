"""The findings as sentences, for the console and the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from faultline.analysis.attention import ALL, BACKGROUND, LEAST, ON_OBJECT, Attention, cheating
from faultline.analysis.findings import Findings
from faultline.analysis.gap import HALT, PASSED, STOP, WARN, Gap
from faultline.analysis.mistakes import ALL_WRONG
from faultline.analysis.regions import OBJECT
from faultline.analysis.stages import EMBEDDING
from faultline.evaluation.words import counted, number, percent
from faultline.metrics import Interval


def headline(found: Findings) -> list[str]:
    """The most important of what was found."""
    wrong = found.counted()[ALL_WRONG]
    who = "every run" if len(found.runs) > 1 else "the run"
    lines = [f"{wrong} of {counted(len(found.patterns), 'validation picture')}: wrong by {who}."]
    lines += region_sentences(found)[: 1 + len(found.runs)]
    last = [one for one in found.alike if one.stage == EMBEDDING and one.debiased == one.debiased]
    if last:
        closest = max(last, key=lambda one: one.debiased)
        lines.append(
            f"Most alike at the end: {closest.first} and {closest.second} (CKA "
            f"{number(closest.cka, 2)}, unbiased {number(closest.debiased, 2)})."
        )
    seen = zip(found.runs, found.observed, strict=True)
    dead = [(s.dead_share, run, s.name) for run, one in seen for s in one.stages if s.dead]
    if dead:
        share, run, stage = max(dead)
        lines.append(f"Most dead channels: {percent(share, 1)} of {stage} of {run}.")
    return [*lines, *gap_sentences(found.gaps)]


def region_sentences(found: Findings) -> list[str]:
    """Who looks at the background, or why nothing can be said of it."""
    masks = found.plan.masks
    if masks.why:
        return [
            "Whether the heat falls on the object is left out, for want of masks beside the "
            f"pictures or pseudo-labels (data.masks=FOLDER): {masks.why}"
        ]
    whole = [row for row in found.attention if row.class_name == ALL]
    lines = [_overall(row) for row in whole]
    own = [row for row in cheating(found.attention) if row.class_name != ALL]
    if own:
        named = "; ".join(f"{row.run} for {row.class_name}" for row in own)
        lines.insert(0, f"Looking at the background: {named}.")
    elif whole:
        lines.insert(0, "No run is shown to look at the background for any single class.")
    classes = found.plan.subject.space.names
    seen = {row.class_name for row in found.attention if row.region == OBJECT}
    absent = [name for name in classes if name not in seen]
    if absent:
        lines.append(f"No mask, or no heat, for: {', '.join(absent)}.")
    if masks.guessed:
        lines.append("The masks are pseudo-labels: what falls outside them may be their mistake.")
    lines.append(
        f"Nothing is said of fewer than {LEAST} groups of pictures. With many classes and runs "
        "some intervals miss zero by chance: 1 in 20."
    )
    return lines


def empty_sentences(found: Findings) -> list[str]:
    """Maps without any heat: the network found nothing that speaks for the class."""
    sample, names = found.plan.sample, found.plan.subject.space.names
    lines = []
    for run, one in zip(found.runs, found.observed, strict=True):
        empty = ~np.nan_to_num(one.heat).any(axis=(1, 2))
        rows = Counter(names[sample[int(row)].class_index] for row in np.flatnonzero(empty))
        if rows:
            listed = ", ".join(f"{name} {count}" for name, count in rows.items())
            lines.append(f"{run} found no evidence for the class in some pictures: {listed}.")
    return lines


def gap_sentences(gaps: Sequence[Gap]) -> list[str]:
    """Runs that are much better on what they were trained on."""
    lines = []
    for one in gaps:
        if one.status == PASSED:
            continue
        limit = HALT if one.status == STOP else WARN
        what = "look into it before anything is built on this run" if one.status == STOP else ""
        lines.append(
            f"{one.run}: accuracy {percent(one.train, 1)} in training, {percent(one.valid, 1)} in "
            f"validation, a gap above {percent(limit)}{': ' + what if what else ''}."
        )
    return lines or [f"No run is more than {percent(WARN)} better in training than in validation."]


def console_lines(found: Findings) -> list[str]:
    """What the command prints at its end."""
    pairs = [
        f"  {one.first} and {one.second}: answers differ on {percent(one.disagreement)}, kappa "
        f"{number(one.kappa, 2)}, same confusions {number(one.confusion_overlap, 2)}"
        for one in found.pairs
    ]
    differences = [
        f"  {one.first} minus {one.second} ({one.part}): macro-F1 "
        f"{_signed(one.differences['macro_f1'])}"
        for one in found.against
    ]
    return [*headline(found), *pairs, *differences]


def _signed(found: Interval) -> str:
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def _overall(row: Attention) -> str:
    says = {ON_OBJECT: "it looks at the object", BACKGROUND: "it looks at the background"}
    verdict = says.get(row.verdict, "not told apart from a blind map")
    return (
        f"{row.run}: {percent(row.heat)} of the heat on the object, which takes "
        f"{percent(row.area)} of the picture: {verdict}."
    )
