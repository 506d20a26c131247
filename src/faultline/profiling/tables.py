"""Profiles as text for the console."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_SHOWN_LAYERS = 10
_SHOWN_OPERATORS = 6


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with aligned columns: the first to the left, numbers to the right."""
    lines = [list(head), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def bytes_text(value: float | None) -> str:
    """Bytes in MB or GB (10^6 and 10^9); a dash for None."""
    if value is None:
        return "-"
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.1f} MB"


def profile_lines(found: dict[str, Any]) -> list[str]:
    """The lines of one profile."""
    device, unit = found["device"], found["unit"]
    return [
        f"{found['name']} {found['measured']} on {device['name']} "
        f"({device['threads']} threads, {found['precision']['precision']})",
        f"parameters {found['parameters']:,}   operations {found['flops'] / 1e9:.2f} GFLOP a "
        f"{unit}   kept for backward {bytes_text(found['activations'])} a {unit}",
        _cards_line(found["cards"]),
        "",
        *_memory_lines(found),
        "",
        *_speed_lines(found["throughput"], unit),
        "",
        *_layer_lines(found["layers"]),
        "",
        *_operator_lines(found["operators"]),
    ]


def _cards_line(rows: Sequence[dict[str, Any]]) -> str:
    """Batch and accumulation on cards of some sizes."""
    parts = []
    for row in rows:
        made_of = f"{row['batch']} x {row['accumulation']}"
        parts.append(f"{row['gigabytes']} GB {made_of if row['fits'] else 'too small'}")
    return f"effective batch by card, computed: {', '.join(parts)}"


def _memory_lines(found: dict[str, Any]) -> list[str]:
    on_gpu = found["device"]["type"] == "cuda"
    whole = "reserved" if on_gpu else "peak of the process"
    rows = [
        [str(peak["batch"]), bytes_text(peak["bytes"]) if peak["bytes"] else peak["note"],
         bytes_text(peak["process"])]
        for peak in found["memory"]
    ]  # fmt: skip
    lines = table(("batch", "training memory", whole), rows)
    if found["plan"] is None:
        return lines
    plan = found["plan"]
    fits = "" if plan["fits"] else " with gradient checkpointing"
    effective = plan["batch"] * plan["accumulation"]
    free = bytes_text(found["free"])
    made_of = f"{plan['batch']} x {plan['accumulation']}{fits}"
    return [
        *lines,
        f"tier {found['tier']}; an effective batch of {effective} in {free} free: {made_of}",
    ]


def _speed_lines(rows: Sequence[dict[str, Any]], unit: str) -> list[str]:
    cells = [
        [f"{row['precision']}, batch {row['batch']}", f"{row['forward']:.1f}",
         f"{100 * row['forward_share']:.0f} %", f"{row['training']:.1f}",
         f"{100 * row['training_share']:.0f} %", f"{row['peak'] / 1e9:.0f} GFLOP/s"]
        for row in rows
    ]  # fmt: skip
    head = ("forward", "of peak", "training", "of peak", "convolution peak")
    return table((f"{unit}s per second", *head), cells)


def _layer_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    named = [row for row in rows if row["kind"]]
    cells = [
        [f"{row['name']} ({row['kind']})" if row["kind"] else row["name"],
         f"{row['milliseconds']:.2f}", f"{100 * row['share']:.1f} %",
         f"{row['flops'] / 1e9:.2f}" if row["kind"] else ""]
        for row in (*named[:_SHOWN_LAYERS], rows[-1])
    ]  # fmt: skip
    return table(("forward, by layer", "ms", "share", "GFLOP"), cells)


def _operator_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    cells = [[row["name"], str(row["calls"]), f"{row['milliseconds']:.2f}",
              f"{100 * row['share']:.1f} %"] for row in rows[:_SHOWN_OPERATORS]]  # fmt: skip
    return table(("a training step, by operator", "calls", "ms", "share"), cells)
