"""The dual-head network starts from an earlier run, and is held against it (document, 7.1, 13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from faultline.artifacts.bundle import Bundle, load_bundle
from faultline.artifacts.unseen import check_unseen
from faultline.data.dual_prepare import DualPrepared
from faultline.data.images import read_image
from faultline.data.manifest import Item
from faultline.data.targets import image_targets
from faultline.errors import BundleError, ConfigError
from faultline.metrics import ClassificationScorer
from faultline.models import DualHead
from faultline.predict.class_predictor import ClassPredictor
from faultline.predict.dual_head import classes_of
from faultline.tasks import CLASSIFICATION, DUAL_HEAD
from faultline.training.dual_scorer import class_score
from faultline.types import LabelSpace

_SETTING = "init.weights"
_BATCH = 8
_SHOWN = 3


@dataclass(frozen=True)
class Start:
    """Where first weights came from.

    Attributes:
        bundle: The run's.
        line: What was taken, in words.
    """

    bundle: Bundle
    line: str


def start_from(path: str, network: DualHead, prepared: DualPrepared) -> Start:
    """Give `network` the weights of an earlier run.

    Raises:
        BundleError: There are none, or they are of another task.
        ConfigError: They are of another backbone.
        LeakageError: They have learnt from a picture that validates now, or seen one that tests.
    """
    bundle = load_bundle(path)
    if bundle.task not in (CLASSIFICATION, DUAL_HEAD):
        raise BundleError(
            f"is of the task {bundle.task!r}",
            where=path,
            remedy=f"give {_SETTING} a run of classification, or one of model=dual_head",
        )
    _check_seen(bundle, prepared)
    taken = _take_part("backbone", bundle, network.backbone, required=True)
    words = [f"backbone ({taken} tensors)"]
    own, theirs = prepared.label_space, class_space(bundle)
    if (own.kind, own.names) == (theirs.kind, theirs.names):
        words += ["classes"] if _take_part("head", bundle, network.head) else []
    if bundle.task == DUAL_HEAD and bundle.label_space.names == prepared.mask_space.names:
        words += ["masks"] if _take_part("decoder", bundle, network.decoder) else []
    return Start(bundle, f"{', '.join(words)} of {bundle.model_name}, {path}")


def class_space(bundle: Bundle) -> LabelSpace:
    """Classes of whole pictures of a bundle that names them."""
    return classes_of(bundle).label_space if bundle.task == DUAL_HEAD else bundle.label_space


def _check_seen(bundle: Bundle, prepared: DualPrepared) -> None:
    """What weights were fitted on may not validate; what they were chosen on, may, but not test."""
    known = bundle.provenance.get("data_fingerprint")
    same = known in (prepared.class_fingerprint, prepared.fingerprint)
    check_unseen(bundle, prepared.valid, parts=("weights",), by_group=same,
                 what="pictures to validate on")  # fmt: skip
    check_unseen(bundle, prepared.test, by_group=same, what="pictures to test on")


def _take_part(part: str, bundle: Bundle, module: nn.Module, required: bool = False) -> int:
    """Copy the tensors of a part; how many, 0 where they do not fit and need not."""
    prefix = f"{part}."
    given = {name.removeprefix(prefix): value for name, value in bundle.state.items()
             if name.startswith(prefix)}  # fmt: skip
    faults = _misfits(given, module.state_dict())
    if faults or not given:
        if not required:
            return 0
        settings = bundle.model_settings
        raise ConfigError(
            f"its backbone ({bundle.model_name}, backbone {settings.get('backbone', '-')}, size "
            f"{settings.get('size', '-')}) is another one: "
            f"{', '.join(faults[:_SHOWN]) or 'it has none'}",
            where=_SETTING,
            remedy="set model.backbone, model.size and model.cbam to those of that run",
        )
    module.load_state_dict(given, strict=False)
    return len(given)


def _misfits(given: dict[str, Tensor], wanted: dict[str, Tensor]) -> list[str]:
    return [name for name, value in given.items()
            if name not in wanted or wanted[name].shape != value.shape]  # fmt: skip


def baseline(
    start: Start | None,
    items: Sequence[Item],
    space: LabelSpace,
    device: torch.device | str,
    precision: str,
) -> float | None:
    """`class_score` of the run that weights came from, on `items`; None if it names other classes.

    Args:
        start: That run; None for none.
        items: Validation pictures.
        space: Their classes.
        device: Where.
        precision: Number format.
    """
    if start is None:
        return None
    theirs = class_space(start.bundle)
    if (theirs.kind, theirs.names) != (space.kind, space.names):
        return None
    bundle = classes_of(start.bundle) if start.bundle.task == DUAL_HEAD else start.bundle
    predictor = ClassPredictor(bundle, device, precision)
    scorer = ClassificationScorer(space.names, space.kind)
    targets = image_targets(items, space)
    for first in range(0, len(items), _BATCH):
        some = slice(first, first + _BATCH)
        pictures = [predictor.fit(read_image(item.path)) for item in items[some]]
        found = predictor.predict_batch(pictures)
        for one, truth in zip(found, targets[some], strict=True):
            scorer.update(one.probability[None], truth[None])
    return class_score(scorer.scores(predictor.thresholds))
