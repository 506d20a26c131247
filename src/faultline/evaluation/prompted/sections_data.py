"""Report: the data sets and the training."""

from __future__ import annotations

from typing import Any

from faultline.artifacts.curves import plot_curves, read_history
from faultline.artifacts.run import RunFolder
from faultline.errors import FaultlineError
from faultline.evaluation.prompted.document import Block, Picture, Section, Table
from faultline.evaluation.prompted.facts import NOT_KNOWN, Facts, number, percent, span

_ROWS = 12


def data_sections(facts: Facts) -> list[Section]:
    """What was trained on and what was scored."""
    blocks: list[Block] = []
    parts = facts.test.parts
    if parts is not None:
        rows = []
        for source in parts.weights:
            counts = [sum(i.source == source for i in getattr(parts, role))
                      for role in ("train", "valid", "test")]  # fmt: skip
            rows.append([source, *map(str, counts)])
        blocks.append(Table(["Source", "Train", "Validation", "Test"], rows))
        blocks.append(Table(["Class", "Train", "Validation", "Test"], _class_rows(parts)))
        blocks += list(parts.notes)
    else:
        seen = facts.metrics["leakage"]["seen_pictures"]
        blocks.append(
            f"Scored on other data than the training's own: {facts.test.name}, "
            f"{facts.metrics['images']} pictures. The weights record "
            + (", ".join(f"{n} pictures for {part}" for part, n in seen.items()) or "no pictures")
            + "."
        )
    leakage = facts.metrics["leakage"]
    blocks.append(
        "No scored picture was used in training or for choosing thresholds: contents"
        + (" and groups" if leakage["by_group"] else "")
        + " were compared."
        if leakage["checked"]
        else "The weights do not record what they have seen, so this could not be checked."
    )
    problems = facts.metrics["data"]["problems"]
    if problems:
        left_out = [[one["file"], one["reason"]] for one in problems[:_ROWS]]
        blocks.append(Table(["File", "Left out because"], left_out))
    return [Section("Datasets", blocks)]


def training_sections(facts: Facts) -> list[Section]:
    """How the training went."""
    run = RunFolder(facts.request.home)
    history = read_history(run.metrics_csv) if run.metrics_csv.is_file() else None
    curves = history.curves if history is not None else {}
    config = facts.request.trained
    training = facts.training
    rows = [
        ["Pictures trained on", str(training.get("train", "not recorded"))],
        ["Pictures for epoch and thresholds", str(training.get("validation", "not recorded"))],
        ["Time", span(training.get("seconds"))],
    ]
    if config is not None:
        rows += [
            ["Optimizer", f"{config.optimizer.name}, learning rate {config.optimizer.lr:g}, "
             f"weight decay {config.optimizer.weight_decay:g}"],
            ["Scheduler", config.scheduler.name],
            ["Batch", f"{config.data.batch_size} pictures with {config.prompts.per_picture} "
             "prompts each"],
            ["Picture size", f"longest side {config.data.resize or 'as shipped'}, "
             + (f"crops of {config.data.crop}" if config.data.crop else "whole pictures")],
            ["Gradient clipping", f"{config.trainer.gradient_clip:g}"],
            ["Early stopping", f"after {config.trainer.early_stopping_patience} epochs without "
             "a better score" if config.trainer.early_stopping_patience else "off"],
            ["Questions about something absent", percent(config.prompts.absent_share, 0)],
            ["Weight of the loss of false answers", f"{config.prompts.absence_weight:g}"],
        ]  # fmt: skip
    blocks: list[Block] = [Table(["Setting", "Value"], rows)]
    blocks += _epochs(curves)
    blocks += _curves(run, facts)
    return [Section("Training process", blocks)]


def _epochs(curves: dict[str, list[tuple[float, float]]]) -> list[Block]:
    """A table of some epochs, the first and the last among them."""
    names = {
        "train/loss": "Training loss", "val/loss": "Validation loss", "val/iou": "mIoU",
        "val/iou_at_0.5": "mIoU at 0.5", "val/dice": "Dice", "val/false_answers": "False answers",
    }  # fmt: skip
    known = {key: dict(curves[key]) for key in names if curves.get(key)}
    epochs = sorted({epoch for values in known.values() for epoch in values})
    if not epochs:
        return [f"The course of the training is {NOT_KNOWN}."]
    step = max(1, len(epochs) // _ROWS)
    chosen = sorted({*epochs[::step], epochs[-1]})
    rows = [
        [f"{epoch:g}", *(number(values.get(epoch)) for values in known.values())]
        for epoch in chosen
    ]
    return [Table(["Epoch", *(names[key] for key in known)], rows)]


def _curves(run: RunFolder, facts: Facts) -> list[Block]:
    folder = facts.drawn[0].path.parent if facts.drawn else None
    if folder is None or not run.metrics_csv.is_file():
        return []
    try:
        paths = plot_curves(run, folder=folder)
    except FaultlineError:
        return []
    captions = {"loss": "Loss over the epochs", "iou": "IoU on validation over the epochs"}
    return [Picture(path, captions.get(path.stem, path.stem)) for path in paths]


def _class_rows(parts: Any) -> list[list[str]]:
    return [
        [name, *(str(sum(name in item.parts for item in getattr(parts, role)))
                 for role in ("train", "valid", "test"))]
        for name in parts.classes
    ]  # fmt: skip
