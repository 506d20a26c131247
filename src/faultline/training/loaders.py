"""Loaders of training crops and of validation pictures."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import gettempdir

import torch
from torch.utils.data import DataLoader

from faultline.config.schema import Config
from faultline.data.cache import NoCache, create_cache
from faultline.data.collate import Batch, collate
from faultline.data.dataset import TrainingCrops, WholePictures, crops_to_cover
from faultline.data.prepare import Prepared
from faultline.data.sampling import EpochSampler
from faultline.data.transforms import build_augmentation
from faultline.errors import DataError
from faultline.training.resume import ResumableLoader


def training_loader(config: Config, prepared: Prepared) -> ResumableLoader:
    """Augmented crops, in an order that depends on seed and epoch only.

    Raises:
        DataError: There are fewer crops than fill one batch for every process.
    """
    settings = config.data
    per_image = settings.crops_per_image or crops_to_cover(
        prepared.train, settings.crop, settings.resize
    )
    dataset = TrainingCrops(
        prepared.train,
        prepared.label_space,
        picture_cache(config),
        crop=settings.crop,
        crops_per_image=per_image,
        foreground_share=settings.foreground_share,
        augmentation=build_augmentation(config.augment),
        seed=config.seed,
        resize=settings.resize,
    )
    devices = config.trainer.devices
    sampler = EpochSampler(len(dataset), config.seed)
    if len(dataset) < devices:
        raise DataError(f"{len(dataset)} crops per epoch cannot be shared by {devices} processes")
    workers = worker_count(config)
    return ResumableLoader(
        dataset,  # type: ignore[arg-type]
        # A last batch of one is dropped: batch normalisation cannot use it on small maps.
        batch_size=min(settings.batch_size, len(dataset) // devices),
        sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        drop_last=len(dataset) // devices > settings.batch_size,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        generator=own_generator(config.seed),
    )


def validation_loader(config: Config, prepared: Prepared) -> DataLoader[Batch]:
    """Whole validation pictures at their own size, one at a time: the predictor resizes."""
    dataset = WholePictures(prepared.valid, prepared.label_space, picture_cache(config))
    return DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_size=1,
        collate_fn=collate,
        generator=own_generator(config.seed),
    )


def own_generator(seed: int) -> torch.Generator:
    """Loaders draw a number each time they are iterated; not from the state that dropout uses."""
    return torch.Generator().manual_seed(seed)


def worker_count(config: Config) -> int:
    """Loader processes: on a CPU none, since they would take the cores that compute."""
    if config.data.num_workers >= 0:
        return config.data.num_workers
    uses_gpu = torch.cuda.is_available() and config.trainer.accelerator != "cpu"
    return min(8, os.cpu_count() or 1) if uses_gpu else 0


def picture_cache(config: Config) -> NoCache:
    """Where decoded pictures are kept, as `data.cache` says."""
    folder = Path(gettempdir()) / "faultline-cache"
    return create_cache(config.data.cache, config.data.cache_gib, folder)
