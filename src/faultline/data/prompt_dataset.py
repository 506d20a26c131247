"""Prompted items to samples: a picture, some questions about it, and the mask that answers each."""

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
from faultline.data.collate import Batch, collate
from faultline.data.cropping import choose_window, cut, foreground_positions
from faultline.data.dataset import Sample
from faultline.data.images import read_image
from faultline.data.masks import resize_mask
from faultline.data.prompt_items import PromptItem, PromptParts
from faultline.data.resize import resize_picture
from faultline.data.wordings import Wordings
from faultline.types import IGNORE_INDEX

Pixels = NDArray[np.uint8]
_SELDOM = 0.001
"""Added to how often a class is asked, so that one without training pictures is asked, too."""


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt about one picture.

    Attributes:
        prompt: As it is asked.
        name: The class that it means; None for something that is no class.
        shown: Whether the picture shows it.
    """

    prompt: str
    name: str | None
    shown: bool


@dataclass(slots=True)
class PromptSample:
    """One picture with Q questions.

    Attributes:
        id: Id of the item.
        image: (3, H, W) uint8.
        mask: (Q, H, W) uint8; 255 is ignored.
        questions: Q of them.
    """

    id: str
    image: Tensor
    mask: Tensor
    questions: list[Question]


@dataclass(slots=True)
class PromptBatch(Batch):
    """B pictures with Q questions each.

    Attributes:
        questions: B lists of Q.
    """

    questions: list[list[Question]]

    @property
    def prompts(self) -> list[list[str]]:
        """B lists of Q prompts."""
        return [[question.prompt for question in asked] for asked in self.questions]

    def to(self, device: torch.device, non_blocking: bool = False) -> PromptBatch:
        """The same batch on `device`."""
        image = self.image.to(device, non_blocking=non_blocking)
        mask = self.mask.to(device, non_blocking=non_blocking)
        return PromptBatch(self.ids, image, mask, self.questions)

    def pin_memory(self) -> PromptBatch:
        """The same batch in page-locked memory."""
        return PromptBatch(
            self.ids, self.image.pin_memory(), self.mask.pin_memory(), self.questions
        )


def collate_prompts(samples: Sequence[PromptSample]) -> PromptBatch:
    """Stack samples of equally many questions; padding is ignored, as in `collate`."""
    plain = collate([Sample(sample.id, sample.image, sample.mask) for sample in samples])
    return PromptBatch(plain.ids, plain.image, plain.mask, [s.questions for s in samples])


class PromptPictures(Dataset[PromptSample]):
    """Whole pictures at their own size with fixed questions, for validation.

    Each picture is asked, by its first prompt, for every class that it shows and for up to
    `absent` classes that it does not show, always the same ones.

    Args:
        items: The pictures.
        wordings: The prompts of the classes.
        cache: Where decoded pictures are kept.
        absent: Questions about something absent.
        seed: Of their choice.
    """

    def __init__(
        self,
        items: Sequence[PromptItem],
        wordings: Wordings,
        cache: NoCache,
        *,
        absent: int = 2,
        seed: int = 0,
        resize: int = 0,
    ) -> None:
        self.items = list(items)
        self.wordings = wordings
        self.seed = seed
        self._absent = absent
        self._cache = cache
        self._resize = resize
        self._keys: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.items)

    def questions(self, index: int) -> list[Question]:
        """What item `index` is asked."""
        item = self.items[index]
        rng = np.random.default_rng([self.seed, index])
        count = min(self._absent, len(item.absent))
        others = [str(name) for name in rng.permutation(list(item.absent))[:count]]
        classes = self.wordings.table.classes
        asked = [Question(classes[n].prompts[0], n, True) for n in item.parts if n in classes]
        return asked + [Question(classes[name].prompts[0], name, False) for name in others]

    def arrays(self, index: int) -> Arrays:
        """Picture (H, W, 3), then mask (H, W) and foreground positions of each class shown."""
        item = self.items[index]
        if index not in self._keys:
            content = (type(self).__name__, item.sha256, item.label_hash(), str(self._resize))
            self._keys[index] = "-".join(content)
        return self._cache.get(self._keys[index], lambda: self._decode(item))

    def _decode(self, item: PromptItem) -> Arrays:
        image = resize_picture(read_image(item.path), self._resize)
        masks = [item.mask_of(name) for name in item.parts]
        if self._resize:
            masks = [resize_mask(mask, image.shape[:2]) for mask in masks]
        positions = [foreground_positions(mask).view(np.uint8) for mask in masks]
        return (image, *masks, *positions)

    def masks_of(self, index: int, arrays: Arrays, questions: Sequence[Question]) -> list[Pixels]:
        """One mask (H, W) a question; empty for what is not shown."""
        names = list(self.items[index].parts)
        empty = np.zeros(arrays[0].shape[:2], np.uint8)
        return [
            arrays[1 + names.index(q.name)] if q.shown and q.name in names else empty
            for q in questions
        ]

    def __getitem__(self, index: int) -> PromptSample:
        arrays, questions = self.arrays(index), self.questions(index)
        masks = np.stack(self.masks_of(index, arrays, questions))
        image = _to_tensor(arrays[0])
        return PromptSample(self.items[index].id, image, torch.from_numpy(masks), questions)


class PromptCrops(PromptPictures):
    """Augmented crops with questions, balanced over sources and over the classes of each.

    A sample is addressed by (epoch, number), and everything random about it follows from the
    seed, the epoch and the number alone, as in `TrainingCrops`. A source is drawn first, then a
    class that it shows (or "nothing", where it has such pictures), then a picture. What a picture
    does not show is asked for the more often the more often it is asked for elsewhere (root of it).

    Args:
        parts: Items to train on, and the weights of the sources.
        wordings: Makes the prompts.
        cache: Where decoded pictures are kept.
        crop: Side of the square crops; 0 gives whole pictures.
        length: Samples per epoch.
        questions: Q, prompts per picture.
        absent_share: Share of the questions that ask for what the picture does not show.
        unknown_share: Share of those that ask for something that is no class at all.
        foreground_share: See `choose_window`; around the class that was drawn.
        augmentation: Takes an (Image, Mask) pair.
        seed: Seed of the run.
        resize: Longest side that pictures are resized to first.
    """

    def __init__(
        self,
        parts: PromptParts,
        wordings: Wordings,
        cache: NoCache,
        *,
        crop: int,
        length: int,
        questions: int = 2,
        absent_share: float = 0.5,
        unknown_share: float = 0.1,
        foreground_share: float = 0.5,
        augmentation: nn.Module | None = None,
        seed: int = 0,
        resize: int = 0,
    ) -> None:
        super().__init__(parts.train, wordings, cache, seed=seed, resize=resize)
        self.crop, self.length, self.count = crop, length, questions
        self.absent_share, self.unknown_share = absent_share, unknown_share
        self.foreground_share = foreground_share
        self.augmentation = augmentation or v2.Identity()
        self._buckets = _buckets(self.items)
        weights = np.array([parts.weights.get(name, 1.0) for name in self._buckets])
        self._weights = weights / weights.sum()
        self._asked = _shares_asked(self._buckets, self._weights)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, address: tuple[int, int]) -> PromptSample:  # type: ignore[override]
        epoch, number = address
        rng = np.random.default_rng([self.seed, epoch, number])
        index, name = self._draw(rng)
        questions = self.ask(index, name, rng)
        arrays = self.arrays(index)
        image, masks = self._cut(index, name, arrays, questions, rng)
        joint = (tv_tensors.Image(_to_tensor(image)), tv_tensors.Mask(masks))
        # torchvision draws from torch's global state: give it this sample's own, then put back.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))
            changed_image, changed_mask = self.augmentation(*joint)
        pure = (changed_image.as_subclass(Tensor), changed_mask.as_subclass(Tensor))
        return PromptSample(self.items[index].id, *pure, questions)

    def ask(self, index: int, name: str | None, rng: np.random.Generator) -> list[Question]:
        """Questions about item `index`, the class `name` first if it is asked for at all."""
        item = self.items[index]
        absent = int(self.count * self.absent_share + rng.random())
        shown = [] if name is None else [name]
        others = [other for other in item.parts if other != name]
        rng.shuffle(others)
        shown += others
        asked: list[Question] = []
        for number in range(self.count):
            if number < self.count - absent and shown:
                asked.append(self._present(shown[number % len(shown)], rng))
            else:
                asked.append(self._about_absent(item, rng))
        return asked

    def _present(self, name: str, rng: np.random.Generator) -> Question:
        return Question(self.wordings.draw(name, rng), name, True)

    def _about_absent(self, item: PromptItem, rng: np.random.Generator) -> Question:
        if not item.absent or rng.random() < self.unknown_share:
            return Question(self.wordings.draw_foreign(rng), None, False)
        # What is often asked where it is there, and seldom where it is not, is painted everywhere.
        weights = np.sqrt([self._asked.get(name, 0.0) + _SELDOM for name in item.absent])
        name = item.absent[int(rng.choice(len(weights), p=weights / weights.sum()))]
        return Question(self.wordings.draw(name, rng), name, False)

    def _draw(self, rng: np.random.Generator) -> tuple[int, str | None]:
        names = list(self._buckets)
        buckets = self._buckets[names[int(rng.choice(len(names), p=self._weights))]]
        name = list(buckets)[int(rng.integers(len(buckets)))]
        indices = buckets[name]
        return indices[int(rng.integers(len(indices)))], name

    def _cut(
        self,
        index: int,
        name: str | None,
        arrays: Arrays,
        questions: Sequence[Question],
        rng: np.random.Generator,
    ) -> tuple[Pixels, Tensor]:
        """Crop of the picture (h, w, 3), and the masks (Q, h, w) of the questions."""
        image, masks = arrays[0], self.masks_of(index, arrays, questions)
        if not self.crop:
            return image, torch.from_numpy(np.stack(masks))
        names = list(self.items[index].parts)
        flat = (
            arrays[1 + len(names) + names.index(name)].view(np.int32)
            if name is not None
            else np.zeros(0, np.int32)
        )
        shape = (image.shape[0], image.shape[1])
        window = choose_window(shape, self.crop, flat, self.foreground_share, rng)
        pieces = np.stack([cut(mask, window, IGNORE_INDEX) for mask in masks])
        return cut(image, window, 0), torch.from_numpy(pieces)


def _buckets(items: Sequence[PromptItem]) -> dict[str, dict[str | None, list[int]]]:
    """Source -> class (None for nothing) -> numbers of the items that show it."""
    found: dict[str, dict[str | None, list[int]]] = {}
    for number, item in enumerate(items):
        own = found.setdefault(item.source, {})
        for name in item.parts or (None,):
            own.setdefault(name, []).append(number)
    return found


def _shares_asked(
    buckets: Mapping[str, Mapping[str | None, Sequence[int]]], weights: Sequence[float]
) -> dict[str, float]:
    """Class -> how often a sample is drawn for it; `weights` are those of the sources."""
    shares: dict[str, float] = {}
    for own, weight in zip(buckets.values(), weights, strict=True):
        for name in own:
            if name is not None:
                shares[name] = shares.get(name, 0.0) + float(weight) / len(own)
    return shares


def _to_tensor(image: Pixels) -> Tensor:
    """(H, W, 3) -> (3, H, W), contiguous."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
