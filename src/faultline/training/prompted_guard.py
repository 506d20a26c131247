"""The zero-foreground guard of prompted training: the same diagnosis, prompt by prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from faultline.config.schema import Config
from faultline.data.prompt_items import PromptItem
from faultline.metrics import diagnose
from faultline.training.guard import ForegroundGuard
from faultline.training.labels import mask_values
from faultline.training.prompted_scorer import PromptScorer
from faultline.training.selection import SelectBest
from faultline.types import IGNORE_INDEX, LabelKind, LabelSpace

_LABELS = 200


class PromptGuard(ForegroundGuard):
    """Watches the validations of a prompted training; see `ForegroundGuard`.

    Args:
        selection: Its scorer is a `PromptScorer`.
        config: Settings that the diagnosis names.
        items: Training items, whose labels the diagnosis looks at.
        say: Takes the diagnosis.
    """

    def __init__(
        self,
        selection: SelectBest,
        config: Config,
        items: Sequence[PromptItem],
        say: Callable[[str], None],
    ) -> None:
        space = LabelSpace(LabelKind.BINARY, ("foreground",))
        super().__init__(selection, config, [], space, say)
        self.prompt_items = [item for item in items if item.parts][:_LABELS]

    def chance(self) -> float:
        """Mean over the classes, as the IoU that it is held against."""
        seen = [one.present for one in self.scorer.counts.values() if one.present.positives]
        return float(np.mean([one.positives / one.pixels for one in seen])) if seen else 0.0

    @property
    def scorer(self) -> PromptScorer:
        """Counts of the latest validation, prompt by prompt."""
        scorer = self.selection.scorer
        assert isinstance(scorer, PromptScorer)
        return scorer

    def _diagnosis(self) -> str:
        scorer = self.scorer
        latest = self.selection.latest
        given = {key: value for key, value in self.config.loss.items() if key != "name"}
        found = diagnose(
            scorer.histogram,
            threshold=latest["threshold"],
            loss=self.config.loss["name"],
            loss_settings=given,
            learning_rate=self.config.optimizer.lr,
            epoch=len(self.iou),
            label_share=shown_share(self.prompt_items),
            mask_values=mask_values(
                part.item for item in self.prompt_items for part in item.parts.values()
            ),
        )
        lines = [found.text(), "", "Prompt by prompt, at the same threshold"]
        for name, counts in scorer.counts.items():
            own = diagnose(counts.present, threshold=latest["threshold"]).verdicts[0]
            lines.append(f"  {name}: {own.sentence} [{own.code}]")
        return "\n".join(lines)


def shown_share(items: Sequence[PromptItem]) -> float:
    """Share of foreground among the labelled pixels of what `items` show; NaN without any."""
    foreground = pixels = 0
    for item in items:
        for name in item.parts:
            mask = item.mask_of(name)
            counted = mask != IGNORE_INDEX
            foreground += int(((mask > 0) & counted).sum())
            pixels += int(counted.sum())
    return foreground / pixels if pixels else float("nan")
