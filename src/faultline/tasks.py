"""What can be learnt here, and where each verb of a task is done: train, infer, evaluate, serve.

A bundle carries the name of its task; every command looks here for what to call. Places are
text ("module:name") and are imported when they are used, so that this table costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from faultline.registry import Registry

SEGMENTATION = "segmentation"
CLASSIFICATION = "classification"
PROMPTED = "prompted"
DUAL_HEAD = "dual_head"
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Task:
    """Places of a task's parts, as "module:name".

    Attributes:
        train: A `faultline.training.kinds.TrainingKind`.
        infer: A function like `faultline.predict.command.infer_masks`.
        evaluate: A function like `faultline.evaluation.segmentation.evaluate_masks`.
        serve: A function like `faultline.serving.heads.mask_head`.
    """

    train: str
    infer: str
    evaluate: str
    serve: str

    def load(self, verb: str) -> Any:
        """What does `verb`: "train", "infer", "evaluate" or "serve"."""
        module, _, name = str(getattr(self, verb)).partition(":")
        return getattr(import_module(module), name)


TASKS: Registry[Task] = Registry("task")
"""Tasks by the name that configurations and bundles use."""


@TASKS.register(SEGMENTATION)
def _segmentation() -> Task:
    """Outline defects, pixel by pixel."""
    return Task(
        train="faultline.training.segmentation:SegmentationKind",
        infer="faultline.predict.command:infer_masks",
        evaluate="faultline.evaluation.segmentation:evaluate_masks",
        serve="faultline.serving.heads:mask_head",
    )


@TASKS.register(CLASSIFICATION)
def _classification() -> Task:
    """Name the defects of a picture: one class, or several at once."""
    return Task(
        train="faultline.training.classification:ClassificationKind",
        infer="faultline.predict.classify:infer_classes",
        evaluate="faultline.evaluation.classification.command:evaluate_classes",
        serve="faultline.serving.heads:class_head",
    )


@TASKS.register(PROMPTED)
def _prompted() -> Task:
    """Outline what a prompt asks for."""
    return Task(
        train="faultline.training.prompted:PromptedKind",
        infer="faultline.predict.prompt_command:infer_prompts",
        evaluate="faultline.evaluation.prompted.command:evaluate_prompts",
        serve="faultline.serving.heads:prompt_head",
    )


@TASKS.register(DUAL_HEAD)
def _dual_head() -> Task:
    """Outline defects and name them, with one network."""
    return Task(
        train="faultline.training.dual_head:DualHeadKind",
        infer="faultline.predict.dual_head:infer_both",
        evaluate="faultline.evaluation.dual_head:evaluate_both",
        serve="faultline.serving.heads:both_heads",
    )


def task_verb(name: str, verb: str) -> Any:
    """What does `verb` for the task `name`.

    Raises:
        UnknownNameError: There is no such task.
    """
    return TASKS.build(name).load(verb)
