"""The learning history: one row per epoch in `metrics.csv`, one line per epoch on the console."""

from __future__ import annotations

import contextlib
import csv
import io
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import lightning.pytorch as pl
import psutil
import torch

from faultline.artifacts.resident import peak_resident, reset_peak
from faultline.artifacts.run import RunFolder
from faultline.files import write_text

_MANAGEMENT = "pynvml"
"""NVIDIA's management library as the package `nvidia-ml-py` brings it; torch asks it."""


class History(pl.Callback):
    """Collects what was logged each epoch; writes the CSV atomically and says one line.

    Args:
        run: Where `metrics.csv` goes.
        say: Takes one line of text; None for silence.
        scores: The scores of a row, as they read in that line.
    """

    def __init__(
        self,
        run: RunFolder,
        say: Callable[[str], None] | None = None,
        scores: Callable[[dict[str, Any]], str] = lambda row: "",
    ) -> None:
        self.run = run
        self.say = say
        self.scores = scores
        self.rows: list[dict[str, Any]] = []
        self.first_epoch = 0
        self._samples = 0
        self._started = time.perf_counter()
        self._before = 0.0
        self._train_seconds = 0.0
        self._batch_started = 0.0
        self._validated = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, and the count of memory: the process may have trained before."""
        self._started = time.perf_counter()
        reset_peak()
        missing = find_spec(_MANAGEMENT) is None
        if trainer.strategy.root_device.type == "cuda" and missing and self.say:
            self.say(
                "how busy the GPU is will not be logged: nvidia-ml-py is not installed "
                "-> run pip install '.[gpu]' in Faultline's folder"
            )

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start counting the epoch's pictures."""
        self._samples, self._train_seconds = 0, 0.0
        self._validated = False
        self._batch_started = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count pictures and time, loading included."""
        now = time.perf_counter()
        self._samples += len(batch.ids)
        self._train_seconds += now - self._batch_started
        self._batch_started = now

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do not count validation as training time."""
        self._validated = True
        self._batch_started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the row."""
        speed = self._samples / self._train_seconds if self._train_seconds else float("nan")
        row = {
            "epoch": self.first_epoch + trainer.current_epoch,
            "step": trainer.global_step,
            "seconds": round(self.seconds, 1),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "images_per_second": round(speed, 2),
            "memory_mib": round(psutil.Process().memory_info().rss / 2**20),
            "peak_memory_mib": round(peak_resident() / 2**20),
            **_of_gpu(trainer.strategy.root_device),
        }
        # Lightning keeps the scores of the last validation, which may be that of another epoch.
        logged = {
            key: float(value)
            for key, value in trainer.callback_metrics.items()
            if self._validated or not key.startswith("val/")
        }
        self.rows.append({**row, **logged})
        if trainer.is_global_zero:
            self.write()
            if self.say:
                self.say(_line(self.rows[-1], self.scores))

    def amend(self, trainer: pl.Trainer) -> None:
        """Add what was logged after the last epoch to its row."""
        if self.rows and trainer.is_global_zero:
            self.rows[-1] |= {key: float(value) for key, value in trainer.callback_metrics.items()}
            self.write()
            if self.say:
                self.say(_line(self.rows[-1], self.scores))

    def go_on(self, rows: list[dict[str, Any]], seconds: float) -> None:
        """Begin after the rows and the time of earlier trainings of the same run."""
        self.rows, self._before = list(rows), seconds
        self.first_epoch = 1 + max((int(row["epoch"]) for row in rows), default=-1)

    @property
    def seconds(self) -> float:
        """Time spent, those of earlier parts of a resumed run included."""
        return self._before + time.perf_counter() - self._started

    def write(self) -> None:
        """Write all rows to `metrics.csv`."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names)
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.run.metrics_csv, text.getvalue())

    def state_dict(self) -> dict[str, Any]:
        """Rows and time so far, for resuming."""
        return {"rows": self.rows, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the rows from before."""
        self.rows, self._before = list(state_dict["rows"]), float(state_dict["seconds"])


def _of_gpu(device: torch.device) -> dict[str, Any]:
    """Most memory that tensors took since the last row, and how busy the GPU is; empty on a CPU."""
    if device.type != "cuda":
        return {}
    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    row: dict[str, Any] = {"gpu_peak_mib": round(peak / 2**20)}
    # Without the library, or where it cannot tell: part of a GPU, another version of the driver.
    # It raises errors of its own, and none is a reason to stop a training.
    with contextlib.suppress(Exception):
        row["gpu_use_percent"] = torch.cuda.utilization(device)
    return row


def _line(row: dict[str, Any], scores: Callable[[dict[str, Any]], str]) -> str:
    def show(key: str) -> str:
        value = row.get(key)
        return "-" if value is None else f"{value:.3f}"

    validated = any(key.startswith("val/") for key in row)
    valid = f"val loss {show('val/loss')}  {scores(row)}  " if validated else ""
    return (
        f"epoch {row['epoch']:>3}  step {row['step']:>6}  loss {show('train/loss')}  {valid}"
        f"{row['images_per_second']:.1f} img/s  {row['seconds'] / 60:.1f} min"
    )
