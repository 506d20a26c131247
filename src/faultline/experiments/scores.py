"""Scores of a run: the one it was selected by, those of its test set, and which way is better."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faultline.errors import ConfigError

METRICS_NAME = "metrics_test.json"
_SECTIONS = ("pooled", "summary", "metrics")
"""Where evaluations keep their scores: of masks, of whole pictures, of transcripts."""

_PRIMARY = {"classification": ("macro_f1", True), "speech": ("cer", False)}
"""For runs that do not say by which score they were selected."""

MAIN = {
    "segmentation": ("iou", "dice", "f1_tolerance", "precision", "recall", "cliou"),
    "classification": ("macro_f1", "micro_f1", "macro_average_precision", "subset_accuracy"),
    "speech": ("cer", "wer", "exact_match"),
}
"""Scores that are shown in pages; tables for programs hold all."""

_LOWER = ("loss", "cer", "wer", "ece", "error", "hausdorff", "brier", "distance", "seconds")


@dataclass(frozen=True, slots=True)
class Metric:
    """A score and which way is better."""

    name: str
    higher_is_better: bool = True


@dataclass(frozen=True)
class HeldOutScores:
    """Scores on a test set.

    Attributes:
        values: Score by name.
        name: Of the test set.
        fingerprint: Hash of its pictures and labels.
        folder: Where the evaluation lies.
        seconds_per_image: Time of the predictor.
    """

    values: dict[str, float]
    name: str
    fingerprint: str | None
    folder: Path
    seconds_per_image: float | None = None


def primary_metric(kind: str, results: Mapping[str, Any]) -> Metric:
    """The score that a run was selected by, as its results say, or as its kind usually does."""
    named = results.get("selection")
    if isinstance(named, Mapping) and named.get("metric"):
        return Metric(str(named["metric"]), bool(named.get("higher_is_better", True)))
    return Metric(*_PRIMARY.get(kind, ("iou", True)))


def is_higher_better(name: str) -> bool:
    """Whether more of the score `name` is better."""
    last = name.rpartition("/")[2]
    return not any(word in last.split("_") for word in _LOWER)


def main_scores(kind: str, names: list[str], primary: str) -> list[str]:
    """Those of `names` that a page shows, the one selected by first."""
    wanted = [primary, *MAIN.get(kind, MAIN["segmentation"])]
    shown = [name for name in dict.fromkeys(wanted) if name in names]
    return shown or names[:5]


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The entries of `values` that are numbers."""
    return {
        key: float(value)
        for key, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
    }


def held_out_scores(run: Path, settings: Mapping[str, Any]) -> HeldOutScores | None:
    """Scores of the run's own test set: the one kept by training, or the one it names.

    Raises:
        ConfigError: The file that holds them is damaged.
    """
    found = [scores for path in _evaluations(run) if (scores := _read(path)) is not None]
    if len(found) > 1 and settings.get("data.test"):
        named = Path(str(settings["data.test"])).expanduser()
        same = [one for one in found if one.name == str(named.resolve())]
        found = same or found
    return found[0] if found else None


def _evaluations(run: Path) -> list[Path]:
    """Files of evaluations; what lies in the run's own folder is of its own test set.

    Earlier versions wrote the scores on `data.test` into a folder of their own, like any other.
    """
    beside = sorted(run.glob(f"evaluation-*/{METRICS_NAME}"))
    return [path for path in (run / METRICS_NAME, *beside, run / "evaluation" / "results.json")
            if path.is_file()]  # fmt: skip


def _read(path: Path) -> HeldOutScores | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path.name} is damaged: {error}") from error
    section = next((document[name] for name in _SECTIONS if document.get(name)), None)
    if not isinstance(section, dict):
        return None
    values = {
        name: value["value"] if isinstance(value, dict) else value
        for name, value in section.items()
        # Whole numbers beside them are counts, not scores.
        if not isinstance(value, int)
    }
    data = document.get("data") or {}
    root = data.get("root")
    return HeldOutScores(
        values=numbers(values),
        name=str(Path(root).expanduser().resolve()) if root else str(data.get("name") or "-"),
        fingerprint=data.get("fingerprint"),
        folder=path.parent,
        seconds_per_image=document.get("seconds_per_image"),
    )
