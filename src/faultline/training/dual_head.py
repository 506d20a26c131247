"""Training of the dual-head network: masks, then both, then classes (document 2, section 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import lightning.pytorch as pl
from torch.utils.data import DataLoader

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.contents import InputSpec
from faultline.artifacts.run import RunFolder
from faultline.config.data_rules import picture_size
from faultline.config.schema import Config, PhaseConfig
from faultline.data.dual_prepare import DualPrepared, prepare_dual
from faultline.data.split import table_lines
from faultline.data.targets import image_targets
from faultline.models.prior import start_at_shares
from faultline.predict.dual_head import CLASSES
from faultline.tasks import DUAL_HEAD
from faultline.training.dual_loaders import dual_training_loader, dual_validation_loader
from faultline.training.dual_rollback import check_rollback
from faultline.training.dual_rules import AUTO_LOSS
from faultline.training.dual_scorer import DualScorer
from faultline.training.dual_start import Start, start_from
from faultline.training.dual_task import DualHeadTask
from faultline.training.fit import Ready
from faultline.training.gradient_checkpointing import enable_gradient_checkpointing
from faultline.training.guard import ForegroundGuard
from faultline.training.kinds import Say, shown
from faultline.training.labels import class_shares, sample
from faultline.training.missed import MissedClasses
from faultline.training.phases import Gate, Phase, PhasedKind
from faultline.training.resume import ResumableLoader
from faultline.training.selection import SelectBest, ValidationScorer
from faultline.training.tiers import apply_tier, choose_tier
from faultline.types import LabelKind

_TITLES = {
    "a": "masks, on a frozen backbone",
    "b": "masks and classes together",
    "c": "classes, the decoder of masks frozen",
}
_ROLLBACK_AFTER = "b"
_LINE = ("iou", "accuracy", "macro_f1", "macro_average_precision")


@dataclass(frozen=True)
class DualPhase:
    """One phase.

    Attributes:
        name: `a`, `b` or `c`.
        title: In words.
        settings: See PhaseConfig.
    """

    name: str
    title: str
    settings: PhaseConfig

    @property
    def epochs(self) -> int:
        """Epochs at most."""
        return self.settings.epochs


@final
class DualHeadKind(PhasedKind[DualPrepared]):
    """From pictures with classes and masks to one network that names and outlines."""

    name = DUAL_HEAD

    def __init__(self) -> None:
        self.start: Start | None = None
        self.phase: DualPhase | None = None
        self.memory = ""

    def prepare(self, config: Config) -> DualPrepared:
        """Import and split by classes, and find the masks."""
        self.memory = apply_tier(config)
        return prepare_dual(config.data, config.seed, config.phases.confidence)

    def phases(self, config: Config) -> Sequence[DualPhase]:
        """Those that have epochs."""
        every = (DualPhase(name, title, getattr(config.phases, name))
                 for name, title in _TITLES.items())  # fmt: skip
        return [phase for phase in every if phase.epochs]

    def task(self, config: Config, prepared: DualPrepared) -> DualHeadTask:
        """The module to train, with the weights of `init.weights`."""
        asked, space = config.phases.class_loss, prepared.label_space
        if asked == AUTO_LOSS:
            asked = "cross_entropy" if space.kind is LabelKind.MULTICLASS else "bce"
        task = DualHeadTask(
            config.model, config.loss, asked, prepared.mask_space, space,
            image_targets(prepared.train, space), config.optimizer, config.scheduler,
        )  # fmt: skip
        masked = sample(prepared.masked(prepared.train))
        shares = class_shares(masked, prepared.mask_space)
        start_at_shares(task.dual.decoder, shares, prepared.mask_space.kind)
        if config.init.weights is not None:
            self.start = start_from(config.init.weights, task.dual, prepared)
        if choose_tier(config).settings.checkpointing:
            enable_gradient_checkpointing(task.network)
        self.enter(self.phases(config)[0], config, task)
        return task

    def enter(self, phase: Phase, config: Config, task: Any) -> Config:
        """Freeze what the phase freezes; its patience, warm-up and rates hold from now on."""
        assert isinstance(phase, DualPhase)
        self.phase, settings = phase, phase.settings
        scheduler = replace(config.scheduler, warmup_steps=settings.warmup_steps)
        task.enter(phase.name, settings, scheduler)
        # The rate that messages name is that of the part which the phase is about.
        rate = settings.lr_masks or settings.lr_classes or settings.lr_backbone
        return replace(
            config, scheduler=scheduler, optimizer=replace(config.optimizer, lr=rate),
            trainer=replace(config.trainer, early_stopping_patience=settings.patience),
        )  # fmt: skip

    @property
    def settings(self) -> PhaseConfig:
        """Those of the phase that was entered."""
        assert self.phase is not None, "`task` enters the first one"
        return self.phase.settings

    def training_loader(self, config: Config, prepared: DualPrepared) -> ResumableLoader:
        """Augmented pictures; where only masks are learnt, those that have one."""
        only_masked = self.settings.loss_classes == 0
        return dual_training_loader(config, prepared, only_masked=only_masked)

    def validation_loader(self, config: Config, prepared: DualPrepared) -> DataLoader[Any]:
        """Pictures at the model's size, in order."""
        return dual_validation_loader(config, prepared)

    def scorer(self, config: Config, prepared: DualPrepared, precision: str) -> ValidationScorer:
        """Scores both heads, in the proportions of the phase."""
        assert self.phase is not None
        return DualScorer(
            self.phase.name, prepared.mask_space, prepared.label_space, config.threshold,
            precision, config.evaluation.min_positives,
            (self.settings.loss_masks, self.settings.loss_classes),
        )  # fmt: skip

    def guards(
        self, config: Config, prepared: DualPrepared, selection: SelectBest, say: Say
    ) -> list[pl.Callback]:
        """Say when no foreground, or a class never, is found."""
        patience = config.trainer.guard_epochs
        if not patience:
            return []
        guards: list[pl.Callback] = []
        if self.settings.loss_masks:
            items = prepared.masked(prepared.train)
            guards.append(ForegroundGuard(selection, config, items, prepared.mask_space, say))
        if self.settings.loss_classes:
            shown_by = image_targets(prepared.train, prepared.label_space).sum(axis=0).tolist()
            counts = dict(zip(prepared.label_space.names, shown_by, strict=True))
            guards.append(MissedClasses(selection, counts, patience, say))
        return guards

    def describe(self, config: Config, prepared: DualPrepared, task: Any) -> dict[str, Any]:
        """Both label spaces, scaling, size, and all pictures that the weights have ever seen."""
        height, width = picture_size(config.data.image_size)
        spec = InputSpec(
            size=max(height, width), height=height, width=width,
            keep_aspect=int(config.data.keep_aspect),
        )  # fmt: skip
        return {
            "label_space": prepared.mask_space,
            "normalisation": task.normalisation,
            "input": spec,
            "extra": {CLASSES: prepared.label_space.to_dict()},
            "seen": self._seen(prepared),
        }

    def _seen(self, prepared: DualPrepared) -> dict[str, list[str]]:
        """By part, with what the weights that this training started from had seen."""
        before = {} if self.start is None else self.start.bundle.seen
        own = {"weights": prepared.train, "selection": prepared.valid}
        return {
            part: sorted({*before.get(part, ()), *(item.sha256 for item in own.get(part, ()))})
            for part in {*before, *own}
        }

    def remarks(self, config: Config, prepared: DualPrepared, task: Any) -> list[str]:
        """Classes in each part, channels, memory, first weights and the losses in force."""
        lines = [] if prepared.split is None else table_lines(prepared.split.table())
        first = self._first_weights(task)
        lines += [f"masks of {', '.join(prepared.mask_space.names)}", self.memory,
                  f"weights: {first}"]  # fmt: skip
        if first == "random" and config.phases.a.epochs and not config.phases.a.lr_backbone:
            lines.append(
                "WARNING: phase a trains a decoder on a frozen backbone that has learnt nothing: "
                "give init.weights=RUN, or leave phase a out with phases.a.epochs=0"
            )
        return lines

    def _first_weights(self, task: Any) -> str:
        own = getattr(task.dual.backbone, "weights", "random")
        return str(own) if self.start is None else self.start.line

    def keep(self, run: RunFolder, prepared: DualPrepared) -> None:
        """The split."""
        if prepared.split is not None:
            prepared.split.save(run.path / "split.json")

    def results(self, config: Config, prepared: DualPrepared, task: Any) -> dict[str, Any]:
        """Where first weights came from, and how good the masks are said to be."""
        return {"weights": self._first_weights(task), "tiers": prepared.tiers}

    def gate(
        self, phase: Phase, bundle: Bundle, run: RunFolder, ready: Ready
    ) -> tuple[Gate, Bundle] | None:
        """After both heads were trained: whether classes are worth refining."""
        if phase.name != _ROLLBACK_AFTER:
            return None
        return check_rollback(self.start, bundle, run, ready)

    def choose(self, bests: dict[str, dict[str, Any]]) -> str:
        """The last phase; the one before, where the last has made classes worse."""
        names = list(bests)
        last = names[-1]
        if last == "c" and _ROLLBACK_AFTER in bests:
            after, before = (bests[name]["class_score"] for name in (last, _ROLLBACK_AFTER))
            known = after is not None and before is not None
            return _ROLLBACK_AFTER if known and after < before else last
        return last

    def line(self, row: dict[str, Any]) -> str:
        """Mean IoU, accuracy, macro-F1 and mean average precision."""
        return (
            f"mean IoU {shown(row, 'val/iou')}  accuracy {shown(row, 'val/accuracy')}  "
            f"macro-F1 {shown(row, 'val/macro_f1')}  "
            f"mAP {shown(row, 'val/macro_average_precision')}"
        )

    def verdict(self, best: dict[str, Any]) -> str:
        """Scores of the best epoch."""
        row = {f"val/{name}": best[name] for name in _LINE}
        return f"best validation {self.line(row)}, epoch {best['epoch']} of the phase"
