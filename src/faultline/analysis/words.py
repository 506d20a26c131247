"""The findings as sentences, for the console and the page."""

from __future__ import annotations

from collections.abc import Sequence

from faultline.analysis.attention import ALL, BACKGROUND, LEAST, ON_OBJECT, Attention, cheating
from faultline.analysis.findings import Findings
from faultline.analysis.gap import HALT, PASSED, STOP, WARN, Gap
from faultline.analysis.mistakes import ALL_WRONG
from faultline.analysis.regions import OBJECT
from faultline.evaluation.words import counted, number, percent


def headline(found: Findings) -> list[str]:
    """The most important of what was found."""
    wrong = found.counted()[ALL_WRONG]
    who = "every run" if len(found.runs) > 1 else "the run"
    lines = [f"{wrong} of {counted(len(found.patterns), 'validation picture')}: wrong by {who}."]
    lines += region_sentences(found)[:2]
    widest = max(found.alike, key=lambda one: one.debiased, default=None)
    last = [one for one in found.alike if one.stage == "embedding"]
    if widest is not None and last:
        closest = max(last, key=lambda one: one.debiased)
        lines.append(
            f"Most alike at the end: {closest.first} and {closest.second} (CKA "
            f"{number(closest.cka, 2)}, unbiased {number(closest.debiased, 2)})."
        )
    dead = [(one.dead_share, run, one.name) for run, seen in
            zip(found.runs, found.observed, strict=True) for one in seen.stages if one.dead]  # fmt: skip
    if dead:
        share, run, stage = max(dead)
        lines.append(f"Most dead channels: {percent(share, 1)} of {stage} of {run}.")
    return [*lines, *gap_sentences(found.gaps)]


def region_sentences(found: Findings) -> list[str]:
    """Who looks at the background, or why nothing can be said of it."""
    masks = found.plan.masks
    if masks.why:
        return [
            f"Whether the heat falls on the object is left out: {masks.why}. Masks beside the "
            "pictures or pseudo-labels (data.masks=FOLDER) would tell."
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
        f"Nothing is said of fewer than {LEAST} groups of pictures. With many classes and runs some "
        "intervals miss zero by chance: 1 in 20."
    )
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
        f"  {one.first} minus {one.second} ({one.part}): macro-F1 {_signed(one.differences)}"
        for one in found.against
    ]
    return [*headline(found), *pairs, *differences]


def _signed(differences: dict[str, object]) -> str:
    found = differences["macro_f1"]
    value, low, high = (getattr(found, name) for name in ("value", "low", "high"))
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def _overall(row: Attention) -> str:
    says = {ON_OBJECT: "it looks at the object", BACKGROUND: "it looks at the background"}
    return (
        f"{row.run}: {percent(row.heat)} of the heat on the object, which takes {percent(row.area)} "
        f"of the picture: {says.get(row.verdict, 'not told apart from a blind map')}."
    )
