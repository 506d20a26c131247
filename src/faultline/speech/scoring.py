"""Scores a validation of a recogniser; the epoch with the fewest wrong characters is kept."""

from __future__ import annotations

from typing import Any, final

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.contents import Threshold
from faultline.speech.data.samples import SpeechBatch
from faultline.speech.metrics import error_rates
from faultline.speech.paraformer import Paraformer
from faultline.speech.paraformer.cif import TAIL
from faultline.speech.task import Validated
from faultline.speech.tokenizer import CharacterTokenizer
from faultline.training.selection import ValidationScorer
from faultline.training.task import TrainingTask


@final
class ErrorRateScorer(ValidationScorer):
    """Character and word error rate, exact matches, and how well CIF counts.

    Args:
        tokenizer: Makes text of the answers.
    """

    metric = "cer"
    higher_is_better = False

    def __init__(self, tokenizer: CharacterTokenizer) -> None:
        self.tokenizer = tokenizer
        self.start()

    def start(self) -> None:
        """Start counting anew."""
        self.references: list[str] = []
        self.hypotheses: list[str] = []
        self.counted: list[float] = []
        self.wanted: list[int] = []
        self.right = self.tokens = 0
        self.tail = TAIL

    def equip(self, task: TrainingTask, bundle: Bundle) -> None:
        """Nothing: the network answers by itself."""

    def count(self, task: TrainingTask, outputs: Validated, batch: SpeechBatch) -> None:
        """Take the answers to one batch."""
        recognised = outputs.recognised
        for row, length in zip(recognised.tokens.tolist(), recognised.lengths.tolist(),
                               strict=True):  # fmt: skip
            self.hypotheses.append(self.tokenizer.decode(row[:length]).strip())
        self.references.extend(batch.texts)
        self.right += outputs.right
        self.tokens += outputs.tokens
        if isinstance(task.network, Paraformer):
            self.tail = task.network.tail
        if outputs.wanted is not None:
            self.counted += recognised.counts.tolist()
            self.wanted += outputs.wanted.tolist()

    def release(self, task: TrainingTask) -> None:
        """Nothing was given."""

    def choose(self) -> Threshold:
        """There is none to choose."""
        return Threshold()

    def scores(self, threshold: Threshold) -> dict[str, float]:
        """Error rates, token accuracy of the first pass, and errors of the count; NaN without."""
        rates = error_rates(self.references, self.hypotheses)
        off = [abs(a - b) for a, b in zip(self.counted, self.wanted, strict=True)]
        return {
            "cer": rates.cer,
            "wer": rates.wer,
            "exact_match": rates.exact_match,
            "token_accuracy": self.right / self.tokens if self.tokens else float("nan"),
            "count_error": sum(off) / len(off) if off else float("nan"),
            "count_exact": self.count_exact(self.tail) if off else float("nan"),
        }

    def count_exact(self, tail: float) -> float:
        """Share of clips whose number of tokens is right with `tail`."""
        right = sum(int(a + tail) == b for a, b in zip(self.counted, self.wanted, strict=True))
        return right / max(1, len(self.wanted))

    def details(self) -> dict[str, Any]:
        """Substitutions, deletions and insertions, by themselves."""
        rates = error_rates(self.references, self.hypotheses)
        names = ("substitutions", "deletions", "insertions", "characters", "clips")
        return {name: getattr(rates, name) for name in names}
