"""What weights cost: parameters, bytes on disk, seconds per answer and epoch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from numpy.typing import NDArray

from faultline.artifacts.curves import read_history
from faultline.models import count_parameters
from faultline.predict.prompted import PromptPredictor

_ROUNDS = 3
_BATCH = 8

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Footprint:
    """Costs, measured.

    Attributes:
        parameters: Of the network, a frozen base included.
        trained: Parameters that the bundle holds.
        bytes_fp32: Of the trained tensors on disk, as they are.
        bytes_fp16: The same in half precision.
        single_ms: Median time of one prompt about one picture.
        batched_ms: The same, a picture, in batches of `batch`.
        batch: Pictures per batch.
        height: Rows of the picture that was timed.
        width: Its columns.
        epoch_seconds: Mean time of an epoch, validation included; None where it is not known.
        epochs: Epochs that were trained; None where it is not known.
        seconds: Time of the whole training; None where it is not known.
        device: What it was measured on.
    """

    parameters: int
    trained: int
    bytes_fp32: int
    bytes_fp16: int
    single_ms: float
    batched_ms: float
    batch: int
    height: int
    width: int
    epoch_seconds: float | None
    epochs: int | None
    seconds: float | None
    device: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def measure_footprint(
    predictor: PromptPredictor, pictures: Sequence[Pixels], metrics_csv: Path | None = None
) -> Footprint:
    """Time answers to one prompt on `pictures`, and weigh the bundle.

    Args:
        predictor: What answers.
        pictures: A few RGB pictures (H, W, 3); the first one is timed.
        metrics_csv: History of the training, if it is known.
    """
    network, bundle = predictor.network, predictor.bundle
    picture = pictures[0]
    predictor.ask([predictor.reader.prompts[0]])
    single = _median([[picture]] * _ROUNDS, predictor)
    batched = _median([[picture] * _BATCH] * _ROUNDS, predictor) / _BATCH
    base = getattr(network, "base", None)
    outside = sum(p.numel() for p in base.parameters()) if base is not None else 0
    trained = sum(tensor.numel() for tensor in bundle.state.values())
    own = sum(p.numel() for p in network.parameters())
    half = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in bundle.state.items()
    }
    epoch, count, seconds = _epochs(metrics_csv)
    return Footprint(
        parameters=max(own, count_parameters(network))
        + (outside if getattr(network, "freeze", False) else 0),
        trained=trained,
        bytes_fp32=len(safetensors.torch.save(_plain(bundle.state))),
        bytes_fp16=len(safetensors.torch.save(_plain(half))),
        single_ms=1e3 * single,
        batched_ms=1e3 * batched,
        batch=_BATCH,
        height=picture.shape[0],
        width=picture.shape[1],
        epoch_seconds=epoch,
        epochs=count,
        seconds=seconds,
        device=str(predictor.predictor.device),
    )


def _median(batches: Sequence[Sequence[Pixels]], predictor: PromptPredictor) -> float:
    """Median seconds of a batch; the first one warms up and is not counted."""
    predictor.predictor.predict_batch(batches[0])
    times = []
    for batch in batches:
        start = time.perf_counter()
        predictor.predictor.predict_batch(batch)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _plain(state: Any) -> Any:
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}


def _epochs(path: Path | None) -> tuple[float | None, int | None, float | None]:
    """Mean seconds of an epoch, number of epochs, seconds in all."""
    if path is None or not path.is_file():
        return None, None, None
    curve = read_history(path).curves.get("seconds", [])
    if not curve:
        return None, None, None
    total = curve[-1][1]
    return total / len(curve), len(curve), total
