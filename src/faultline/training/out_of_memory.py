"""What a lack of memory leads to, and giving back what is held without need."""

from __future__ import annotations

import gc

import torch

from faultline.errors import TrainingError


def out_of_memory(error: BaseException) -> TrainingError:
    """The error for memory that ran out where no step can be repeated: optimizer, validation."""
    return TrainingError(
        f"out of memory outside of a training step: {str(error).splitlines()[0][:200]}",
        remedy="validation takes whole pictures: set data.resize, or use smaller ones; the "
        "optimizer keeps two numbers per weight: use a smaller model or optimizer=sgd",
    )


def free_memory(device: torch.device) -> None:
    """Give back what no tensor uses any more.

    The error and its traceback must be gone: their frames hold the tensors of the failed attempt.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def memory_in_use(device: torch.device) -> dict[str, int]:
    """Bytes in use on `device`, for the log: of the process on a CPU."""
    if device.type == "cuda":
        return {
            "allocated": torch.cuda.memory_allocated(device),
            "reserved": torch.cuda.memory_reserved(device),
            "peak_allocated": torch.cuda.max_memory_allocated(device),
            "free": torch.cuda.mem_get_info(device)[0],
        }
    import psutil

    return {
        "resident": psutil.Process().memory_info().rss,
        "available": psutil.virtual_memory().available,
    }
