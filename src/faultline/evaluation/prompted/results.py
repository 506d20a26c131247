"""The numbers of an evaluation with prompts as one plain dictionary."""

from __future__ import annotations

import csv
import io
from typing import Any

from faultline.artifacts import provenance
from faultline.artifacts.bundle import Bundle
from faultline.data.prompt_items import fingerprint
from faultline.evaluation.prompted.footprint import Footprint
from faultline.evaluation.prompted.items import PromptTestSet
from faultline.evaluation.prompted.scores import HELD_OUT, PromptScores
from faultline.metrics import diagnose
from faultline.metrics.prompted import FALSE_SHARE, mean_iou
from faultline.predict.prompted import PromptPredictor

SCHEMA = 1
_COLUMNS = (
    "id", "source", "prompt", "class", "kind", "shown", "painted_share", "threshold", "iou",
    "dice", "precision", "recall", "false_answer",
)  # fmt: skip


def summarise_prompts(
    bundle: Bundle,
    predictor: PromptPredictor,
    test: PromptTestSet,
    scores: PromptScores,
    footprint: Footprint,
) -> dict[str, Any]:
    """Everything that `metrics_test.json` holds; NaN stands for "not defined"."""
    own = {name: predictor.threshold.of(name) for name in scores.classes}
    shared = dict.fromkeys(scores.classes, predictor.threshold.value)
    half = dict.fromkeys(scores.classes, 0.5)
    return {
        "schema": SCHEMA,
        "task": "prompted",
        "split": test.split,
        "images": len(scores.items),
        "mean_iou": scores.mean_iou,
        "mean_iou_shared_threshold": mean_iou(scores.classes, shared),
        "mean_iou_at_0.5": mean_iou(scores.classes, half),
        "mean_dice": _mean([scores.main(name).counts.dice for name in scores.shown]),
        "false_answer_rate": scores.false_rate,
        "false_share": FALSE_SHARE,
        "prompts": {prompt: score.to_dict() for prompt, score in scores.prompts.items()},
        "classes": {name: _class_facts(scores, name, own[name]) for name in scores.classes},
        "sources": _sources(scores),
        "confusion": scores.confusion(),
        "paraphrases": paraphrases(scores),
        "threshold": predictor.threshold.to_dict(),
        "clean_up": predictor.clean_up.to_dict(),
        "distance": bundle.extra["prompts"].get("distance", {}),
        "footprint": footprint.to_dict(),
        "data": {
            "name": test.name,
            "fingerprint": fingerprint(list(scores.items.values())),
            "problems": [
                {"file": problem.file, "reason": problem.reason}
                for problem in (*test.problems, *scores.problems)
            ],
        },
        "bundle": {
            "file": None if bundle.source is None else str(bundle.source),
            "fingerprint": bundle.fingerprint,
            "model": bundle.model_name,
            "settings": {k: v for k, v in bundle.model_settings.items() if k != "parts"},
            "provenance": bundle.provenance,
            "metrics": bundle.metrics,
        },
        "predictor": predictor.predictor.describe(),
        "leakage": {
            "checked": bool(bundle.seen),
            "by_group": test.same_data_set and bool(bundle.groups),
            "seen_pictures": {part: len(hashes) for part, hashes in bundle.seen.items()},
            "overlap": 0 if bundle.seen else None,
        },
        "provenance": provenance.collect(
            device=predictor.predictor.device,
            precision=predictor.predictor.precision.precision,
        ),
    }


def paraphrases(scores: PromptScores) -> list[dict[str, Any]]:
    """Held-out wordings beside the trained one: IoU of both, and the difference."""
    rows = []
    for score in scores.prompts.values():
        if score.kind == HELD_OUT and score.each:
            trained = scores.main(score.name).counts.iou
            rows.append(
                {
                    "prompt": score.prompt,
                    "class": score.name,
                    "iou": score.counts.iou,
                    "trained_iou": trained,
                    "difference": score.counts.iou - trained,
                    "known": score.known,
                }
            )
    return rows


def answers_csv(scores: PromptScores) -> str:
    """One row per answer; cells that do not apply are empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in scores.rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return stream.getvalue()


def _class_facts(scores: PromptScores, name: str, threshold: float) -> dict[str, Any]:
    counts = scores.classes[name]
    has = bool(counts.present.positives)
    inside = min(max(threshold, 1e-3), 1 - 1e-3)
    verdict = diagnose(counts.present, threshold=inside).verdicts[0] if has else None
    return {
        "threshold": threshold,
        "iou_at_0.5": counts.counts_at(0.5).iou if has else float("nan"),
        "best_threshold": counts.choose().value if has else float("nan"),
        "label_share": counts.present.positives / max(1, counts.present.pixels),
        "average_precision": counts.present.average_precision() if has else float("nan"),
        "verdict": None if verdict is None else {"code": verdict.code, "text": verdict.sentence,
                                                 "advice": verdict.advice},
        **{k: v for k, v in scores.main(name).to_dict().items() if k != "class"},
    }  # fmt: skip


def _sources(scores: PromptScores) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for (source, name), counts in scores.sources.items():
        found.setdefault(source, {})[name] = counts.iou
    return found


def _mean(values: list[float]) -> float:
    defined = [value for value in values if value == value]
    return sum(defined) / len(defined) if defined else float("nan")


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return value
