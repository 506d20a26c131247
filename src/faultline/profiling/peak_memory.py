"""Peak memory of training by batch size: of tensors on a GPU, of a fresh process on a CPU."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import psutil
import torch

from faultline.artifacts.device import is_out_of_memory
from faultline.artifacts.precision import Resolved
from faultline.artifacts.resident import peak_resident, reset_peak
from faultline.errors import FaultlineError
from faultline.profiling.subject import Profiled, TrainingStep, synchronise
from faultline.training.allocator import keep_freed_memory
from faultline.training.memory import MemoryCurve

_STEPS = 2
"""The second one also has the optimizer's state, and gradients beside the activations."""
_SPARE = 0.9
"""Share of the free memory that a measurement may be expected to take."""


@dataclass(frozen=True, slots=True)
class Peak:
    """What one batch size took.

    Attributes:
        batch: Samples.
        bytes: Weights, gradients, optimizer and activations; None where it did not fit.
        process: Peak of the whole process, libraries included, on a CPU; of all that was reserved
            on a GPU.
        note: Why there are no bytes.
    """

    batch: int
    bytes: int | None
    process: int | None = None
    note: str = ""


def measure_peaks(
    subject: Profiled,
    batches: Sequence[int],
    size: Sequence[int],
    device: torch.device,
    precision: Resolved,
    done: Callable[[], None] = lambda: None,
) -> list[Peak]:
    """Peak memory of two training steps at each batch size, from the smallest on.

    A size that is expected not to fit, by those before it, is not tried, nor is a larger one.

    Args:
        subject: What to train.
        batches: Batch sizes.
        size: (H, W).
        device: Where.
        precision: Number format.
        done: Called after each batch size.

    Raises:
        FaultlineError: The subject cannot be built or does not take pictures of this size.
    """
    found: list[Peak] = []
    for batch in sorted(set(batches)):
        expected = _expected(found, batch)
        if found and found[-1].bytes is None:
            peak = Peak(batch, None, note="a smaller batch did not fit")
        elif expected is not None and expected > _SPARE * free_bytes(device):
            peak = Peak(batch, None, note=f"would take about {expected / 1e9:.1f} GB")
        elif device.type == "cuda":
            peak = _on_gpu(subject, batch, size, device, precision)
        else:
            peak = _in_fresh_process(subject, batch, size, precision)
        found.append(peak)
        done()
    return found


def curve_of(peaks: Sequence[Peak]) -> MemoryCurve | None:
    """The peaks that were measured; None where there are none."""
    measured = {peak.batch: peak.bytes for peak in peaks if peak.bytes is not None}
    return MemoryCurve(measured) if measured else None


def free_bytes(device: torch.device) -> int:
    """Memory that a new training could take on `device`."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _expected(found: Sequence[Peak], batch: int) -> float | None:
    curve = curve_of(found)
    return None if curve is None or len(curve.measured) < 2 else curve.at(batch)


def _on_gpu(
    subject: Profiled, batch: int, size: Sequence[int], device: torch.device, precision: Resolved
) -> Peak:
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    try:
        step = TrainingStep(subject, batch, size, device, precision)
        for _ in range(_STEPS):
            step()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return Peak(batch, None, note="out of memory")
    used = torch.cuda.max_memory_allocated(device) - before
    return Peak(batch, used, torch.cuda.max_memory_reserved(device))


def _in_fresh_process(
    subject: Profiled, batch: int, size: Sequence[int], precision: Resolved
) -> Peak:
    """Measure in a process that has done nothing else: freed memory does not return to the system.

    Forked off a server that has only imported what is needed, which takes a moment; where there
    is no such server, started anew.
    """
    ready = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if ready else "spawn")
    if ready:
        context.set_forkserver_preload(["faultline.profiling.peak_memory"])
    receiver, sender = context.Pipe(duplex=False)
    threads = torch.get_num_threads()
    arguments = (sender, subject, batch, tuple(size), precision, threads)
    process = context.Process(target=_measure, args=arguments, daemon=True)  # type: ignore[attr-defined]
    process.start()
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:  # killed, most likely by the system for want of memory
        answer = Peak(batch, None, note="the process was killed: out of memory")
    finally:
        receiver.close()
        process.join()
    if isinstance(answer, FaultlineError):
        raise answer
    if isinstance(answer, str):
        raise RuntimeError(answer)
    assert isinstance(answer, Peak)
    return answer


def _measure(
    sender: Connection, subject: Profiled, batch: int, size: tuple[int, int], precision: Resolved,
    threads: int,
) -> None:  # fmt: skip
    """What the fresh process does: answers with a Peak, or with the error."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    device = torch.device("cpu")
    answer: Peak | FaultlineError | str
    try:
        _touch_libraries(precision)
        gc.collect()
        before = reset_peak()
        step = TrainingStep(subject, batch, size, device, precision)
        for _ in range(_STEPS):
            step()
        synchronise(device)
        whole = peak_resident()
        answer = Peak(batch, max(0, whole - before), whole)
    except FaultlineError as error:
        answer = type(error)(error.what, where=error.where, remedy=error.remedy)
    except Exception as error:  # whatever a network raises goes to the process that asked
        short = is_out_of_memory(error)
        answer = Peak(batch, None, note="out of memory") if short else _told(error)
    sender.send(answer)
    sender.close()


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _touch_libraries(precision: Resolved) -> None:
    """Compute a little of everything, so that code pages are not taken for activations."""
    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8))
    layer = layer.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(layer.parameters())
    with precision.autocast(torch.device("cpu")):
        loss = layer(torch.zeros(2, 3, 16, 16)).float().square().mean()
    loss.backward()
    optimizer.step()
