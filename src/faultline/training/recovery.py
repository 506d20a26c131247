"""Goes on after memory ran out: the step is done again in smaller parts, as if nothing had been.

A step that fails for lack of memory is repeated with half as many samples at a time, and the
gradients are added up, each part weighing by its share of the batch: the same effective batch in
half of the memory. What the failed attempt had changed (running averages, random states, logged
values) is put back first; gradients and optimizer are not touched until an attempt succeeds. At
one sample at a time gradient checkpointing is switched on; after that there is only a clear stop.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor

from faultline.artifacts.device import is_out_of_memory
from faultline.errors import TrainingError
from faultline.files import write_json
from faultline.training.gradient_checkpointing import enable_gradient_checkpointing
from faultline.training.out_of_memory import free_memory, memory_in_use
from faultline.training.step_state import StepState

LOG_NAME = "oom_log.json"
Step = Callable[[Any, int], Tensor]

_ADVICE = (
    "use a smaller data.crop or data.resize, a smaller model, trainer.precision=bf16, or a "
    "device with more memory"
)


class OutOfMemoryRecovery(pl.Callback):
    """Wraps the task's `training_step`; see the module. Its state travels in resume points.

    Works on one device and under DDP, where each process goes its own way: gradients meet once a
    step, after the parts. Under strategies that spread one model over devices it does nothing.

    Args:
        path: Where `oom_log.json` goes; written only once there is something to tell.
        say: Takes lines of text.

    Attributes:
        micro_batch: Most samples at a time; None while no step has failed.
        checkpointing: Whether gradient checkpointing is on.
        events: What happened, as in the log.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self.path = path
        self.say = say
        self.micro_batch: int | None = None
        self.checkpointing = False
        self.events: list[dict[str, Any]] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the wrapped step in place of the task's own."""
        if type(trainer.strategy) not in (SingleDeviceStrategy, DDPStrategy):
            return
        if self.checkpointing:
            enable_gradient_checkpointing(_network(pl_module))
        vars(pl_module)["training_step"] = _RecoveringStep(pl_module, self)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the task its own step back."""
        vars(pl_module).pop("training_step", None)

    def give_way(self, module: pl.LightningModule, batch: int, batch_idx: int, why: str) -> None:
        """Halve what is done at a time, or switch checkpointing on.

        Raises:
            TrainingError: There is nothing left to try.
        """
        before = min(batch, self.micro_batch or batch)
        stopped = before == 1 and self.checkpointing
        if before > 1:
            self.micro_batch = (before + 1) // 2
        elif not stopped:
            self.checkpointing = enable_gradient_checkpointing(_network(module)) > 0
            stopped = not self.checkpointing
        self._note(module, batch, batch_idx, before, why, stopped)
        if stopped:
            raise TrainingError(
                f"memory is not enough for one sample at a time ({why.splitlines()[0][:200]})",
                where=str(module.device),
                remedy=_ADVICE,
            )

    def _note(
        self, module: pl.LightningModule, batch: int, batch_idx: int, before: int, why: str,
        stopped: bool,
    ) -> None:  # fmt: skip
        trainer, now = module.trainer, self.micro_batch or batch
        event = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "batch_index": batch_idx,
            "batch": batch,
            "micro_batch_before": before,
            "micro_batch": now,
            "accumulation": -(-batch // now),
            "gradient_checkpointing": self.checkpointing,
            "stopped": stopped,
            "device": str(module.device),
            "memory": memory_in_use(module.device),
            "message": why[:500],
        }
        self.events.append(event)
        write_json(self.path, {"events": self.events})
        if not stopped:
            how = ", with gradient checkpointing" if self.checkpointing else ""
            self.say(
                f"out of memory at {before} samples; the step is repeated with {now} at a time "
                f"x {event['accumulation']}{how} (see {self.path.name})"
            )

    def state_dict(self) -> dict[str, Any]:
        """What is in force, for resuming."""
        return {"micro_batch": self.micro_batch, "checkpointing": self.checkpointing,
                "events": self.events}  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with it."""
        self.micro_batch = state_dict["micro_batch"]
        self.checkpointing = bool(state_dict["checkpointing"])
        self.events = list(state_dict["events"])


