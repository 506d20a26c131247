"""Training of prompted segmentation: pictures, prompts and masks of several data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any, final

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader

from faultline.artifacts.bundle import load_bundle, save_bundle
from faultline.artifacts.contents import InputSpec
from faultline.config.paths import make_absolute
from faultline.config.schema import Config
from faultline.data.cache import NoCache, create_cache
from faultline.data.prompt_dataset import (
    PromptCrops,
    PromptPictures,
    collate_prompts,
)
from faultline.data.prompt_items import PromptItem, PromptParts
from faultline.data.prompt_prepare import prepare_prompted
from faultline.data.prompt_sources import listed_sources
from faultline.data.resize import resized_shape
from faultline.data.sampling import EpochSampler
from faultline.data.transforms import build_augmentation
from faultline.data.wordings import Wordings
from faultline.predict.prompted import PromptPredictor
from faultline.tasks import PROMPTED
from faultline.training.clean_up_choice import choose_clean_up
from faultline.training.kinds import TrainingKind, shown
from faultline.training.loaders import worker_count
from faultline.training.prompted_distance import calibrate_distance
from faultline.training.prompted_guard import PromptGuard
from faultline.training.prompted_scorer import PromptScorer
from faultline.training.prompted_task import PromptedTask
from faultline.training.resume import ResumableLoader
from faultline.training.selection import SelectBest, ValidationScorer
from faultline.types import LabelKind, LabelSpace

VALID_ABSENT = 2
"""Questions about something absent that each validation picture is asked."""


@final
class PromptedKind(TrainingKind[PromptParts]):
    """From pictures, prompts and masks to a network that outlines what is asked for."""

    name = PROMPTED

    def __init__(self) -> None:
        self._cache: NoCache | None = None
        self._selection: SelectBest | None = None
        self._distance: tuple[int, dict[str, Any]] | None = None

    def prepare(self, config: Config) -> PromptParts:
        """Read the sources and split them."""
        return prepare_prompted(config.data, config.prompts, config.seed)

    def settle_paths(self, config: Config) -> None:
        """Absolute paths, also of sources that a file lists: they stand in its place."""
        config.data.sources = listed_sources(config.data.sources)
        make_absolute(config)

    def task(self, config: Config, prepared: PromptParts) -> PromptedTask:
        """The module to train."""
        return PromptedTask(config, Wordings(prepared.table, config.prompts.vary))

    def training_loader(self, config: Config, prepared: PromptParts) -> ResumableLoader:
        """Augmented crops with prompts, balanced over sources and classes."""
        data, prompts = config.data, config.prompts
        dataset = PromptCrops(
            prepared,
            Wordings(prepared.table, prompts.vary),
            self._cached(config),
            crop=data.crop,
            length=epoch_length(prepared.train, config),
            questions=prompts.per_picture,
            absent_share=prompts.absent_share,
            unknown_share=prompts.unknown_share,
            foreground_share=data.foreground_share,
            augmentation=build_augmentation(config.augment),
            seed=config.seed,
            resize=data.resize,
        )
        devices, workers = config.trainer.devices, worker_count(config)
        return ResumableLoader(
            dataset,  # type: ignore[arg-type]
            batch_size=max(1, min(data.batch_size, len(dataset) // devices)),
            sampler=EpochSampler(len(dataset), config.seed),
            collate_fn=collate_prompts,
            num_workers=workers,
            drop_last=len(dataset) // devices > data.batch_size,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=workers > 0,
            generator=torch.Generator().manual_seed(config.seed),
        )

    def validation_loader(self, config: Config, prepared: PromptParts) -> DataLoader[Any]:
        """Whole pictures with fixed questions, one at a time."""
        dataset = validation_pictures(config, prepared.valid, prepared, self._cached(config))
        return DataLoader(
            dataset,
            batch_size=1,
            collate_fn=collate_prompts,
            generator=torch.Generator().manual_seed(config.seed),
        )

    def scorer(self, config: Config, prepared: PromptParts, precision: str) -> ValidationScorer:
        """Counts pixels by probability, prompt by prompt."""
        return PromptScorer(config.threshold, config.prompts, prepared.classes, precision)

    def guards(
        self,
        config: Config,
        prepared: PromptParts,
        selection: SelectBest,
        say: Callable[[str], None],
    ) -> list[pl.Callback]:
        """Says when no foreground is found."""
        self._selection = selection
        if not config.trainer.guard_epochs:
            return []
        return [PromptGuard(selection, config, prepared.train, say)]

    def describe(self, config: Config, prepared: PromptParts, task: Any) -> dict[str, Any]:
        """Sizes, the prompt table, and the distance from which a prompt is far."""
        return {
            "label_space": LabelSpace(LabelKind.BINARY, ("prompted",)),
            "normalisation": task.normalisation,
            "input": InputSpec(size=config.data.crop or 256, resize=config.data.resize),
            "extra": {
                "prompts": {
                    "table": prepared.table.to_dict(),
                    "distance": self._calibrated(task, config.seed),
                    "sources": sorted(prepared.weights),
                }
            },
        }

    def results(self, config: Config, prepared: PromptParts, task: Any) -> dict[str, Any]:
        """Classes, pictures of each source, and the clean-up that validation speaks for."""
        found: dict[str, Any] = {
            "classes": list(prepared.classes),
            "sources": {
                role: _by_source(getattr(prepared, role)) for role in ("train", "valid", "test")
            },
        }
        if config.prompts.clean_up:
            found["clean_up"] = self._clean_up(config, prepared)
        return found

    def line(self, row: dict[str, Any]) -> str:
        """Mean IoU at the tuned thresholds and at 0.5, and false answers."""
        return (
            f"mIoU {shown(row, 'val/iou')} (one threshold: {shown(row, 'val/iou_shared')}, "
            f"0.5: {shown(row, 'val/iou_at_0.5')})  false answers "
            f"{shown(row, 'val/false_answers')}"
        )

    def verdict(self, best: dict[str, Any]) -> str:
        """Best mean IoU."""
        iou = best["iou"]
        value = "not defined" if iou is None or iou != iou else f"{iou:.3f}"
        return f"best validation mIoU over prompts {value}, epoch {best['epoch']}{self._given_up()}"

    def _given_up(self) -> str:
        """Classes of the best weights that the limit on false answers keeps from being found."""
        selection = self._selection
        if selection is None or not selection.run.best.is_file():
            return ""
        rows = load_bundle(selection.run.best).metrics["validation"].get("classes", {})
        lost = [
            f"{name} (IoU {row['iou']:.3f} of {row['best_iou']:.3f})"
            for name, row in rows.items()
            if row.get("gives_way")  # weights of an earlier version, resumed, do not say
        ]
        return (
            "\nWARNING: these classes are almost never outlined, to keep false answers under the "
            f"limit: {', '.join(lost)} -> train longer, or raise prompts.max_false_rate"
            if lost
            else ""
        )

    def _cached(self, config: Config) -> NoCache:
        """One cache for both loaders: their budget is one."""
        if self._cache is None:
            folder = Path(gettempdir()) / "faultline-cache"
            self._cache = create_cache(config.data.cache, config.data.cache_gib, folder)
        return self._cache

    def _calibrated(self, task: PromptedTask, seed: int) -> dict[str, Any]:
        """From which distance a prompt is far; measured once for the weights of a step."""
        if self._distance is None or self._distance[0] != task.global_step:
            found = calibrate_distance(task.network, task.wordings, seed)
            self._distance = (task.global_step, found)
        return self._distance[1]

    def _clean_up(self, config: Config, prepared: PromptParts) -> dict[str, Any]:
        """Try clean-up steps on validation with the best weights; keep those that help."""
        selection = self._selection
        if selection is None or not selection.run.best.is_file():
            return {}
        bundle = load_bundle(selection.run.best)
        device = {"cpu": "cpu", "gpu": "cuda"}.get(config.trainer.accelerator, "auto")
        predictor = PromptPredictor(bundle, device, config.trainer.precision)
        pictures = validation_pictures(config, prepared.valid, prepared, self._cached(config))
        found = choose_clean_up(predictor, pictures)
        if found.steps:
            prompts = {**bundle.extra["prompts"], "clean_up": found.steps}
            better = replace(bundle, extra={**bundle.extra, "prompts": prompts})
            save_bundle(selection.run.best, better)
        return found.to_dict()


def epoch_length(items: Sequence[PromptItem], config: Config) -> int:
    """Samples per epoch: as many crops as cover the pictures once, or `crops_per_image` of each."""
    data = config.data
    if data.crops_per_image:
        return data.crops_per_image * len(items)
    if not data.crop:
        return len(items)
    shapes = [resized_shape(one.item.height, one.item.width, data.resize) for one in items]
    area = float(np.mean([height * width for height, width in shapes]))
    return len(items) * int(min(64, max(1, round(area / data.crop**2))))


def validation_pictures(
    config: Config, items: Sequence[PromptItem], prepared: PromptParts, cache: NoCache
) -> PromptPictures:
    """Whole pictures of `items` with the questions that thresholds are chosen on."""
    wordings = Wordings(prepared.table, vary=False)
    return PromptPictures(items, wordings, cache, absent=VALID_ABSENT, seed=config.seed)


def _by_source(items: Sequence[PromptItem]) -> dict[str, dict[str, int]]:
    """Source -> class -> pictures that show it; "" for those that show nothing."""
    found: dict[str, dict[str, int]] = {}
    for item in items:
        own = found.setdefault(item.source, {})
        for name in item.parts or ("",):
            own[name] = own.get(name, 0) + 1
    return found
