"""Lightning's trainer: what our settings say of it, and its silence where nobody can act."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl

from faultline.config.schema import Config
from faultline.config.validate import duration
from faultline.errors import ConfigError

DEFAULT_EPOCHS = 80


def trainer_settings(config: Config) -> dict[str, Any]:
    """What settings alone say of Lightning's trainer."""
    settings = config.trainer
    limit = duration(settings.max_time)
    epochs = settings.max_epochs
    if epochs < 0:
        epochs = -1 if limit or settings.max_steps > 0 else DEFAULT_EPOCHS
    return {
        "accelerator": settings.accelerator,
        "devices": settings.devices,
        "strategy": settings.strategy,
        "max_epochs": epochs,
        "max_steps": settings.max_steps,
        "max_time": limit,
        "accumulate_grad_batches": max(1, settings.accumulate),
        "gradient_clip_val": settings.gradient_clip or None,
        "check_val_every_n_epoch": settings.validate_every,
        "deterministic": "warn" if config.deterministic else None,
        "enable_checkpointing": False,
        "enable_model_summary": False,
    }


def check_trainer(config: Config) -> None:
    """Let Lightning judge its settings before data are read.

    Raises:
        ConfigError: It refuses one.
    """
    try:
        with quiet():
            pl.Trainer(**trainer_settings(config), logger=False, enable_progress_bar=False)
    except Exception as error:  # it refuses with errors of many kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"cannot be set up: {reason}",
            where="trainer",
            remedy="check trainer.accelerator, trainer.devices and trainer.strategy",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Lightning says that a user cannot act on; the rest passes."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for text in _KNOWN_WARNINGS:
                warnings.filterwarnings("ignore", message=text)
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


_KNOWN_WARNINGS = (
    r".*does not have many workers.*",
    r".*The number of training batches.*",
    r".*isinstance\(treespec, LeafSpec\).*",
    r".*`isinstance\(treespec.*",
    r".*Found .* module\(s\) in eval mode.*",
    r".*max_epochs. was not set.*",
    r".*Trying to infer the `batch_size`.*",
    r".*GPU available but not used.*",
    r".*lr_scheduler\.step\(\).*before.*",
)
