"""A dual-head bundle seen as two: one that outlines and one that names, of the same weights.

Everything that answers, scores or draws for one head is what serves a network of one head: the
predictors of masks and of classes. Each runs the shared backbone and its own head.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.contents import Threshold
from faultline.errors import BundleError
from faultline.predict.classify import infer_classes
from faultline.predict.command import infer_masks
from faultline.predict.options import InferOptions, InferSummary
from faultline.predict.request import InferRequest
from faultline.tasks import CLASSIFICATION, DUAL_HEAD, SEGMENTATION
from faultline.types import LabelKind, LabelSpace

CLASSES = "classes"
"""Entry of a bundle's `extra`: the label space of whole pictures."""


def masks_of(bundle: Bundle) -> Bundle:
    """The bundle as one of segmentation.

    Raises:
        BundleError: It is of another task.
    """
    _check(bundle)
    threshold = replace(bundle.threshold, classes=())
    return _as(bundle, SEGMENTATION, "masks", bundle.label_space, threshold)


def segmenter_of(bundle: Bundle) -> Bundle:
    """What outlines: the masks of a bundle with two heads, and any other bundle as it is."""
    return masks_of(bundle) if bundle.task == DUAL_HEAD else bundle


def classes_of(bundle: Bundle) -> Bundle:
    """The bundle as one of classification.

    Raises:
        BundleError: It is of another task.
    """
    _check(bundle)
    space = LabelSpace.from_dict(bundle.extra[CLASSES])
    if space.kind is LabelKind.MULTICLASS:
        threshold = Threshold(status="most_probable", source=bundle.threshold.source)
    else:
        own = bundle.threshold.classes
        # What classes share is told by one of them; without any, a person chose, or nobody.
        by_hand = bundle.threshold.status == "by_hand"
        value = bundle.threshold.value if by_hand else 0.5
        shared = next((one.value for one in own if one.status == "shared"), value)
        status = "tuned" if own else bundle.threshold.status if by_hand else "default"
        threshold = Threshold(shared, status, bundle.threshold.source, classes=own)
    return _as(bundle, CLASSIFICATION, "classes", space, threshold)


def infer_both(request: InferRequest) -> InferSummary:
    """Masks, overlays and measures as for segmentation, and classes as for classification.

    A threshold that is asked for is that of masks. The summary is that of masks, its time that of
    both.

    Raises:
        DataError: No picture is found.
        OutputError: The folder cannot be written.
    """
    asked = request.options.format
    of_masks = replace(request.options, format=asked if asked == "severstal" else "")
    of_classes = replace(request.options, format=asked if asked in ("csv", "json") else "")
    masks = infer_masks(replace(request, bundle=masks_of(request.bundle), options=of_masks))
    classes = _infer_classes(request, of_classes)
    request.say(f"classes {classes.table}")
    masks.seconds += classes.seconds
    return masks


def _infer_classes(request: InferRequest, options: InferOptions) -> InferSummary:
    bundle = classes_of(request.bundle)
    return infer_classes(replace(request, bundle=bundle, options=options, threshold=None))


def _as(bundle: Bundle, task: str, answer: str, space: LabelSpace, threshold: Threshold) -> Bundle:
    settings: dict[str, Any] = {**bundle.model_settings, "answer": answer}
    # `replace` would hand on a fingerprint that was computed before: it is no field.
    return replace(
        bundle, task=task, model_settings=settings, label_space=space, threshold=threshold, extra={}
    )


def _check(bundle: Bundle) -> None:
    if bundle.task != DUAL_HEAD or CLASSES not in bundle.extra:
        raise BundleError(
            f"is of the task {bundle.task!r}, not of two heads",
            where=bundle.source,
            remedy="give weights that were trained with model=dual_head",
        )
