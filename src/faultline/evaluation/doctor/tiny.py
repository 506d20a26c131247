"""Each kind of part, run once on the smallest input that it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision import tv_tensors

from faultline.data.importers import import_dataset
from faultline.data.manifest import Item
from faultline.data.sampling import create_draw
from faultline.data.severstal import severstal_rows, write_severstal
from faultline.data.splits import check_disjoint, grouped_split
from faultline.data.stratified import stratified_folds, stratified_split
from faultline.data.synthetic import write_crack_dataset
from faultline.data.transforms import build_augmentation
from faultline.errors import ConfigError, DataError, TrainingError
from faultline.files import write_json
from faultline.losses.loss import SegmentationLoss
from faultline.models import create_model
from faultline.models.backbones import create_backbone
from faultline.models.clipseg_base import is_at_hand
from faultline.models.prompted import PromptedNetwork
from faultline.registry import Entry
from faultline.tasks import TASKS
from faultline.types import LabelKind, LabelSpace

_SIDE = 64
_CLASSES = {LabelKind.BINARY: 1, LabelKind.MULTILABEL: 3, LabelKind.MULTICLASS: 3}
_SPACE = LabelSpace(LabelKind.MULTILABEL, ("common", "rare"))


def run_task(name: str) -> None:
    """Find what the task is done with."""
    for verb in ("train", "infer", "evaluate"):
        TASKS.build(name).load(verb)


def run_model(entry: Entry[nn.Module]) -> str:
    """One forward and backward pass of two pictures.

    Raises:
        TrainingError: An output is not finite, or no gradient comes back.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model(entry.name)
        if isinstance(model, PromptedNetwork):
            model.ask(["crack"])
        output = model(torch.randn(2, 3, _SIDE, _SIDE))
    parts = _tensors(output)
    sum(part.float().pow(2).mean() for part in parts).backward()  # type: ignore[union-attr]
    if not all(torch.isfinite(part).all() for part in parts):
        raise TrainingError("its output is not finite")
    if all(p.grad is None for p in model.parameters() if p.requires_grad):
        raise TrainingError("no gradient reaches its weights")
    return " and ".join(str(tuple(part.shape)) for part in parts)


def run_fetched_model(entry: Entry[nn.Module]) -> str:
    """The same, if what the model rests on is on this machine: nothing is fetched to try it.

    Raises:
        ConfigError: It is not.
        TrainingError: See `run_model`.
    """
    weights = entry.describe()["settings"].get("weights")
    if weights and not is_at_hand(str(weights)):
        raise ConfigError(f"{weights} has not been fetched to this machine, and was not tried")
    return run_model(entry)


def run_backbone(name: str) -> str:
    """Feature maps of one picture, in the nano size."""
    backbone = create_backbone(name).eval()
    with torch.inference_mode():
        maps = backbone(torch.zeros(1, 3, _SIDE, _SIDE))
    return f"{len(maps)} maps, {maps[-1].shape[1]} channels in the last"


def run_loss(entry: Entry[SegmentationLoss]) -> str:
    """Value and gradient for every kind of labels that it takes.

    Raises:
        TrainingError: Value or gradient is not finite.
    """
    kinds = getattr(entry.builder, "kinds", tuple(LabelKind))
    for kind in kinds:
        classes = _CLASSES[LabelKind(kind)]
        logits = torch.linspace(-2, 2, 2 * classes * 256).view(2, classes, 16, 16).clone()
        logits.requires_grad_()
        value = entry.builder(kind=kind)(logits, _target(LabelKind(kind), classes))
        value.backward()
        gradient = logits.grad
        if gradient is None or not (torch.isfinite(value) and torch.isfinite(gradient).all()):
            raise TrainingError(f"kind {kind}: value or gradient is not finite")
    return ", ".join(str(LabelKind(kind).value) for kind in kinds)


def _target(kind: LabelKind, classes: int) -> Tensor:
    target = torch.zeros(2, classes, 16, 16, dtype=torch.int64)
    target[:, -1, 3:6, 2:9] = 1
    if kind is LabelKind.MULTICLASS:
        return target[:, -1] * (classes - 1)
    return target[:, 0] if kind is LabelKind.BINARY else target


