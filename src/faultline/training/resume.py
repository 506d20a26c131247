"""Resume points: everything that a training needs to go on as if it had not stopped."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from torch.utils.data import DataLoader

from faultline.data.collate import Batch
from faultline.data.sampling import EpochSampler
from faultline.files import atomic_path
from faultline.seeding import random_states, restore_random_states


class ResumableLoader(DataLoader[Batch]):
    """A training loader that can say how far an epoch got, and start from there.

    Lightning stores `state_dict` in checkpoints and gives it back on resume. `completed` is set
    from outside after each batch: the loader itself cannot know, since batches are fetched ahead.
    """

    completed: int = 0

    def state_dict(self) -> dict[str, int]:
        """Batches of the running epoch that have been trained on."""
        return {"completed": self.completed % max(1, len(self))}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Leave out those batches in the next epoch that is iterated."""
        assert isinstance(self.sampler, EpochSampler)
        assert self.batch_size is not None
        self.sampler.skip(state["completed"] * self.batch_size)


class ResumePoints(pl.Callback):
    """Writes `last.ckpt` every so many steps, each epoch, and on an interruption.

    The file is replaced in one step, so a kill while writing leaves the one before.

    Args:
        path: `last.ckpt`.
        loader: The training loader, whose position is kept.
        every_steps: Steps between points; 0 for epochs only.
    """

    def __init__(self, path: Path, loader: ResumableLoader, every_steps: int) -> None:
        self.path = path
        self.loader = loader
        self.every_steps = every_steps
        self._saved_step = -1
        self._states: dict[str, Any] | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Share the epoch among the processes."""
        assert isinstance(self.loader.sampler, EpochSampler)
        self.loader.sampler.share(trainer.global_rank, trainer.world_size)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Note the position; save when it is time."""
        self.loader.completed = batch_idx + 1
        step = trainer.global_step
        due = self.every_steps and step % self.every_steps == 0 and step != self._saved_step
        # After the last batch comes validation, which a point made here would leave out.
        if due and batch_idx + 1 < trainer.num_training_batches:
            self.save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save."""
        self.loader.completed = 0
        self.save(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Save on Ctrl-C; after an error the last good point is the better one."""
        if isinstance(exception, KeyboardInterrupt) and trainer.global_step > 0:
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Write the resume point. Every process takes part, the first one writes."""
        self._saved_step = trainer.global_step
        if not trainer.is_global_zero:
            trainer.save_checkpoint(self.path)
            return
        with atomic_path(self.path) as temporary:
            trainer.save_checkpoint(temporary)

    def state_dict(self) -> dict[str, Any]:
        """All random states."""
        return {"random": random_states()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the random states until training starts: setting up draws random numbers too."""
        self._states = state_dict["random"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the random states back."""
        if self._states is not None:
            restore_random_states(self._states)
            self._states = None


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C while the block runs, where signals can be caught at all."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread
        yield
        return
    before_int = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
        signal.signal(signal.SIGINT, before_int)
