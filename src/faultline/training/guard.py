"""Says at once, and why, when a training finds no foreground at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl

from faultline.config.schema import Config
from faultline.data.manifest import Item
from faultline.errors import TrainingError
from faultline.metrics import ProbabilityHistogram, diagnose, foreground_is_dead
from faultline.training.labels import label_share, mask_values, sample
from faultline.training.selection import SelectBest
from faultline.types import LabelKind, LabelSpace

_STEPS = 150
"""Steps before an IoU of mere chance is held against a model: untrained ones are all chance."""
_CHANCE = 1.1


class ForegroundGuard(pl.Callback):
    """Watches validation: dead foreground after a few epochs gets a diagnosis, not silence.

    Args:
        selection: Holds the histogram of the latest validation.
        config: Settings that the diagnosis names.
        items: Training items, whose labels the diagnosis looks at.
        label_space: What their labels mean.
        say: Takes the diagnosis.
    """

    def __init__(
        self,
        selection: SelectBest,
        config: Config,
        items: Sequence[Item],
        label_space: LabelSpace,
        say: Callable[[str], None],
    ) -> None:
        self.items = sample(items)
        self.label_space = label_space
        self.selection = selection
        self.config = config
        self.say = say
        self.iou: list[float] = []
        self.painted: list[float] = []
        self._told = False

    @property
    def histogram(self) -> ProbabilityHistogram:
        """That of the latest validation."""
        histogram: ProbabilityHistogram = self.selection.scorer.histogram  # type: ignore[attr-defined]
        return histogram

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the latest validation.

        Raises:
            TrainingError: Foreground is dead and `trainer.guard_action` is `stop`.
        """
        histogram = self.histogram
        latest = self.selection.latest
        counts = histogram.counts_at(latest["threshold"], nearest=True)
        self.painted.append((counts.tp + counts.fp) / max(1, histogram.pixels))
        # Tuned thresholds may keep back what is found, for few false answers: that is not dead.
        iou = latest.get("iou_found", latest["iou"]) if self._is_tuned else latest["iou"]
        self.iou.append(0.0 if self._is_chance(iou) else iou)
        settings = self.config.trainer
        # What is no better than chance may only have just begun; an IoU of 0 is told at once.
        # Exclusive classes start at their shares: the background everywhere, and an IoU of 0.
        at_chance = self._is_tuned or self._excludes or iou > 0
        if self._told or (at_chance and trainer.global_step < _STEPS):
            return
        if not foreground_is_dead(self.iou, self.painted, settings.guard_epochs):
            return
        self._told = True
        self.say(f"no foreground after {len(self.iou)} validations\n{self._diagnosis()}")
        if settings.guard_action == "stop":
            raise TrainingError(
                "stopped: validation finds no foreground; see the diagnosis above",
                remedy="set trainer.guard_action=warn to continue anyway",
            )

    def look_back(self) -> None:
        """Say at the end of a training what there was no telling while it had only just begun."""
        count = len(self.iou)
        patience = min(count, self.config.trainer.guard_epochs)
        if self._told or not patience or not foreground_is_dead(self.iou, self.painted, patience):
            return
        self._told = True
        times = "1 validation" if count == 1 else f"{count} validations"
        self.say(f"no foreground at the end, after {times}\n{self._diagnosis()}")

    @property
    def _is_tuned(self) -> bool:
        """Whether each validation chooses its threshold; classes that exclude each other do not."""
        return self.config.threshold == "auto" and not self._excludes

    @property
    def _excludes(self) -> bool:
        return self.label_space.kind is LabelKind.MULTICLASS

    def _is_chance(self, iou: float) -> bool:
        """Whether `iou` is no better than painting every picture whole.

        A tuned threshold always finds some IoU above 0, that of painting everything at worst, and
        at a fixed one a few stray pixels keep the IoU above 0 where nothing is found.
        """
        return not self._excludes and not iou > _CHANCE * self.chance()

    def chance(self) -> float:
        """IoU of painting every validation picture whole."""
        return self.histogram.positives / max(1, self.histogram.pixels)

    def _diagnosis(self) -> str:
        settings = {key: value for key, value in self.config.loss.items() if key != "name"}
        found = diagnose(
            self.histogram,
            threshold=self.selection.latest["threshold"],
            loss=self.config.loss["name"],
            loss_settings=settings,
            learning_rate=self.config.optimizer.lr,
            epoch=len(self.iou),
            label_share=label_share(self.items, self.label_space),
            mask_values=mask_values(self.items),
        )
        return found.text()

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far, for resuming."""
        return {"iou": self.iou, "painted": self.painted, "told": self._told}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.iou, self.painted = list(state_dict["iou"]), list(state_dict["painted"])
        self._told = bool(state_dict["told"])
