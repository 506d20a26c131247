"""Loaders of pictures with both labels."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DataLoader

from faultline.config.data_rules import picture_size
from faultline.config.schema import Config
from faultline.data.dual_dataset import DualPictures, TrainingDualPictures, collate_dual
from faultline.data.dual_prepare import DualPrepared
from faultline.data.sampling import EpochSampler, create_draw
from faultline.data.targets import image_targets
from faultline.data.transforms import build_augmentation
from faultline.errors import DataError
from faultline.training.loaders import own_generator, picture_cache, worker_count
from faultline.training.resume import ResumableLoader

_VALIDATION_BATCH = 8


def tier_weights(config: Config) -> dict[str, float]:
    """Tier -> factor of the loss of masks."""
    phases = config.phases
    return {"hand": phases.tier_a, "A": phases.tier_a, "B": phases.tier_b}


def dual_training_loader(
    config: Config, prepared: DualPrepared, *, only_masked: bool
) -> ResumableLoader:
    """Augmented pictures, in an order that depends on seed and epoch only.

    Args:
        config: Settings of the phase.
        prepared: Items by role.
        only_masked: Leave out pictures that teach nothing of masks.

    Raises:
        DataError: No picture is left.
    """
    settings, weights = config.data, tier_weights(config)
    items = prepared.train
    if only_masked:
        items = [
            item for item in items
            if (label := prepared.masks.get(str(item.path))) and weights[label.tier] > 0
        ]  # fmt: skip
    if not items:
        raise DataError("no training picture has a mask that counts", where=settings.root)
    dataset = TrainingDualPictures(
        items, prepared, picture_cache(config),
        size=picture_size(settings.image_size), keep_aspect=settings.keep_aspect,
        tier_weights=weights, augmentation=build_augmentation(config.augment), seed=config.seed,
    )  # fmt: skip
    draw = create_draw(settings.sampler, image_targets(items, prepared.label_space))
    workers = worker_count(config)
    return ResumableLoader(
        dataset,  # type: ignore[arg-type]
        # A last batch of one is dropped: batch normalisation cannot use it on small maps.
        batch_size=min(settings.batch_size, len(dataset)),
        sampler=EpochSampler(len(dataset), config.seed, draw=draw),
        collate_fn=collate_dual,
        num_workers=workers,
        drop_last=len(dataset) > settings.batch_size,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        generator=own_generator(config.seed),
    )


def dual_validation_loader(config: Config, prepared: DualPrepared) -> DataLoader[Any]:
    """Pictures at the model's size, in order."""
    dataset = DualPictures(
        prepared.valid, prepared, picture_cache(config),
        size=picture_size(config.data.image_size), keep_aspect=config.data.keep_aspect,
        tier_weights=tier_weights(config),
    )  # fmt: skip
    return DataLoader(
        dataset,
        batch_size=min(_VALIDATION_BATCH, len(dataset)),
        collate_fn=collate_dual,
        generator=own_generator(config.seed),
    )
