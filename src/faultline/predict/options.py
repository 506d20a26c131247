"""What `infer` is asked for, and what it says of itself afterwards."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faultline.errors import ConfigError
from faultline.predict.measure import MIN_SIZE
from faultline.predict.predictor import Predictor

FORMATS: dict[str, tuple[str, ...]] = {
    "segmentation": ("", "severstal"),
    "classification": ("", "csv", "json"),
    "dual_head": ("", "severstal", "csv", "json"),
}
"""Task -> forms of results that `--format` may ask for; "" is the usual one."""


@dataclass(frozen=True, slots=True)
class InferOptions:
    """What `infer` writes, and how.

    Attributes:
        overlays: Write `<stem>_overlay.png`.
        panels: Write `<stem>_panel.png`: picture, probability, mask and overlay side by side.
        skip_existing: Leave out pictures that an earlier call with the same bundle and settings
            has finished; their rows are kept.
        min_size: Components of fewer pixels are neither counted nor measured.
        mm_per_px: Scale of the pictures, for measures in millimetres.
        batch_size: Neighbouring pictures of one size that are predicted together; by default 1
            on a CPU and 8 on a GPU.
        workers: Threads that decode, and as many that draw and write.
        format: A form of results besides the usual one; see `FORMATS`.
        prompts: What is asked; for weights of prompted segmentation only.
        prompt_file: Text file with more prompts, one per line.
        base: Local copy of the pretrained model that the weights rest on; None where it was.
    """

    overlays: bool = True
    panels: bool = False
    skip_existing: bool = False
    min_size: int = MIN_SIZE
    mm_per_px: float | None = None
    batch_size: int | None = None
    workers: int = 2
    format: str = ""
    prompts: tuple[str, ...] = ()
    prompt_file: Path | None = None
    base: Path | None = None

    def __post_init__(self) -> None:
        for name in ("min_size", "workers", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}, must be at least 1")
        if self.mm_per_px is not None and not 0 < self.mm_per_px < math.inf:
            raise ConfigError(f"mm_per_px is {self.mm_per_px}, must be above 0")

    def settings(self, predictor: Predictor) -> dict[str, Any]:
        """All that decides masks and measures, as plain JSON values."""
        return {
            **predictor.describe(),
            "min_size": self.min_size,
            "mm_per_px": self.mm_per_px,
        }


def settings_hash(settings: dict[str, Any]) -> str:
    """Short name (12 hex digits) of settings, by which a row tells what it was made with.

    Device and precision are left out: they move a probability in its last digits only, and a
    call may go on where another machine stopped.
    """
    chosen = {k: v for k, v in settings.items() if k not in ("device", "precision")}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(slots=True)
class InferSummary:
    """What came of a call to `infer`.

    Attributes:
        total: Pictures found.
        table: The CSV file.
        written: Pictures answered now.
        skipped: Pictures answered by an earlier call.
        failed: (file, reason) of pictures that could not be answered.
        seconds: Time for all, start to end.
        decode_ms: Mean time to decode a picture, in its thread.
        predict_ms: Mean time of the model.
        finish_ms: Mean time to measure, draw and write, in its thread.
    """

    total: int
    table: Path
    written: int = 0
    skipped: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    decode_ms: float = 0.0
    predict_ms: float = 0.0
    finish_ms: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "total": self.total,
            "written": self.written,
            "skipped": self.skipped,
            "failed": [{"file": file, "reason": reason} for file, reason in self.failed],
            "seconds": round(self.seconds, 3),
            "decode_ms": round(self.decode_ms, 2),
            "predict_ms": round(self.predict_ms, 2),
            "finish_ms": round(self.finish_ms, 2),
        }
