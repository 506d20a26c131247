"""All that the analysis found, as plain values: for the page, the tables and other programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from faultline.analysis.alike import Alike, similarities
from faultline.analysis.attention import Attention, attention_of, cheating
from faultline.analysis.gap import Gap, gap_of
from faultline.analysis.kept import Observed
from faultline.analysis.mistakes import (
    Pair,
    Together,
    bring_together,
    common_confusions,
    pairs,
    patterns,
)
from faultline.analysis.observe import Plan
from faultline.analysis.sample import TRAIN, VALID
from faultline.analysis.sides import Against, Scored, score_runs


@dataclass(frozen=True)
class Findings:
    """What was found of all runs.

    Attributes:
        plan: What was asked.
        observed: What each run showed, in the order of the runs.
        together: Answers on validation.
        patterns: Pattern of each validation picture, and the run that stands alone.
        pairs: Every two runs.
        confusions: Mistakes that all make.
        alike: Similarity of features.
        attention: Where the heat falls; empty without masks.
        gaps: Training against validation.
        scored: Scores of every run.
        against: Differences between the two sides.
    """

    plan: Plan
    observed: list[Observed]
    together: Together
    patterns: list[tuple[str, int]]
    pairs: list[Pair]
    confusions: list[tuple[str, list[int]]]
    alike: list[Alike]
    attention: list[Attention]
    gaps: list[Gap]
    scored: list[Scored]
    against: list[Against]

    @property
    def runs(self) -> list[str]:
        """Names of the runs."""
        return [run.name for run in self.plan.subject.runs]

    def problems(self) -> list[tuple[str, str]]:
        """(File, reason) of all that could not be used, each once."""
        masks, subject = self.plan.masks, self.plan.subject
        found = [
            *subject.problems,
            *masks.problems,
            *(p for o in self.observed for p in o.problems),
        ]
        return list(dict.fromkeys((one.file, one.reason) for one in found))

    def counted(self) -> Counter[str]:
        """Validation pictures of each pattern."""
        return Counter(name for name, _ in self.patterns)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        subject, sample = self.plan.subject, self.plan.sample
        return {
            "data": {
                "root": str(subject.root), "fingerprint": subject.fingerprint,
                "split": subject.split, "train": len(subject.train), "valid": len(subject.valid),
                "test_not_looked_at": subject.test,
            },
            "classes": list(subject.space.names), "kind": subject.space.kind.value,
            "sample": [{"id": one.item.id, "class": subject.space.names[one.class_index],
                        "part": one.part} for one in sample],
            "runs": [{"name": run.name, "path": str(run.path), "model": run.model,
                      "fingerprint": run.fingerprint, "against": bool(run.side),
                      "stages": [_stage(one) for one in seen.stages]}
                     for run, seen in zip(subject.runs, self.observed, strict=True)],
            "masks": self.plan.masks.why or ("pseudo-labels" if self.plan.masks.guessed
                                             else "of the data set"),
            "attention": [one.to_dict() for one in self.attention],
            "on_background": [[one.run, one.class_name] for one in cheating(self.attention)],
            "similarity": [one.to_dict() for one in self.alike],
            "patterns": dict(self.counted()),
            "pairs": [one.to_dict() for one in self.pairs],
            "common_confusions": [{"mistake": words, "counts": counts}
                                  for words, counts in self.confusions],
            "gaps": [one.to_dict() for one in self.gaps],
            "scores": [{"run": one.run.name, "part": one.part,
                        **{name: found.to_dict() for name, found in one.scores.items()}}
                       for one in self.scored],
            "differences": [one.to_dict() for one in self.against],
            "problems": [{"file": file, "reason": reason} for file, reason in self.problems()],
        }  # fmt: skip


def conclude(plan: Plan, observed: Sequence[Observed]) -> Findings:
    """Bring together what every run showed.

    Raises:
        DataError: There is no validation picture that every run could answer for.
    """
    subject = plan.subject
    names = [run.name for run in subject.runs]
    space = subject.space
    together = bring_together(names, [one.valid for one in observed], space.names, space.kind)
    attention = [
        row
        for run, one in zip(names, observed, strict=True)
        for row in attention_of(run, one, plan.sample, space.names, plan.masks.channels)
    ]
    gaps = [gap_of(run, one.train, one.valid) for run, one in zip(names, observed, strict=True)]
    scored, against = score_runs(subject.runs, together)
    return Findings(
        plan, list(observed), together, patterns(together.right), pairs(together),
        common_confusions(together), similarities(names, observed), attention, gaps, scored,
        against,
    )  # fmt: skip


def looked_at(plan: Plan) -> str:
    """Which pictures are looked at, in one line."""
    subject = plan.subject
    counts = Counter(one.part for one in plan.sample)
    return (
        f"{len(plan.sample)} pictures to look into ({counts[VALID]} of validation, "
        f"{counts[TRAIN]} of training); {len(subject.valid)} of validation and {len(plan.train)} "
        f"of training to answer for; {subject.test} test pictures are not looked at"
    )


def _stage(one: Any) -> dict[str, Any]:
    names = ("name", "channels", "mean", "spread", "magnitude", "units", "dead", "dead_share")
    return {name: getattr(one, name) for name in names}
