"""Classes that exclude each other, side by side: for the report and for the console."""

from __future__ import annotations

from typing import Any

from faultline.evaluation.words import interval, number, percent

_COLUMNS = {"iou": "IoU", "dice": "Dice", "precision": "Precision", "recall": "Recall"}
_RULE = (
    "A class that is neither labelled nor marked anywhere has no IoU and is left out of the mean; "
    "one that is marked but not labelled, or labelled but never marked, counts 0. The mean leaves "
    "the background out."
)


def class_tables(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the template shows of `MulticlassScorer.results`; None where there is nothing."""
    if found is None:
        return None
    return {
        "sentence": _sentence(found),
        "columns": [*_COLUMNS.values(), "Labelled"],
        "rows": [_row(name, scores) for name, scores in found["classes"].items()],
        "names": found["names"],
        "confusion": [
            {"name": name, "cells": [_share(count, sum(row)) for count in row]}
            for name, row in zip(found["names"], found["confusion"], strict=True)
        ],
        "rule": _RULE,
    }


def class_lines(found: dict[str, Any]) -> list[str]:
    """Mean scores with intervals, then one line per class."""
    means = (("mean IoU", "iou"), ("mean Dice", "dice"), ("pixel accuracy", "pixel_accuracy"))
    first = "  ".join(f"{name} {_with_interval(found[key])}" for name, key in means)
    width = max(map(len, found["names"]))
    return [
        first,
        *(
            f"  {name:<{width}}  "
            + "  ".join(f"{_COLUMNS[key]} {number(scores[key]['value'])}" for key in _COLUMNS)
            for name, scores in found["classes"].items()
        ),
    ]


def _sentence(found: dict[str, Any]) -> str:
    iou, accuracy = _with_interval(found["iou"]), _with_interval(found["pixel_accuracy"])
    return f"Mean IoU over the classes {iou}; pixel accuracy {accuracy}."


def _with_interval(score: dict[str, float]) -> str:
    spread = interval(score)
    return number(score["value"]) + (f" ({spread})" if spread else "")


def _row(name: str, scores: dict[str, Any]) -> dict[str, Any]:
    cells = [{"value": number(scores[key]["value"]), "interval": interval(scores[key])}
             for key in _COLUMNS]  # fmt: skip
    return {
        "name": name,
        "cells": [*cells, {"value": percent(scores["truth_share"], 2), "interval": ""}],
    }


def _share(count: int, total: int) -> str:
    return percent(count / total, 1) if total else "–"
