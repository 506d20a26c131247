"""A threshold for every prompt at once, under one limit on false answers.

Prompts differ in what a false answer costs: one that is told from the rest at a glance gives up
nothing, another would have to fall silent. So the limit is on all questions together, and the
false answers that it allows go where they gain the most IoU: the multiple-choice knapsack problem
(Kellerer, Pferschy & Pisinger 2004, chapter 11), small enough for its exact dynamic programme.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from faultline.metrics.prompted import MAX_FALSE_RATE, PromptCounts
from faultline.metrics.thresholds import ThresholdChoice, ThresholdStatus

KEPT = 0.5
"""Share of its best IoU that no prompt falls below while the limit can be kept with that."""


@dataclass(frozen=True, slots=True)
class _Option:
    """The best threshold of one prompt at one number of false answers."""

    false_answers: int
    iou: float
    threshold: float


def choose_together(
    counts: Mapping[str, PromptCounts],
    tuned: Collection[str],
    shared: float,
    *,
    max_false_rate: float = MAX_FALSE_RATE,
    source: str = "validation",
) -> dict[str, ThresholdChoice]:
    """Thresholds of the highest mean IoU that answer few questions falsely, all prompts together.

    No prompt falls below `KEPT` of its best IoU, if the limit can be kept with that. If not, the
    limit comes first: prompts that are hardly told from the rest give way (`gives_way`), since they
    cost the mean the least; callers say which.

    Args:
        counts: Of every prompt, on pictures that nothing was fitted on.
        tuned: Prompts that get a threshold of their own.
        shared: The threshold of the others, whose false answers count towards the limit.
        max_false_rate: Share of all questions about something absent that may be answered; see
            `allowed_answers` for the margin.
        source: What the counts are of.

    Returns:
        Choices of those prompts of `tuned` that some threshold finds; no others.
    """
    questions = sum(len(one.absent) for one in counts.values())
    for kept in (KEPT, 0.0):
        options = {
            name: own for name in counts if name in tuned and (own := _options(counts[name], kept))
        }
        spent = sum(own[0].false_answers for own in options.values()) + sum(
            int(_false_answers(one)[round(shared * one.bins)])
            for name, one in counts.items()
            if name not in options
        )
        budget = allowed_answers(questions, max_false_rate) - spent
        if budget >= 0:
            break
    chosen = _knapsack(list(options.values()), max(0, budget))
    return {
        name: ThresholdChoice(one.threshold, "iou", one.iou, ThresholdStatus.TUNED, source)
        for name, one in zip(options, chosen, strict=True)
    }


def gives_way(one: PromptCounts, threshold: float) -> bool:
    """Whether a prompt has less than `KEPT` of its best IoU at `threshold`."""
    return one.counts_at(threshold).iou < KEPT * best_iou(one)


def best_iou(one: PromptCounts) -> float:
    """IoU at a prompt's best threshold, whatever is answered falsely there; NaN if never shown."""
    return float(one.iou()[1:-1].max()) if one.present.positives else float("nan")


def allowed_answers(questions: int, limit: float) -> int:
    """The most false answers to `questions` whose rate stays within `limit` by a standard error.

    A rate that thresholds were chosen by is too good by about that: exactly at the limit here
    would be above it elsewhere every other time.
    """
    for number in range(math.floor(limit * questions + 1e-9), 0, -1):
        rate = number / questions
        if rate + math.sqrt(rate * (1 - rate) / questions) <= limit:
            return number
    return 0


def _false_answers(one: PromptCounts) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """(bins + 1,) questions about something absent that are answered, at each threshold."""
    return np.rint(np.nan_to_num(one.false_rate()) * len(one.absent)).astype(np.int64)


def _options(one: PromptCounts, kept: float) -> list[_Option]:
    """Thresholds worth taking: each has more false answers than the one before, and more IoU."""
    # The ends 0 and 1 are no thresholds: one paints everything, the other nearly nothing.
    iou, wrong = np.nan_to_num(one.iou())[1:-1], _false_answers(one)[1:-1]
    if not iou.max() > 0:
        return []
    found: list[_Option] = []
    for number in np.unique(wrong[iou >= kept * iou.max()]):
        chosen = np.where(wrong == number, iou, -1.0)
        best = np.flatnonzero(chosen == chosen.max())
        if not found or chosen.max() > found[-1].iou:
            middle = int(best[len(best) // 2])
            found.append(_Option(int(number), float(chosen.max()), (middle + 1) / one.bins))
    return found


def _knapsack(groups: Sequence[Sequence[_Option]], budget: int) -> list[_Option]:
    """One option of each group, of the highest total IoU at `budget` more than the fewest answers.

    `best[b]` is the highest total of the groups so far that costs at most b more.
    """
    best = np.zeros(budget + 1)
    taken = []
    for group in groups:
        totals = np.full((len(group), budget + 1), -np.inf)
        for index, option in enumerate(group):
            extra = option.false_answers - group[0].false_answers
            if extra <= budget:
                totals[index, extra:] = best[: budget + 1 - extra] + option.iou
        taken.append(totals.argmax(axis=0))
        best = totals.max(axis=0)
    chosen: list[_Option] = []
    for group, picks in zip(reversed(groups), reversed(taken), strict=True):
        option = group[int(picks[budget])]
        budget -= option.false_answers - group[0].false_answers
        chosen.append(option)
    return chosen[::-1]
