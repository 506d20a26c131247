"""What an answer costs: floating-point operations of a trained network, from its run alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from faultline.artifacts.run import RunFolder
from faultline.errors import ConfigError, FaultlineError
from faultline.experiments.runs import Run
from faultline.models import MODELS, PromptedNetwork, create_model
from faultline.models.clipseg_base import DEFAULT_WEIGHTS, is_at_hand
from faultline.profiling.flops import count_flops
from faultline.tasks import CLASSIFICATION, PROMPTED, SEGMENTATION

_PROMPT = "crack"
_SPEECH = "speech"
_TASKS = (SEGMENTATION, CLASSIFICATION, PROMPTED, _SPEECH)
"""Tasks whose operations can be counted; plugins may have others."""


@dataclass(frozen=True, slots=True)
class _Network:
    """What the head of a bundle says of its network.

    Attributes:
        task: What it was trained for.
        name: In its registry.
        settings: Of its builder.
        shape: (1, C, H, W) of a picture; empty for a recogniser.
        hop_ms: From window to window of a recogniser; 0 for others.
    """

    task: str
    name: str
    settings: dict[str, Any]
    shape: tuple[int, ...] = ()
    hop_ms: float = 0.0


def flops_of(runs: Sequence[Run]) -> tuple[dict[Path, int], list[str]]:
    """Operations of one answer for each run, and notes on those that could not be counted.

    That is a picture of the size that the network was made for, with one prompt where it is asked
    by text; of a recogniser a clip of 3 s with 30 characters, as `faultline profile` takes it.
    Equal networks are counted once. Runs without weights are left out.
    """
    known: dict[str, int | str] = {}
    found: dict[Path, int] = {}
    for run in runs:
        network = _read(RunFolder(run.path).best, run.kind) if run.kind in _TASKS else None
        if network is None:
            continue
        key = json.dumps(asdict(network), sort_keys=True)
        if key not in known:
            known[key] = _counted(network)
        value = known[key]
        if isinstance(value, int):
            found[run.path] = value
    notes = [f"operations not counted: {value}" for value in known.values()
             if isinstance(value, str)]  # fmt: skip
    return found, list(dict.fromkeys(notes))


def _read(weights: Path, task: str) -> _Network | None:
    """From the head of a bundle; None where there is none."""
    if not weights.is_file():
        return None
    try:
        with safe_open(str(weights), "pt") as file:
            metadata = file.metadata() or {}
        model = json.loads(metadata["model"])
        name, settings = model["name"], dict(model["settings"])
        if task == _SPEECH:
            hop = float(json.loads(metadata["extra"])["frontend"]["hop_ms"])
            return _Network(task, name, settings, hop_ms=hop)
        size = json.loads(metadata["input"])
        height, width = size.get("height") or size["size"], size.get("width") or size["size"]
    except (OSError, SafetensorError, LookupError, ValueError, TypeError):
        # Weights that are being written, or were cut short: the run has no cost to show yet.
        return None
    shape = (1, int(settings.get("in_channels", 3)), height, width)
    return _Network(task, name, settings, shape)


def _counted(network: _Network) -> int | str:
    """The operations, or why they cannot be counted."""
    try:
        if network.task == _SPEECH:
            # What it imports is optional elsewhere.
            from faultline.profiling.recogniser import clip_flops

            return clip_flops(network.name, network.settings, network.hop_ms)
        return _of_pictures(network)
    except (FaultlineError, RuntimeError, TypeError, ValueError) as error:
        return f"{network.name}: {type(error).__name__}: {error}"


def _of_pictures(network: _Network) -> int:
    entry, settings = MODELS.get(network.name), dict(network.settings)
    if "pretrained" in entry.settings():
        settings["pretrained"] = False
    if "base_hash" in entry.settings():
        _require_base(settings)
    model = create_model(network.name, **settings)
    if isinstance(model, PromptedNetwork):
        with torch.no_grad():
            model.ask((_PROMPT,))
    return count_flops(model, network.shape)


def _require_base(settings: dict[str, Any]) -> None:
    """Counting is no reason to fetch the network that a trained one rests on."""
    weights = str(settings.get("weights", DEFAULT_WEIGHTS))
    if not is_at_hand(weights):
        raise ConfigError(f"{weights} is not on this machine", remedy="summarize where it trained")
