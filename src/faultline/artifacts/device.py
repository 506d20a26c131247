"""What the machine is: the compute device, the CPU's features, and when its memory is full."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch

from faultline.errors import ConfigError

CPU_FLAGS = (
    "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_bf16", "amx_int8", "asimd", "asimdhp", "bf16", "i8mm", "sve",
)  # fmt: skip
"""CPU features that decide how fast a network runs, as Linux names them."""

_CPU_INFO = Path("/proc/cpuinfo")
_MEMORY_TEXTS = (
    "out of memory",
    "not enough memory",  # torch's allocator on a CPU
    "cannot allocate memory",
    "can't allocate memory",
    "alloc_failed",  # cuBLAS and cuDNN, for their workspaces
)


def resolve_device(requested: str | torch.device = "auto") -> torch.device:
    """The device to compute on: `auto` takes a CUDA GPU, else Apple's, else the CPU.

    Raises:
        ConfigError: The name is no device, or this machine has none such.
    """
    if str(requested) == "auto":
        return torch.device(_best_available())
    try:
        device = torch.device("cuda" if requested == "gpu" else requested)
    except RuntimeError as error:
        raise ConfigError(
            f"unknown device {requested!r}", remedy="use auto, cpu, cuda or mps"
        ) from error
    if not _is_available(device):
        raise ConfigError(
            f"device {str(requested)!r} is not available on this machine",
            remedy="use device=auto or device=cpu",
        )
    return device


def device_name(device: torch.device) -> str:
    """A name that a person recognises, such as the model of the GPU or CPU."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    fields = _cpu_info()
    return fields.get("model name") or platform.processor() or platform.machine()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, on a GPU or on a CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _MEMORY_TEXTS)


def cpu_flags() -> frozenset[str]:
    """Those of `CPU_FLAGS` that this CPU has; empty where the system does not say."""
    fields = _cpu_info()
    return frozenset(CPU_FLAGS) & set((fields.get("flags") or fields.get("Features") or "").split())


def _best_available() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _is_available(device: torch.device) -> bool:
    if device.type == "cuda":
        return (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return bool(torch.backends.mps.is_available())
    return device.type == "cpu"


@cache
def _cpu_info() -> dict[str, str]:
    """Fields of the first processor in /proc/cpuinfo."""
    try:
        first = _CPU_INFO.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
