"""Samples of whole pictures at one size, with what they show and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from faultline.data.cache import Arrays, NoCache
from faultline.data.classification import ClassPictures, ClassSample
from faultline.data.dataset import to_tensor
from faultline.data.dual_prepare import DualPrepared
from faultline.data.images import read_image
from faultline.data.manifest import Item, label_hash
from faultline.data.masks import load_mask, resize_mask
from faultline.data.resize import fit_picture, fitted_shape
from faultline.errors import DataError
from faultline.types import IGNORE_INDEX


@dataclass(slots=True)
class DualSample:
    """One picture with both labels.

    Attributes:
        classes: Picture and what it shows.
        mask: (M, H, W) uint8 of 0 and 1; 255 is ignored, everywhere where there is no mask.
        weight: Factor of its loss of masks; 0 without a mask.
    """

    classes: ClassSample
    mask: Tensor
    weight: float


@dataclass(slots=True)
class DualBatch:
    """What a training step takes.

    Attributes:
        ids: B ids.
        image: (B, 3, H, W) uint8.
        target: (B, K) float32, or (B,) int64.
        mask: (B, M, H, W) uint8; 255 is ignored.
        weight: (B,) float32, factors of the loss of masks.
    """

    ids: list[str]
    image: Tensor
    target: Tensor
    mask: Tensor
    weight: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> DualBatch:
        """The same batch on `device`."""
        tensors = (self.image, self.target, self.mask, self.weight)
        return DualBatch(self.ids, *(one.to(device, non_blocking=non_blocking) for one in tensors))

    def pin_memory(self) -> DualBatch:
        """The same batch in page-locked memory."""
        tensors = (self.image, self.target, self.mask, self.weight)
        return DualBatch(self.ids, *(one.pin_memory() for one in tensors))


class DualPictures(Dataset[DualSample]):
    """Pictures at one size with both labels, in order.

    Args:
        items: Pictures with their classes.
        prepared: Their masks.
        cache: Where resized pictures and masks are kept.
        size: Height and width in pixels.
        keep_aspect: Pad instead of stretching; what is padded is ignored.
        tier_weights: Tier -> factor of the loss of masks.

    Raises:
        DataError: An item has no classes.
    """

    def __init__(
        self,
        items: Sequence[Item],
        prepared: DualPrepared,
        cache: NoCache,
        *,
        size: tuple[int, int],
        keep_aspect: bool = False,
        tier_weights: Mapping[str, float] | None = None,
    ) -> None:
        self.items = list(items)
        self.prepared = prepared
        self.size = size
        self.keep_aspect = keep_aspect
        self.tier_weights = tier_weights or {}
        self._cache = cache
        self._keys: dict[int, str] = {}
        # Labels of whole pictures are read there, in one place.
        self.targets = ClassPictures(items, prepared.label_space, cache, size=size).targets

    def __len__(self) -> int:
        return len(self.items)

    def arrays(self, index: int) -> Arrays:
        """Picture (H, W, 3) and mask (M, H, W) of item `index`, both uint8, cached."""
        if index not in self._keys:
            item = self.items[index]
            label = self.prepared.masks.get(str(item.path))
            mask = "none" if label is None else label_hash(label.item)
            content = (item.sha256, mask, str(self.size), str(self.keep_aspect))
            self._keys[index] = "-".join((type(self).__name__, *content))
        return self._cache.get(self._keys[index], lambda: self._decode(self.items[index]))

    def _decode(self, item: Item) -> Arrays:
        image = read_image(item.path)
        picture = fit_picture(image, self.size, self.keep_aspect)
        planes = np.full((len(self.prepared.mask_space.names), *self.size), IGNORE_INDEX, np.uint8)
        label = self.prepared.masks.get(str(item.path))
        if label is not None:
            rows, columns = fitted_shape(image.shape[:2], self.size, self.keep_aspect)
            planes[:, :rows, :columns] = self._mask(label.item, (rows, columns))
        return picture, planes

    def _mask(self, item: Item, size: tuple[int, int]) -> NDArray[np.uint8]:
        mask = load_mask(item, self.prepared.mask_space)
        return resize_mask(mask if mask.ndim == 3 else mask[None], size)

    def weight(self, index: int) -> float:
        """Factor of the loss of masks of item `index`."""
        label = self.prepared.masks.get(str(self.items[index].path))
        return 0.0 if label is None else float(self.tier_weights.get(label.tier, 1.0))

    def __getitem__(self, index: int) -> DualSample:
        image, mask = self.arrays(index)
        return self._sample(index, to_tensor(image), torch.from_numpy(np.array(mask)))

    def _sample(self, index: int, image: Tensor, mask: Tensor) -> DualSample:
        classes = ClassSample(self.items[index].id, image, self.targets[index], index)
        return DualSample(classes, mask, self.weight(index))


class TrainingDualPictures(DualPictures):
    """Augmented pictures with both labels; addressed as `TrainingClassPictures` are.

    Args:
        items: See `DualPictures`.
        prepared: See `DualPictures`.
        cache: See `DualPictures`.
        size: See `DualPictures`.
        keep_aspect: See `DualPictures`.
        tier_weights: See `DualPictures`.
        augmentation: Takes an (Image, Mask) pair and moves both alike.
        seed: Seed of the run.
    """

    def __init__(
        self,
        items: Sequence[Item],
        prepared: DualPrepared,
        cache: NoCache,
        *,
        size: tuple[int, int],
        keep_aspect: bool = False,
        tier_weights: Mapping[str, float] | None = None,
        augmentation: nn.Module | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            items, prepared, cache, size=size, keep_aspect=keep_aspect, tier_weights=tier_weights
        )
        if not self.items:
            raise DataError("there are no pictures to train on")
        self.augmentation = augmentation or v2.Identity()
        self.seed = seed

    def __getitem__(self, address: tuple[int, int]) -> DualSample:  # type: ignore[override]
        epoch, number = address
        index = number % len(self.items)
        rng = np.random.default_rng([self.seed, epoch, number])
        image, mask = self.arrays(index)
        joint = (tv_tensors.Image(to_tensor(image)), tv_tensors.Mask(np.array(mask)))
        # torchvision draws from torch's global state: give it this sample's own, then put back.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))
            moved = [one.as_subclass(Tensor) for one in self.augmentation(*joint)]
        return self._sample(index, *self._fitted(moved[0], moved[1]))

    def _fitted(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Both at the size of the data set, whatever the augmentation left."""
        if tuple(image.shape[-2:]) == self.size[::-1] != self.size:
            # A quarter turn of a long picture does not fit its batch: it is turned back.
            image, mask = (torch.rot90(one, -1, (-2, -1)) for one in (image, mask))
        if tuple(image.shape[-2:]) != self.size:
            size = list(self.size)
            image = v2.functional.resize(image, size, antialias=True)
            nearest = v2.InterpolationMode.NEAREST_EXACT
            mask = v2.functional.resize(mask, size, interpolation=nearest)
        return image.contiguous(), mask.contiguous()


def collate_dual(samples: Sequence[DualSample]) -> DualBatch:
    """Stack samples of one size."""
    return DualBatch(
        [sample.classes.id for sample in samples],
        torch.stack([sample.classes.image for sample in samples]),
        torch.stack([sample.classes.target for sample in samples]),
        torch.stack([sample.mask for sample in samples]),
        torch.tensor([sample.weight for sample in samples], dtype=torch.float32),
    )
