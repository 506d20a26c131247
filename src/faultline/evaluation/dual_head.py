"""What `faultline evaluate` does with weights of two heads: masks and classes, each as alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from faultline.artifacts.unseen import check_unseen
from faultline.config.schema import Config
from faultline.data.dual_prepare import find_masks, of_classes
from faultline.errors import DataError
from faultline.evaluation.classification.command import score_classes
from faultline.evaluation.command import EvaluateRequest, Outcome, TestSet, find_test_set
from faultline.evaluation.segmentation import score_masks, shown
from faultline.files import check_writable, write_json
from faultline.predict.dual_head import classes_of, masks_of
from faultline.tasks import CLASSIFICATION

METRICS_NAME = "metrics_test.json"
MASKS, CLASSES = "masks", "classes"


def evaluate_both(request: EvaluateRequest) -> Outcome:
    """Score both heads on the same held-out pictures; the reports lie in `masks/` and `classes/`.

    A threshold that is asked for is that of masks. Pictures without a mask are scored by their
    classes alone.

    Raises:
        LeakageError: The weights have seen some of the pictures.
        DataError: There are no pictures to score on.
    """
    test = _class_test_set(request)
    folder = request.folder(test)
    check_unseen(request.bundle, test.items, by_group=test.same_data_set)
    check_writable(folder)
    named = score_classes(
        replace(request, bundle=classes_of(request.bundle), threshold=None), test, folder / CLASSES
    )
    outlined, why = None, ""
    try:
        of_masks = _mask_test_set(request, test)
    except DataError as error:
        why = str(error)
    else:
        own = replace(request, bundle=masks_of(request.bundle))
        outlined = score_masks(own, of_masks, folder / MASKS)
    found = _together(named, outlined, why, request.config.data.masks)
    write_json(folder / METRICS_NAME, found)
    return Outcome(folder, found, tuple(_lines(named, outlined, found)))


def _class_test_set(request: EvaluateRequest) -> TestSet:
    trained = request.trained
    return find_test_set(
        _of_classes(request.config),
        None if trained is None else _of_classes(trained),
        CLASSIFICATION,
    )


def _of_classes(config: Config) -> Config:
    return replace(config, data=of_classes(config.data))


def _mask_test_set(request: EvaluateRequest, test: TestSet) -> TestSet:
    """The same pictures with their masks; those without, or of tier C, are left out.

    Raises:
        DataError: None has one.
    """
    config = request.config
    space, masks, problems, _ = find_masks(config.data, test.items, config.phases.confidence)
    found = [masks[str(item.path)] for item in test.items if str(item.path) in masks]
    used = [label.item for label in found if label.tier != "C"]
    if not used:
        raise DataError(f"none of the {len(test.items)} pictures has a mask", where=test.root)
    return replace(test, items=used, label_space=space, problems=problems, parts=None)


def _together(
    named: Outcome, outlined: Outcome | None, why: str, pseudo: str | None
) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        "leakage": named.metrics["leakage"],
        CLASSES: named.metrics,
        MASKS: None if outlined is None else outlined.metrics,
        "mean_iou": None if outlined is None else mean_iou(outlined.metrics),
    }
    if why:
        metrics["masks_left_out"] = why
    if pseudo is not None:
        metrics["masks_are"] = f"pseudo-labels of {pseudo}: agreement with them, not with the truth"
    return metrics


def mean_iou(metrics: dict[str, Any]) -> float:
    """IoU averaged over the channels that any picture shows; NaN for none."""
    values = [one["pooled"]["iou"]["value"] for one in metrics["classes"].values()
              if one["pooled"]["recall"]["value"] == one["pooled"]["recall"]["value"]]  # fmt: skip
    return sum(values) / len(values) if values else float("nan")


def _lines(named: Outcome, outlined: Outcome | None, found: dict[str, Any]) -> list[str]:
    lines = [f"classes: {named.lines[0].strip()}", *named.lines[1:]]
    if outlined is None:
        return [*lines, f"masks are not scored: {found['masks_left_out']}"]
    if "masks_are" in found:
        lines.append(f"masks are compared with {found['masks_are']}")
    per_channel = [
        f"  {name}  IoU {shown(one['pooled']['iou']['value'])}  "
        f"Dice {shown(one['pooled']['dice']['value'])}"
        for name, one in outlined.metrics["classes"].items()
    ]
    return [*lines, f"masks: mean IoU {shown(found['mean_iou'])}", *per_channel, *outlined.lines]