def run_augmentation(name: str) -> None:
    """One picture with its mask.

    Raises:
        TrainingError: Types or sizes are not those of a picture and its mask.
    """
    image = tv_tensors.Image(torch.randint(0, 255, (3, _SIDE, _SIDE), dtype=torch.uint8))
    mask = tv_tensors.Mask(torch.zeros(_SIDE, _SIDE, dtype=torch.uint8))
    with torch.random.fork_rng(devices=[]):
        changed, moved = build_augmentation({name: {}})(image, mask)
    if changed.dtype != torch.uint8 or changed.shape[-2:] != moved.shape[-2:]:
        raise TrainingError(f"gave {changed.dtype} {tuple(changed.shape)}, {tuple(moved.shape)}")


def run_sampler(name: str) -> None:
    """The numbers of one epoch.

    Raises:
        DataError: They are not as many as there are items.
    """
    targets = _targets(40)
    if len(create_draw(name, targets)(torch.Generator().manual_seed(0))) != len(targets):
        raise DataError("it does not draw an epoch")


def run_split() -> None:
    """A split by group."""
    first, second = grouped_split(_items(40), 0.25, 0)
    check_disjoint(train=first, valid=second)


def run_stratified_split() -> None:
    """A stratified split."""
    shares = {"train": 0.7, "valid": 0.15, "test": 0.15}
    split = stratified_split(_items(40), _targets(40), shares, 0, _SPACE)
    check_disjoint(**split.parts)


def run_stratified_folds() -> None:
    """Stratified folds."""
    for train, held_out in stratified_folds(_items(40), _targets(40), 4, 0):
        check_disjoint(train=train, held_out=held_out)


def run_importer(name: str, folder: Path | None) -> str:
    """A toy data set in the form that the importer reads."""
    if folder is None:
        return "found; no toy data set in its form"
    manifest = import_dataset(folder, format=name, positive="*")
    return f"{len(manifest.items)} pictures"


def tiny_data_sets(folder: Path) -> dict[str, Path]:
    """Toy data sets in `folder`, by the name of the importer that reads them."""
    coco, tiles, steel = folder / "coco", folder / "tiles", folder / "steel"
    write_crack_dataset(coco, counts={"train": 2}, seed=0, size=(64, 64))
    rows = []
    for number in range(4):
        picture = np.full((32, 32, 3), 40 * number + 20, np.uint8)
        mask = np.zeros((32, 32), np.uint8)
        mask[4:12, 4 + number : 12 + number] = 1
        classes = tiles / f"class_{number % 2}"
        _write(classes / f"{number}.png", picture)
        _write(folder / "masked" / "images" / f"{number}.png", picture)
        _write(folder / "masked" / "masks" / f"{number}.png", mask * np.uint8(255))
        outlined = folder / "outlined" / f"class_{number % 2}"
        _write(outlined / f"{number}.jpg", picture)
        _write(outlined / f"{number}.png", mask * np.uint8(255))
        _write(folder / "told" / "images" / f"{number}.png", picture)
        write_json(folder / "told" / "annotations" / f"{number}.json", {"labels": ["scratch"]})
        _write(steel / "train_images" / f"{number}.png", picture)
        rows += severstal_rows(f"{number}.png", mask, LabelSpace(LabelKind.BINARY, ("scratch",)))
    write_severstal(steel / "train.csv", rows)
    return {
        "coco": coco,
        "class_folders": tiles,
        "pictures": tiles,
        "severstal": steel,
        "masks": folder / "masked",
        "class_masks": folder / "outlined",
        "json_per_picture": folder / "told",
    }


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), picture):
        raise DataError("cannot be written", where=path)


def _items(count: int) -> list[Item]:
    return [
        Item(f"{number}.png", Path(f"{number}.png"), None, f"group {number // 2}",
             f"{number:064x}", 8, 8, targets=(0,) if number % 8 else (0, 1))
        for number in range(count)
    ]  # fmt: skip


def _targets(count: int) -> NDArray[np.uint8]:
    rows = np.ones((count, 2), np.uint8)
    rows[:, 1] = np.arange(count) % 8 == 0
    return rows


def _tensors(output: Any) -> list[Tensor]:
    """Every tensor that a model gave."""
    if isinstance(output, Tensor):
        return [output]
    values = output.values() if isinstance(output, dict) else output
    return [tensor for value in values for tensor in _tensors(value)]
