"""Trains: from a configuration to a run folder with the best weights as a bundle."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from faultline.artifacts.curves import plot_curves
from faultline.artifacts.precision import Resolved, resolve_precision
from faultline.artifacts.provenance import collect
from faultline.artifacts.run import RunFolder, resolve_run
from faultline.config.compose import from_yaml, to_yaml
from faultline.config.schema import Config
from faultline.config.validate import duration
from faultline.data.prepare import Prepared, prepare
from faultline.errors import ConfigError, TrainingError
from faultline.files import write_json
from faultline.models import count_parameters
from faultline.seeding import seed_everything
from faultline.training.average import AveragedWeights
from faultline.training.guard import ForegroundGuard
from faultline.training.history import History
from faultline.training.loaders import training_loader, validation_loader
from faultline.training.resume import ResumePoints, terminate_as_interrupt
from faultline.training.segmentation_task import SegmentationTask
from faultline.training.selection import SelectBest

Say = Callable[[str], None]
DEFAULT_EPOCHS = 80


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended.

    Attributes:
        run: Its folder.
        results: What `results.json` holds.
        interrupted: Whether it was stopped from outside; it can be resumed.
    """

    run: RunFolder
    results: dict[str, Any]
    interrupted: bool


def train(config: Config, *, say: Say = print, resume: str | Path | None = None) -> TrainingResult:
    """Train as `config` says, or go on with the run `resume` as its own configuration says.

    Args:
        config: Ignored when resuming.
        say: Takes lines of text about what is going on.
        resume: A run folder that was interrupted.

    Raises:
        FaultlineError: Data, settings or folders that cannot be used; see each.
    """
    run = None
    if resume is not None:
        run = _resumable(resume)
        config = from_yaml(run.config)
        say(f"resuming {run.path}")
    seed_everything(config.seed, deterministic=config.deterministic)
    prepared = prepare(config.data, config.seed)
    _announce(prepared, say)
    device = {"cpu": "cpu", "gpu": "cuda"}.get(config.trainer.accelerator, "auto")
    precision = resolve_precision(config.trainer.precision, device)
    say(f"precision {precision.precision}: {precision.reason}")
    # Stored as resolved, so that a resumed or repeated run computes in the same format.
    config.trainer.precision = precision.precision
    if run is None:
        name = config.experiment or str(config.model["name"])
        run = RunFolder.create(config.output_dir, name, to_yaml(config))
    provenance = collect(seed=config.seed, data_fingerprint=prepared.fingerprint,
                         device=device, precision=precision.precision)  # fmt: skip
    run.write_provenance(provenance)
    say(f"run {run.path}")
    return _fit(config, run, prepared, precision, provenance, say, resumed=resume is not None)


def _fit(
    config: Config,
    run: RunFolder,
    prepared: Prepared,
    precision: Resolved,
    provenance: dict[str, Any],
    say: Say,
    resumed: bool,
) -> TrainingResult:
    _write_splits(run, prepared)
    loader = training_loader(config, prepared)
    task = SegmentationTask(
        config.model, config.loss, prepared.label_space, config.optimizer, config.scheduler
    )
    parameters = count_parameters(task.network)
    say(f"{config.model['name']}: {parameters:,} parameters")
    history = History(run, say)
    describe = _describer(config, prepared, provenance, history)
    selection = SelectBest(run, config.threshold, precision.precision, describe)
    callbacks: list[pl.Callback] = [
        selection, history, ResumePoints(run.last_checkpoint, loader,
                                         config.trainer.checkpoint_every_steps),
    ]  # fmt: skip
    if config.trainer.guard_epochs:
        callbacks.append(ForegroundGuard(selection, config, say))
    with _quiet():
        trainer = _trainer(config, run, precision, callbacks)
    interrupted = False
    try:
        with _quiet(), terminate_as_interrupt():
            trainer.fit(
                task, loader, validation_loader(config, prepared),
                ckpt_path=str(run.last_checkpoint) if resumed else None,
                weights_only=False if resumed else None,
            )  # fmt: skip
    except (KeyboardInterrupt, SystemExit):
        interrupted = True
    except ValueError as error:
        raise _explained(error) from error
    results = _results(config, run, task, selection, history, parameters, trainer, interrupted)
    plot_curves(run, file_format=config.evaluation.plot_format, dpi=config.evaluation.dpi)
    return TrainingResult(run, results, interrupted)


def _explained(error: ValueError) -> Exception:
    if "Expected more than 1 value per channel" in str(error):
        return TrainingError(
            "a batch normalisation layer was given a single value per channel",
            remedy="use a larger data.batch_size or data.crop",
        )
    return error


