"""Stops a training whose loss is no number, and says which layer made it so."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from faultline.contracts import first_nonfinite, first_nonfinite_in
from faultline.errors import TrainingError

_EVERY = 16
"""Steps between two looks on an accelerator, where looking stalls the queue. NaN stays, so that
none is missed for longer."""
_SHOWN = 3


class FiniteLoss(pl.Callback):
    """Looks at the loss before it reaches the weights.

    For any task whose module has its `network`; what the step gave the network is kept, so that
    it can be run again, layer by layer.
    """

    def __init__(self) -> None:
        self._given: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._batch: Any = None
        self._handle: torch.utils.hooks.RemovableHandle | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to what the network is given."""
        network: Any = pl_module.network
        self._handle = network.register_forward_pre_hook(self._keep, with_kwargs=True)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Stop listening, however the training ended."""
        if self._handle is not None:
            self._handle.remove()
        self._handle = self._given = self._batch = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember the batch, and forget what a validation gave the network."""
        self._batch, self._given = batch, None

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        """Look at the loss.

        Raises:
            TrainingError: It is NaN or infinite.
        """
        given, self._given = self._given, None
        batch, self._batch = self._batch, None
        if loss.device.type != "cpu" and trainer.global_step % _EVERY:
            return
        if bool(loss.isfinite()):
            return
        with trainer.precision_plugin.train_step_context():
            culprit = _culprit(pl_module, batch, given)
        raise TrainingError(
            f"the loss of step {trainer.global_step} is {loss.item():g}: {culprit}",
            where=_named(batch),
            remedy="lower optimizer.lr, set trainer.gradient_clip=1 or trainer.precision=fp32, "
            "or look at the items named",
        )

    def _keep(self, network: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._given = (inputs, named)


def _named(batch: Any) -> str | None:
    """Names of the first items of a batch, and how many more there are."""
    ids = [str(name) for name in getattr(batch, "ids", [])]
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more or None


def _culprit(module: Any, batch: Any, given: tuple[tuple[Any, ...], dict[str, Any]] | None) -> str:
    method = module.network_pass(batch)
    if method is not None:
        found = first_nonfinite_in(method[0], module.network, *method[1])
    elif given is not None:
        found = first_nonfinite(module.network, *given[0], **given[1])
    else:
        return "the network was not used in this step"
    if found is None:
        return "run again, every layer of the network gives finite values; the loss itself does not"
    return str(found)
