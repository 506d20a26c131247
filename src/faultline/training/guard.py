"""Says at once, and why, when a training finds no foreground at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl

from faultline.config.schema import Config
from faultline.errors import TrainingError
from faultline.metrics import diagnose, foreground_is_dead
from faultline.training.selection import SelectBest

_STEPS = 150
"""Steps before a tuned threshold is held against a model: untrained ones are all chance."""
_CHANCE = 1.1


class ForegroundGuard(pl.Callback):
    """Watches validation: dead foreground after a few epochs gets a diagnosis, not silence.

    Args:
        selection: Holds the histogram of the latest validation.
        config: Settings that the diagnosis names.
        say: Takes the diagnosis.
    """

    def __init__(self, selection: SelectBest, config: Config, say: Callable[[str], None]) -> None:
        self.selection = selection
        self.config = config
        self.say = say
        self.iou: list[float] = []
        self.painted: list[float] = []
        self._told = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the latest validation.

        Raises:
            TrainingError: Foreground is dead and `trainer.guard_action` is `stop`.
        """
        histogram = self.selection.histogram
        latest = self.selection.latest
        counts = histogram.counts_at(latest["threshold"], nearest=True)
        self.painted.append((counts.tp + counts.fp) / max(1, histogram.pixels))
        self.iou.append(0.0 if self._is_chance(latest["iou"]) else latest["iou"])
        settings = self.config.trainer
        tuned_early = self.config.threshold == "auto" and trainer.global_step < _STEPS
        if self._told or tuned_early:
            return
        if not foreground_is_dead(self.iou, self.painted, settings.guard_epochs):
            return
        self._told = True
        self.say(f"no foreground after {len(self.iou)} validations\n{self._diagnosis()}")
        if settings.guard_action == "stop":
            raise TrainingError(
                "stopped: validation finds no foreground; see the diagnosis above",
                remedy="trainer.guard_action=warn goes on regardless",
            )

    def _is_chance(self, iou: float) -> bool:
        """Whether `iou` is what painting the whole picture would give.

        A tuned threshold always finds some IoU above 0, that of painting everything at worst.
        """
        histogram = self.selection.histogram
        share = histogram.positives / max(1, histogram.pixels)
        return self.config.threshold == "auto" and not iou > _CHANCE * share

    def _diagnosis(self) -> str:
        settings = {key: value for key, value in self.config.loss.items() if key != "name"}
        found = diagnose(
            self.selection.histogram,
            threshold=self.selection.latest["threshold"],
            loss=self.config.loss["name"],
            loss_settings=settings,
            learning_rate=self.config.optimizer.lr,
            epoch=len(self.iou),
        )
        return found.text()

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far, for resuming."""
        return {"iou": self.iou, "painted": self.painted, "told": self._told}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.iou, self.painted = list(state_dict["iou"]), list(state_dict["painted"])
        self._told = bool(state_dict["told"])
