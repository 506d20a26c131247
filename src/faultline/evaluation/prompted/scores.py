"""Asks weights about labelled pictures and counts, prompt by prompt, what the answers are worth."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from faultline.data.images import read_image
from faultline.data.manifest import Problem
from faultline.data.prompt_items import PromptItem
from faultline.data.prompts import PromptTable
from faultline.errors import DataError, FaultlineError
from faultline.metrics import BinaryCounts, count_binary
from faultline.metrics.prompted import FALSE_SHARE, PromptCounts
from faultline.predict.predictor import Pixels
from faultline.predict.prompted import PromptAnswer, PromptPredictor
from faultline.predict.stream import mapped
from faultline.progress import Progress

MAIN, TRAINED, HELD_OUT = "main", "trained", "held out"
_AHEAD = 4


@dataclass
class PromptScore:
    """What the answers to one prompt are worth.

    Attributes:
        prompt: The prompt.
        name: Its class.
        kind: `main` (stands for the class), `trained`, or `held out` of training.
        counts: Pixels of the pictures that show the class.
        each: IoU of each of these pictures.
        absent: Pictures that do not show it, and were asked.
        false_answers: Those of them of which more than `FALSE_SHARE` was painted.
        known: Whether the weights took the prompt for a known one.
    """

    prompt: str
    name: str
    kind: str
    counts: BinaryCounts = field(default_factory=BinaryCounts)
    each: list[float] = field(default_factory=list)
    absent: int = 0
    false_answers: int = 0
    known: bool = True

    @property
    def false_rate(self) -> float:
        """Share of the pictures without the class that got a false answer; NaN without any."""
        return self.false_answers / self.absent if self.absent else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        counts = self.counts
        return {
            "class": self.name,
            "kind": self.kind,
            "pictures": len(self.each),
            "iou": counts.iou,
            "dice": counts.dice,
            "precision": counts.precision,
            "recall": counts.recall,
            "pixel_accuracy": counts.pixel_accuracy,
            "iou_per_picture": float(np.mean(self.each)) if self.each else float("nan"),
            "false_positive_pixels": counts.fp,
            "false_negative_pixels": counts.fn,
            "absent_pictures": self.absent,
            "false_answers": self.false_answers,
            "false_answer_rate": self.false_rate,
            "known": self.known,
        }


@dataclass
class PromptScores:
    """Everything that was counted.

    Attributes:
        table: Classes that were asked for.
        prompts: Scores by prompt.
        classes: Probabilities by truth, class by class (main prompts).
        sources: (source, class) -> pixels of the pictures that show the class.
        painted: Shown class -> asked class -> pixels of its truth that were painted.
        rows: One per answer, for the CSV.
        items: Pictures that were scored, by id.
        problems: Pictures that could not be.
        seconds: Time of the predictor over all pictures.
    """

    table: PromptTable
    prompts: dict[str, PromptScore]
    classes: dict[str, PromptCounts]
    sources: dict[tuple[str, str], BinaryCounts] = field(default_factory=dict)
    painted: dict[str, dict[str, int]] = field(default_factory=dict)
    truth: dict[str, int] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    items: dict[str, PromptItem] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    seconds: float = 0.0

    def main(self, name: str) -> PromptScore:
        """Score of the prompt that stands for a class."""
        return self.prompts[self.table.classes[name].prompts[0]]

    @property
    def shown(self) -> list[str]:
        """Classes that some picture shows."""
        return [name for name in self.classes if self.main(name).each]

    @property
    def mean_iou(self) -> float:
        """Mean foreground IoU over the classes that some picture shows."""
        values = [self.main(name).counts.iou for name in self.shown]
        return float(np.mean(values)) if values else float("nan")

    @property
    def false_rate(self) -> float:
        """Share of all questions about something absent that got a false answer."""
        main = [self.main(name) for name in self.classes]
        asked = sum(score.absent for score in main)
        wrong = sum(score.false_answers for score in main)
        return wrong / asked if asked else float("nan")

    def confusion(self) -> dict[str, dict[str, float]]:
        """Shown class -> asked class -> share of what is shown that the answer paints."""
        return {
            name: {other: count / max(1, self.truth[name]) for other, count in row.items()}
            for name, row in self.painted.items()
        }


def score_prompts(
    predictor: PromptPredictor,
    items: Sequence[PromptItem],
    *,
    wordings: bool = True,
    progress: Progress | None = None,
) -> PromptScores:
    """Ask for every class about every picture, and for other wordings of what it shows.

    Args:
        predictor: What answers.
        items: Labelled pictures.
        wordings: Ask the other prompts of the table and the held-out wordings, too.
        progress: Called with (done, total) after every picture.

    Raises:
        DataError: No picture could be scored.
    """
    table = predictor.table
    scores = PromptScores(table, {}, {name: PromptCounts() for name in table.classes})
    for name, entry in table.classes.items():
        _add(scores, entry.prompts[0], name, MAIN)
        for prompt in entry.prompts[1:] if wordings else ():
            _add(scores, prompt, name, TRAINED)
        for prompt in entry.held_out if wordings else ():
            _add(scores, prompt, name, HELD_OUT)
    with ThreadPoolExecutor(2) as executor:
        for done, (item, image) in enumerate(
            zip(items, mapped(executor, _read, items, _AHEAD), strict=True), 1
        ):
            if isinstance(image, Problem):
                scores.problems.append(image)
            else:
                _score(scores, predictor, item, image)
            if progress is not None:
                progress(done, len(items))
    if not scores.items:
        reasons = "; ".join(str(problem) for problem in scores.problems[:3]) or "there are none"
        raise DataError(f"no picture could be scored: {reasons}")
    return scores


def load_truths(item: PromptItem) -> dict[str, Pixels]:
    """Mask (H, W) of every class that an item shows.

    Raises:
        MaskError: A label does not fit.
    """
    return {name: item.mask_of(name) for name in item.parts}


def _read(item: PromptItem) -> Pixels | Problem:
    try:
        return read_image(item.path)
    except FaultlineError as error:
        return Problem(item.id, error.what)


def _add(scores: PromptScores, prompt: str, name: str, kind: str) -> None:
    scores.prompts.setdefault(prompt, PromptScore(prompt, name, kind))


def _score(
    scores: PromptScores, predictor: PromptPredictor, item: PromptItem, image: Pixels
) -> None:
    try:
        truths = load_truths(item)
    except FaultlineError as error:
        scores.problems.append(Problem(item.id, error.what))
        return
    asked = [
        score for score in scores.prompts.values() if score.kind == MAIN or score.name in truths
    ]
    answers = predictor.answer(image, [score.prompt for score in asked])
    for score, answer in zip(asked, answers, strict=True):
        score.known = answer.meaning.known
        truth = truths.get(score.name)
        if truth is not None:
            _count_shown(scores, score, item, answer, truth)
        elif score.name in item.absent:
            _count_absent(scores, score, item, answer)
        if score.kind == MAIN:
            _count_confusion(scores, score.name, answer, truths)
    scores.items[item.id] = item
    scores.seconds += sum(answer.seconds for answer in answers)


def _count_shown(
    scores: PromptScores,
    score: PromptScore,
    item: PromptItem,
    answer: PromptAnswer,
    truth: Pixels,
) -> None:
    counts = count_binary(answer.mask, truth)
    score.counts = score.counts + counts
    if counts.truth_positive:
        score.each.append(counts.iou)
    if score.kind == MAIN:
        scores.classes[score.name].update(np.clip(answer.probability, 0, 1), truth)
        key = (item.source, score.name)
        scores.sources[key] = scores.sources.get(key, BinaryCounts()) + counts
    row = _row(score, item, answer, shown=True)
    names = ("iou", "dice", "precision", "recall")
    scores.rows.append(row | {name: getattr(counts, name) for name in names})


def _count_absent(
    scores: PromptScores, score: PromptScore, item: PromptItem, answer: PromptAnswer
) -> None:
    score.absent += 1
    false = answer.share > FALSE_SHARE
    score.false_answers += false
    empty = np.zeros(answer.mask.shape, np.uint8)
    scores.classes[score.name].update(np.clip(answer.probability, 0, 1), empty)
    scores.rows.append(_row(score, item, answer, shown=False) | {"false_answer": int(false)})


def _count_confusion(
    scores: PromptScores, asked: str, answer: PromptAnswer, truths: dict[str, Pixels]
) -> None:
    for name, truth in truths.items():
        own = truth == 1
        row = scores.painted.setdefault(name, dict.fromkeys(scores.classes, 0))
        row[asked] += int(np.count_nonzero(answer.mask[own]))
        if asked == name:
            scores.truth[name] = scores.truth.get(name, 0) + int(np.count_nonzero(own))


def _row(
    score: PromptScore, item: PromptItem, answer: PromptAnswer, *, shown: bool
) -> dict[str, Any]:
    return {
        "id": item.id,
        "source": item.source,
        "prompt": score.prompt,
        "class": score.name,
        "kind": score.kind,
        "shown": int(shown),
        "painted_share": answer.share,
        "threshold": answer.threshold,
    }
