"""Whether joint training was worth it: the check after phase b (dual-head document, section 13)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.run import RunFolder
from faultline.data.dual_prepare import DualPrepared
from faultline.files import write_json
from faultline.training.dual_scorer import class_score_name
from faultline.training.dual_start import Start, baseline
from faultline.training.fit import Ready
from faultline.training.phases import Gate

LOG_NAME = "rollback_log.json"
_DEVICES = {"cpu": "cpu", "gpu": "cuda"}


def check_rollback(
    start: Start | None, bundle: Bundle, run: RunFolder, ready: Ready
) -> tuple[Gate, Bundle]:
    """Hold the best weights of phase b against where they started; writes `rollback_log.json`.

    Args:
        start: The run that weights came from; None for none.
        bundle: Best weights of the phase.
        run: Where the log goes.
        ready: The training.

    Returns:
        Whether to stop, and the bundle with the decision among its metrics.
    """
    config, prepared = ready.config, ready.prepared
    assert isinstance(prepared, DualPrepared)
    device = _DEVICES.get(config.trainer.accelerator, "auto")
    before = baseline(
        start, prepared.valid, prepared.label_space, device, ready.precision.precision
    )
    scores = bundle.metrics["validation"]
    decision = decide(
        before, scores["class_score"], scores["iou"], config.phases.max_drop,
        config.phases.min_iou,
    )  # fmt: skip
    entry = {
        "phase": "b",
        "score": class_score_name(prepared.label_space),
        "compared_with": None if start is None else str(start.bundle.source),
        **decision,
    }
    write_json(run.path / LOG_NAME, {"decisions": [entry]})
    kept = replace(bundle, metrics={**bundle.metrics, "rollback": entry})
    return Gate(decision["rolled_back"], _line(entry)), kept


def decide(
    before: float | None, after: float, iou: float, max_drop: float, min_iou: float
) -> dict[str, Any]:
    """Whether to roll back, and why.

    Args:
        before: Score of classes of the weights at the start; None where there are none to compare.
        after: That of the weights now.
        iou: Mean IoU of the masks now.
        max_drop: How much worse classes may be.
        min_iou: Least mean IoU.
    """
    reasons = []
    # A difference of exactly the tolerance is within it, whatever its last binary digit.
    if before is not None and not before - after <= max_drop + 1e-9:
        reasons.append(f"classes fell from {before:.4f} to {after:.4f}, more than {max_drop:g}")
    if not iou >= min_iou:
        reasons.append(f"mean IoU {iou:.4f} is below {min_iou:g}")
    return {
        "before": before, "after": after, "iou": iou, "max_drop": max_drop, "min_iou": min_iou,
        "rolled_back": bool(reasons), "reasons": reasons,
    }  # fmt: skip


def _line(entry: dict[str, Any]) -> str:
    score, after, before = entry["score"], entry["after"], entry["before"]
    compared = "nothing to compare it with" if before is None else f"{before:.4f} before"
    found = f"{score} {after:.4f} ({compared}), mean IoU {entry['iou']:.4f}"
    if entry["rolled_back"]:
        why = "; ".join(entry["reasons"])
        return f"rollback after phase b, phase c is not run: {why} ({found})"
    return f"no rollback after phase b: {found}"