class _RecoveringStep:
    """The task's `training_step`, tried until it fits into memory."""

    def __init__(self, module: pl.LightningModule, recovery: OutOfMemoryRecovery) -> None:
        self.module = module
        self.recovery = recovery
        own: Any = module.training_step
        self.own: Step = own
        self.state = StepState(module, module.device)
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        # The trainer looks behind it for the step that the task overrides.
        functools.update_wrapper(self, self.own)

    def __call__(self, batch: Any, batch_idx: int) -> Tensor:
        size = len(batch.ids)
        self.state.take()
        while True:
            tried = self._attempt(batch, batch_idx, size)
            if isinstance(tried, Tensor):
                return tried
            self.state.restore()
            free_memory(self.module.device)
            self.recovery.give_way(self.module, size, batch_idx, tried)

    def _attempt(self, batch: Any, batch_idx: int, size: int) -> Tensor | str:
        """The loss of the whole batch with its gradients behind it, or why memory ran out."""
        logged = _HeldLog(self.module)
        at_once = min(size, self.recovery.micro_batch or size)
        value, gradients = torch.zeros((), device=self.module.device), _Gradients()
        try:
            with logged:
                for part, share in parts(batch, at_once):
                    weighed = self.own(part, batch_idx) * share
                    gradients.add(self._gradients(weighed))
                    value = value + weighed.detach()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return str(error)
        except ValueError as error:
            if at_once == 1 < size and "more than 1 value per channel" in str(error):
                raise _too_few_values() from error
            raise
        logged.replay()
        carried: Tensor = _Carried.apply(value, gradients, *self.parameters)
        return carried

    def _gradients(self, loss: Tensor) -> list[Tensor | None]:
        """Of each parameter; outside autocast, as a backward pass should be."""
        scaler = getattr(self.module.trainer.precision_plugin, "scaler", None)
        # Small gradients vanish in fp16 unless they are scaled on the way.
        scale = 1.0 if scaler is None else float(scaler.scale(torch.ones_like(loss)).detach())
        with torch.autocast(self.module.device.type, enabled=False):
            found = torch.autograd.grad(loss * scale, self.parameters, allow_unused=True)
        if scaler is None:
            return list(found)
        return [None if gradient is None else gradient / scale for gradient in found]


class _Gradients:
    """Gradients of parts, added up."""

    def __init__(self) -> None:
        self.sums: list[Tensor | None] = []

    def add(self, found: list[Tensor | None]) -> None:
        """Add those of one more part; not in place, as two may be one tensor."""
        if not self.sums:
            self.sums = found
            return
        for index, (old, new) in enumerate(zip(self.sums, found, strict=True)):
            if old is None or new is None:
                self.sums[index] = new if old is None else old
            else:
                self.sums[index] = old + new


class _Carried(torch.autograd.Function):
    """A loss whose gradients are known already, so that the trainer can go on as always.

    Its backward pass hands them out: accumulation, loss scaling, clipping and the exchange
    between processes see what they would have seen.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: _Gradients, *parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        sums, ctx.gradients.sums = ctx.gradients.sums, []
        factor = upstream[0]
        # On a CPU looking costs nothing and saves a pass over all weights.
        if factor.device.type == "cpu" and factor.item() == 1.0:
            return (None, None, *sums)
        return (None, None, *(None if g is None else g * factor for g in sums))


class _HeldLog:
    """Keeps what a step logs until it is known to count."""

    def __init__(self, module: pl.LightningModule) -> None:
        self.module = module
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._before = {name: vars(module).get(name) for name in ("log", "log_dict")}

    def __enter__(self) -> _HeldLog:
        for name in self._before:
            vars(self.module)[name] = self._holder(name)
        return self

    def __exit__(self, *error: object) -> None:
        for name, own in self._before.items():
            del vars(self.module)[name]
            if own is not None:
                vars(self.module)[name] = own

    def _holder(self, method: str) -> Callable[..., None]:
        def hold(*arguments: Any, **named: Any) -> None:
            # Detached: a logged loss would keep the memory of its part.
            values = tuple(_detached(value) for value in arguments)
            self.calls.append((method, values, {k: _detached(v) for k, v in named.items()}))

        return hold

    def replay(self) -> None:
        """Log it."""
        for method, arguments, named in self.calls:
            getattr(self.module, method)(*arguments, **named)


def parts(batch: Any, at_once: int) -> Iterator[tuple[Any, float]]:
    """Pieces of at most `at_once` samples, each with its share of the batch; one if all fit."""
    size = len(batch.ids)
    if at_once >= size:
        yield batch, 1.0
        return
    for start in range(0, size, at_once):
        stop = min(start + at_once, size)
        yield cut(batch, start, stop), (stop - start) / size


def cut(batch: Any, start: int, stop: int) -> Any:
    """Samples `start` to `stop` of a batch: a dataclass with one entry per sample in its fields."""
    size = len(batch.ids)
    values = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return dataclasses.replace(
        batch, **{name: _cut(value, start, stop, size) for name, value in values.items()}
    )


def _cut(value: Any, start: int, stop: int, size: int) -> Any:
    if isinstance(value, dict):
        return {key: _cut(item, start, stop, size) for key, item in value.items()}
    if isinstance(value, Tensor):
        return value[start:stop] if value.ndim and len(value) == size else value
    is_list = isinstance(value, (list, tuple)) and len(value) == size
    return value[start:stop] if is_list else value


def _detached(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _detached(item) for key, item in value.items()}
    return value.detach() if isinstance(value, Tensor) else value


def _network(module: pl.LightningModule) -> torch.nn.Module:
    network: Any = getattr(module, "network", module)
    return network  # type: ignore[no-any-return]


def _too_few_values() -> TrainingError:
    return TrainingError(
        "memory is enough for one sample at a time, and batch normalisation of a map of one "
        "position needs more than one",
        remedy=f"use a normalisation that does not depend on the batch (model.norm=group); else "
        f"{_ADVICE}",
    )
