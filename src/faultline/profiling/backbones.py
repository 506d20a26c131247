"""Training memory of backbones: tiers by measurement, and how each reaches one effective batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from faultline.artifacts.precision import resolve_precision
from faultline.errors import FaultlineError
from faultline.profiling.peak_memory import curve_of, free_bytes, measure_peaks
from faultline.profiling.subject import BACKBONE, Subject
from faultline.profiling.tables import bytes_text, table
from faultline.progress import Progress
from faultline.training.memory import plan_batch, tier
from faultline.training.tiers import DOCUMENT_TIERS


@dataclass(frozen=True)
class DocumentRow:
    """What the dual-head document (section 3.1) measured: an RTX 4500 Ada, 224 px, fp16, AdamW.

    Attributes:
        gigabytes: Batch size -> peak.
        tier: As given there.
    """

    gigabytes: dict[int, float]
    tier: str


_PEAKS: dict[str, tuple[float, ...]] = {
    "vit_hybrid": (2.57, 2.57, 2.84, 4.34, 7.37),
    "co_at_net": (2.23, 2.26, 3.36, 5.56, 9.99),
    "max_vit": (2.03, 2.21, 3.37, 5.69, 10.35),
    "deit": (1.20, 1.77, 2.01, 3.11, 5.34),
    "swin": (1.71, 1.71, 2.05, 3.21, 5.54),
    "dynamic_conv_net": (1.72, 2.65, 4.49, 8.20, 15.61),
    "conv_next": (0.41, 0.54, 0.77, 1.23, 2.18),
    "resnet_mish": (0.37, 0.49, 0.73, 1.20, 2.16),
    "reg_net": (0.38, 0.56, 0.93, 1.66, 3.08),
    "ghostnet_v2": (0.22, 0.33, 0.55, 0.99, 1.85),
    "mobile_one": (0.06, 0.07, 0.10, 0.13, 0.20),
    "csp_darknet": (0.70, 1.34, 2.62, 5.16, 10.27),
    "inception_v4": (0.20, 0.37, 0.69, 1.33, 2.62),
    "dense_net_hybrid": (0.14, 0.24, 0.44, 0.84, 1.63),
    "efficient_net": (0.07, 0.11, 0.19, 0.36, 0.68),
}

DOCUMENT: dict[str, DocumentRow] = {
    name: DocumentRow(dict(zip((2, 4, 8, 16, 32), peaks, strict=True)), DOCUMENT_TIERS[name].value)
    for name, peaks in _PEAKS.items()
}


def measure_backbones(
    names: Sequence[str],
    backbone_size: str,
    batches: Sequence[int],
    size: Sequence[int],
    device: torch.device,
    precision: str,
    progress: Progress = lambda done, total: None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measure each backbone with a linear layer behind it; one that cannot be is listed and left.

    Args:
        names: Registered backbones.
        backbone_size: `nano` or `full`.
        batches: Batch sizes to measure.
        size: (H, W).
        device: Where.
        precision: `auto`, or the number format.
        progress: Called with (measurements done, all).
        say: Takes a line for each backbone that cannot be measured.

    Returns:
        Plain values: `rows`, one per backbone, and what they were measured on.
    """
    form = resolve_precision(precision, device)
    done, total = 0, len(names) * len(set(batches))

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    free = free_bytes(device)
    rows: list[dict[str, Any]] = []
    for name in names:
        subject = Subject(BACKBONE, name, {"size": backbone_size, "features": False})
        try:
            peaks = measure_peaks(subject, batches, size, device, form, step)
            parameters = subject.parameters()
        except FaultlineError as error:
            say(f"left out {name}: {error}")
            continue
        curve = curve_of(peaks)
        rows.append(
            {
                "name": name,
                "title": name,
                "size": backbone_size,
                "parameters": parameters,
                "memory": [asdict(peak) for peak in peaks],
                "tier": None if curve is None else tier(curve).value,
                "fixed": None if curve is None else curve.line[0],
                "each": None if curve is None else curve.line[1],
                "plan": None if curve is None else asdict(plan_batch(curve, free)),
                "document": _documented(name),
            }
        )
    rows.sort(key=lambda row: -(row["memory"][-1]["bytes"] or float("inf")))
    return {"device": device.type, "precision": form.precision, "picture": list(size),
            "free": free, "rows": rows}  # fmt: skip


def _documented(name: str) -> dict[str, Any] | None:
    """The parameters, peaks and tier that the document gives; None for a backbone not in it."""
    from faultline.models.backbones import documented

    if name not in DOCUMENT:
        return None
    return {"parameters": documented(name).parameters, **asdict(DOCUMENT[name])}


def backbone_lines(found: dict[str, Any]) -> list[str]:
    """A table: what was measured, the tier, the plan, and the document's row beside."""
    batches = sorted({peak["batch"] for row in found["rows"] for peak in row["memory"]})
    cells = []
    for row in found["rows"]:
        peaks = {peak["batch"]: peak["bytes"] for peak in row["memory"]}
        plan, own = row["plan"], row["document"]
        cells.append(
            [
                f"{row['name']} ({row['size']})",
                f"{row['parameters'] / 1e6:.1f} M",
                *(bytes_text(peaks.get(batch)) for batch in batches),
                row["tier"] or "-",
                "-" if plan is None else f"{plan['batch']} x {plan['accumulation']}",
                "-" if own is None else f"{own['parameters'] / 1e6:.1f} M",
                "-" if own is None else f"{own['gigabytes'][8]:.2f} GB",
                "-" if own is None else own["tier"],
            ]
        )
    head = ["backbone", "parameters", *(f"batch {batch}" for batch in batches), "tier",
            "batch x steps", "document:", "batch 8", "tier"]  # fmt: skip
    height, width = found["picture"]
    where = f"{found['device']}, {found['precision']}"
    return [
        f"training memory at {height} x {width} on {where}, {bytes_text(found['free'])} free",
        *table(head, cells),
    ]
