"""Chooses threshold and epoch on validation data, and keeps the best weights as a bundle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as pl

from faultline.artifacts.bundle import Bundle, save_bundle
from faultline.artifacts.contents import Threshold
from faultline.artifacts.run import RunFolder
from faultline.files import link_or_copy
from faultline.training.task import TrainingTask


class ValidationScorer(ABC):
    """Scores one validation after another. Subclasses are final.

    Attributes:
        metric: Name of the score that decides; logged as `val/<metric>`.
        higher_is_better: Whether more of it is better.
    """

    metric: str
    higher_is_better: ClassVar[bool] = True

    @abstractmethod
    def start(self) -> None:
        """Forget the validation before."""

    @abstractmethod
    def equip(self, task: TrainingTask, bundle: Bundle) -> None:
        """Give the task what it answers with: the predictor that users of `bundle` will have."""

    @abstractmethod
    def count(self, task: TrainingTask, outputs: Any, batch: Any) -> None:
        """Count what `validation_step` returned for one batch."""

    @abstractmethod
    def release(self, task: TrainingTask) -> None:
        """Take away what `equip` gave."""

    @abstractmethod
    def choose(self) -> Threshold:
        """Threshold of this validation: tuned on it, unless set by hand."""

    @abstractmethod
    def scores(self, threshold: Threshold) -> dict[str, float]:
        """Scores at `threshold`, `metric` among them; NaN where one is not defined."""

    def details(self) -> dict[str, Any]:
        """More to store in the bundle's metrics than single numbers, as plain values."""
        return {}

    def other_name(self, latest: dict[str, Any]) -> str | None:
        """Another file name for the best weights, one that tells epoch and score; None for none."""
        return None


class SelectBest(pl.Callback):
    """Scores each validation at its own best threshold and saves the bundle when it improves.

    It must come before a weight-averaging callback, which swaps the averaged weights back in at
    the same hook: what is saved has to be what was scored.

    Args:
        run: Where the bundle goes.
        scorer: Scores a validation.
        describe: Gives everything of the bundle but state, threshold and metrics.
        keep: Bundles that stay: the best, and the `keep` - 1 that were the best before it.
    """

    def __init__(
        self,
        run: RunFolder,
        scorer: ValidationScorer,
        describe: Callable[[Any], dict[str, Any]],
        keep: int = 1,
    ) -> None:
        self.run = run
        self.scorer = scorer
        self.describe = describe
        self.best: dict[str, Any] = {}
        self.latest: dict[str, Any] = {}
        self.keep = keep
        self._other: Path | None = None
        self._before: list[str] = []

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start counting anew."""
        self.scorer.start()

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Give the task a predictor of the weights to be scored.

        Not earlier: a weight-averaging callback swaps its weights in when the epoch starts.
        """
        assert isinstance(pl_module, TrainingTask)
        if batch_idx == 0:
            self.scorer.equip(pl_module, self.bundle(pl_module, Threshold()))

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count one batch."""
        assert isinstance(pl_module, TrainingTask)
        self.scorer.count(pl_module, outputs, batch)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log scores, and save if they are the best so far."""
        assert isinstance(pl_module, TrainingTask)
        self.scorer.release(pl_module)
        choice = self.scorer.choose()
        scores = {**self.scorer.scores(choice), "threshold": choice.value}
        pl_module.log_dict({f"val/{name}": value for name, value in scores.items()
                            if value == value}, prog_bar=False)  # fmt: skip
        self.latest = {**scores, "epoch": trainer.current_epoch, "step": trainer.global_step}
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        if self._improves(scores[self.scorer.metric]):
            self._step_back()
            self.best = dict(self.latest)
            save_bundle(self.run.best, self.bundle(pl_module, choice, self.scorer.details()))
            self._name_again()

    def _improves(self, score: float) -> bool:
        """Whether it is as good as the best or better.

        Where nothing can be scored (no positives) the latest weights are the ones to keep.
        """
        if not self.best:
            return True
        sign = 1 if self.scorer.higher_is_better else -1
        return not sign * score < sign * self.best.get(self.scorer.metric, sign * float("-inf"))

    def _step_back(self) -> None:
        """Keep what was the best under its epoch's name; the oldest beyond `keep` go."""
        if self.keep > 1 and self.best and self.run.best.is_file():
            name = f"before-epoch-{self.best['epoch']:04}.safetensors"
            link_or_copy(self.run.best, self.run.checkpoints / name)
            self._before = [*(n for n in self._before if n != name), name]
        while len(self._before) >= self.keep:
            (self.run.checkpoints / self._before.pop(0)).unlink(missing_ok=True)

    def _name_again(self) -> None:
        """Give the best weights their telling name too; the one before goes."""
        name = self.scorer.other_name(self.latest)
        if name is None:
            return
        if self._other is not None:
            self._other.unlink(missing_ok=True)
        self._other = self.run.checkpoints / name
        link_or_copy(self.run.best, self._other)

    def bundle(
        self, task: TrainingTask, threshold: Threshold, details: dict[str, Any] | None = None
    ) -> Bundle:
        """The bundle of the weights that `task` holds now."""
        return Bundle(
            state={name: tensor.detach().cpu().clone()
                   for name, tensor in task.network.state_dict().items()},
            threshold=threshold,
            metrics={"validation": {**self.latest, **(details or {})}},
            **self.describe(task),
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """The best scores so far, for resuming."""
        other = None if self._other is None else self._other.name
        return {"best": self.best, "latest": self.latest, "other": other, "before": self._before}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on comparing with the best scores from before."""
        self.best, self.latest = dict(state_dict["best"]), dict(state_dict["latest"])
        other = state_dict.get("other")
        self._other = None if other is None else self.run.checkpoints / other
        self._before = list(state_dict.get("before", ()))
