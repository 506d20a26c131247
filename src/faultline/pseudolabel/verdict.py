"""Layer 4, second half: what the person said, and whether training may go on.

Document 2, section 5.2: tier A needs 90 % accepted, or the labels are to be made again; tier B
needs 70 %, or all of it becomes C; more than 30 % of the pictures in C halt. A marginal label is
looked at and not accepted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faultline.errors import DataError
from faultline.files import write_json
from faultline.pseudolabel.quality import TIERS
from faultline.pseudolabel.records import (
    Scored,
    read_scores,
    scored_labels,
    write_chart,
    write_scores,
)
from faultline.pseudolabel.spot_check import ACCEPT, SHEET_NAME, VERDICTS, read_sheet
from faultline.pseudolabel.store import LabelFolder, open_labels

RESULTS_NAME = "spot_check_results.json"
LEAST_ACCEPTED: Mapping[str, float] = {"A": 0.9, "B": 0.7}
MOST_C = 0.3
_SHOWN = 5


@dataclass(frozen=True)
class Verdict:
    """What follows from a spot check.

    Attributes:
        counts: Tier -> verdict -> labels.
        accepted: Tier -> share accepted; None where none was looked at.
        move_b: Whether tier B becomes C.
        share_c: Share of all labels in C, after that.
        blocks: Why training may not go on; empty where it may.
    """

    counts: dict[str, dict[str, int]]
    accepted: dict[str, float | None]
    move_b: bool
    share_c: float
    blocks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "passed": not self.blocks,
            "blocks": list(self.blocks),
            "counts": self.counts,
            "accepted": self.accepted,
            "least_accepted": dict(LEAST_ACCEPTED),
            "b_became_c": self.move_b,
            "share_c": self.share_c,
            "most_c": MOST_C,
        }


def weigh(said: Sequence[tuple[str, str]], tiers: Mapping[str, int]) -> Verdict:
    """Apply the rules.

    Args:
        said: (tier, verdict) of every label that was looked at.
        tiers: Tier -> number of all labels.
    """
    counts = {t: dict.fromkeys(VERDICTS, 0) for t in TIERS}
    for tier, verdict in said:
        counts[tier][verdict] += 1
    accepted = {t: _share(counts[t]) for t in TIERS}
    blocks = []
    if _below(accepted["A"], LEAST_ACCEPTED["A"]):
        blocks.append(
            f"{accepted['A']:.0%} of tier A were accepted, at least {LEAST_ACCEPTED['A']:.0%} are "
            "needed: make the labels again with other settings"
        )
    move_b = _below(accepted["B"], LEAST_ACCEPTED["B"])
    total = sum(tiers.values())
    in_c = tiers.get("C", 0) + (tiers.get("B", 0) if move_b else 0)
    share_c = in_c / total if total else 0.0
    if share_c > MOST_C:
        blocks.append(
            f"{share_c:.0%} of the pictures are in tier C, at most {MOST_C:.0%} may be: "
            "look at how the labels are made"
        )
    return Verdict(counts, accepted, move_b, share_c, tuple(blocks))


def give_verdict(
    labels: Path, *, sheet: Path | None = None, say: Callable[[str], None] = print
) -> Verdict:
    """Read the table that a person filled in, apply the rules, write the result.

    Raises:
        DataError: The table is absent, not filled in, or says something else.
    """
    folder = open_labels(labels)
    said = _said(folder.audit / SHEET_NAME if sheet is None else sheet)
    known = scored_labels(folder)
    verdict = weigh(said, Counter(label.tier for label in known))
    if verdict.move_b:
        _move_b(folder, known)
    write_json(folder.audit / RESULTS_NAME, verdict.to_dict())
    for line in _lines(verdict, folder):
        say(line)
    return verdict


def _share(counts: Mapping[str, int]) -> float | None:
    total = sum(counts.values())
    return counts[ACCEPT] / total if total else None


def _below(share: float | None, least: float) -> bool:
    return share is not None and share < least


def _said(path: Path) -> list[tuple[str, str]]:
    rows = read_sheet(path)
    said = [(row["tier"].strip(), row["verdict"].strip().casefold()) for row in rows]
    wrong = [
        f"{row['id']} ({verdict or 'empty'})"
        for row, (tier, verdict) in zip(rows, said, strict=True)
        if verdict not in VERDICTS or tier not in TIERS
    ]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise DataError(
            f"{len(wrong)} of {len(rows)} rows have no verdict: {', '.join(wrong[:_SHOWN])}{more}",
            where=path,
            remedy=f"write {', '.join(VERDICTS)} into each row's column `verdict`",
        )
    return said


def _move_b(folder: LabelFolder, known: Sequence[Scored]) -> None:
    """Make tier B tier C, on disk and in the table."""
    for label in known:
        if label.tier == "B":
            folder.write_tier(label.id, "C")
    now = scored_labels(folder)
    tiers = {label.id: label.tier for label in now}
    rows = [{**row, "tier": tiers.get(row["id"], row["tier"])} for row in read_scores(folder)]
    write_scores(folder, rows)
    write_chart(folder, now)


def _lines(verdict: Verdict, folder: LabelFolder) -> list[str]:
    lines = []
    for tier in TIERS:
        share = verdict.accepted[tier]
        looked = sum(verdict.counts[tier].values())
        told = "none looked at" if share is None else f"{share:.0%} of {looked} accepted"
        lines.append(f"tier {tier}: {told}")
    if verdict.move_b:
        lines.append("tier B is now C: too few of it were accepted")
    lines.append(f"{verdict.share_c:.0%} of the labels are in C")
    lines += [f"BLOCKED: {reason}" for reason in verdict.blocks]
    if not verdict.blocks:
        lines.append("passed: training may go on")
    return [*lines, f"written: {folder.audit / RESULTS_NAME}"]