def _trainer(
    config: Config, run: RunFolder, precision: Resolved, callbacks: list[pl.Callback]
) -> pl.Trainer:
    settings = config.trainer
    callbacks = list(callbacks)
    limit = duration(settings.max_time)
    if settings.early_stopping_patience:
        callbacks.append(
            pl.callbacks.EarlyStopping(
                "val/iou", mode="max", patience=settings.early_stopping_patience, strict=False,
                check_finite=False,
            )
        )  # fmt: skip
    if settings.ema:
        callbacks.append(AveragedWeights(settings.ema))
    on_terminal = sys.stdout.isatty()
    if on_terminal:
        callbacks.append(pl.callbacks.RichProgressBar(leave=False))
    epochs = settings.max_epochs
    if epochs < 0:
        epochs = -1 if limit or settings.max_steps > 0 else DEFAULT_EPOCHS
    return pl.Trainer(
        accelerator={"gpu": "gpu", "cpu": "cpu"}.get(settings.accelerator, "auto"),
        devices=settings.devices,
        strategy=settings.strategy,
        precision=precision.lightning,  # type: ignore[arg-type]
        max_epochs=epochs,
        max_steps=settings.max_steps,
        max_time=limit,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.gradient_clip or None,
        check_val_every_n_epoch=settings.validate_every,
        deterministic="warn" if config.deterministic else None,
        logger=_logger(config, run),
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=on_terminal,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=str(run.path),
        log_every_n_steps=10,
    )


def _logger(config: Config, run: RunFolder) -> Any:
    if not config.trainer.tensorboard:
        return False
    return pl.loggers.TensorBoardLogger(str(run.path), name="tensorboard", version="")


def _describer(
    config: Config, prepared: Prepared, provenance: dict[str, Any], history: History
) -> Callable[[SegmentationTask], dict[str, Any]]:
    """Everything of a bundle but weights, threshold and scores."""
    from faultline.artifacts.contents import InputSpec

    fitted = sorted({item.sha256 for item in prepared.train})
    chosen = sorted({item.sha256 for item in prepared.valid})
    spec = InputSpec(size=config.data.crop or 256)

    def describe(task: SegmentationTask) -> dict[str, Any]:
        training = {"train": len(prepared.train), "validation": len(prepared.valid),
                    "seconds": round(history.seconds, 1), "loss": config.loss}  # fmt: skip
        return {
            "model_name": task.model_name,
            "model_settings": task.model_settings,
            "label_space": prepared.label_space,
            "normalisation": task.normalisation,
            "input": spec,
            "provenance": {**provenance, "training": training},
            "seen": {"weights": fitted, "selection": chosen},
            "groups": {"weights": sorted({item.group for item in prepared.train}),
                       "selection": sorted({item.group for item in prepared.valid})},
        }  # fmt: skip

    return describe


def _results(
    config: Config,
    run: RunFolder,
    task: SegmentationTask,
    selection: SelectBest,
    history: History,
    parameters: int,
    trainer: pl.Trainer,
    interrupted: bool,
) -> dict[str, Any]:
    speeds = [row["images_per_second"] for row in history.rows]
    results = {
        "status": "interrupted" if interrupted else "finished",
        "model": config.model,
        "loss": config.loss,
        "parameters": parameters,
        "best": selection.best,
        "last": selection.latest,
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "seconds": round(history.seconds, 1),
        "images_per_second": sum(speeds) / len(speeds) if speeds else None,
        "criterion": task.criterion.parameters_in_force(),
        "seed": config.seed,
    }
    write_json(run.results, results)
    return results


def _write_splits(run: RunFolder, prepared: Prepared) -> None:
    """Which item played which role, for people and for later checks."""
    roles = {name: [{"id": item.id, "sha256": item.sha256, "group": item.group}
                    for item in getattr(prepared, name)]
             for name in ("train", "valid", "test")}  # fmt: skip
    write_json(run.path / "splits.json", roles)
    if prepared.problems:
        listed = [{"file": problem.file, "reason": problem.reason} for problem in prepared.problems]
        write_json(run.path / "problems.json", listed)


def _announce(prepared: Prepared, say: Say) -> None:
    counts = (len(prepared.train), len(prepared.valid), len(prepared.test))
    say("data: {} train, {} validation, {} test".format(*counts))
    for note in prepared.notes:
        say(f"  {note}")
    for problem in prepared.problems[:10]:
        say(f"  left out {problem.file}: {problem.reason}")
    if len(prepared.problems) > 10:
        say(f"  and {len(prepared.problems) - 10} more, listed in problems.json")


def _resumable(path: str | Path) -> RunFolder:
    run = RunFolder.open(resolve_run(path))
    if not run.last_checkpoint.is_file():
        raise ConfigError(
            "holds no checkpoints/last.ckpt to go on from",
            where=run.path,
            remedy="start again with `faultline train`",
        )
    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what Lightning says that a user cannot act on; the rest passes."""
    import logging

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
