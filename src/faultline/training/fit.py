"""Trains: from a configuration to a run folder with the best weights as a bundle."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch.utils.data import DataLoader

from faultline.artifacts.curves import plot_curves
from faultline.artifacts.device import is_out_of_memory, resolve_device
from faultline.artifacts.precision import Resolved, resolve_precision
from faultline.artifacts.provenance import collect
from faultline.artifacts.run import RunFolder, check_experiment, resolve_run
from faultline.config.compose import from_yaml
from faultline.config.schema import Config
from faultline.errors import ConfigError, FaultlineError
from faultline.files import check_folder, write_json
from faultline.models import count_parameters
from faultline.seeding import seed_everything
from faultline.training.allocator import keep_freed_memory
from faultline.training.average import AveragedWeights
from faultline.training.finite import FiniteLoss
from faultline.training.guard import ForegroundGuard
from faultline.training.history import History
from faultline.training.kinds import (
    Known,
    PreparedParts,
    Say,
    TrainingKind,
    check_settings,
    kind_of,
)
from faultline.training.loading_errors import loading_error
from faultline.training.out_of_memory import out_of_memory
from faultline.training.processes import process_rank
from faultline.training.recovery import LOG_NAME, OutOfMemoryRecovery
from faultline.training.resume import ResumableLoader, ResumePoints, terminate_as_interrupt
from faultline.training.roles import check_roles, write_roles
from faultline.training.selection import SelectBest, ValidationScorer
from faultline.training.single_value import explained
from faultline.training.task import TrainingTask
from faultline.training.trainer import check_trainer, quiet, trainer_settings


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended.

    Attributes:
        run: Its folder.
        results: What `results.json` holds.
        interrupted: Whether it was stopped from outside; it can be resumed.
        verdict: One line on the best epoch; empty where there is none.
    """

    run: RunFolder
    results: dict[str, Any]
    interrupted: bool
    verdict: str = ""


def train(
    config: Config,
    *,
    say: Say = print,
    resume: str | Path | None = None,
    kind: TrainingKind[Any] | None = None,
) -> TrainingResult:
    """Train as `config` says, or go on with the run `resume` as its own configuration says.

    Args:
        config: Ignored when resuming.
        say: Takes lines of text about what is going on.
        resume: A run folder that was interrupted.
        kind: What is learnt; None goes by `config.task`.

    Raises:
        FaultlineError: Data, settings or folders that cannot be used; see each.
    """
    if process_rank():
        say = _silent
    run = _resumable(resume) if resume is not None else None
    if run is not None:
        config = from_yaml(run.config) if kind is None else kind.read_config(run.config)
        say(f"resuming {run.path}")
    if kind is None:
        check_settings(config)
        kind = kind_of(config)
    device = {"cpu": "cpu", "gpu": "cuda"}.get(config.trainer.accelerator, "auto")
    resolve_device(device)
    check_trainer(config)
    if run is None:
        _check_place(config)
    # Stored as resolved, like the precision below.
    config.task = kind.name
    seed_everything(config.seed, deterministic=config.deterministic)
    prepared = kind.prepare(config)
    if run is not None:
        check_roles(run, prepared)
    _announce(prepared, say)
    precision = resolve_precision(config.trainer.precision, device)
    say(f"precision {precision.precision}: {precision.reason}")
    # Stored as resolved, so that a resumed or repeated run computes in the same format.
    config.trainer.precision = precision.precision
    if resolve_device(device).type == "cpu":
        keep_freed_memory()
    task = kind.task(config, prepared)
    say(f"{task.model_name}: {count_parameters(task.network):,} parameters")
    for line in kind.remarks(config, prepared, task):
        say(line)
    ready = Ready(
        config, prepared, precision, task,
        kind.training_loader(config, prepared),
        kind.validation_loader(config, prepared),
        kind.scorer(config, prepared, precision.precision),
    )  # fmt: skip
    # Only now, so that a wrong name or setting leaves no empty run behind.
    resumed = run is not None
    if process_rank():
        return _follow(kind, ready, run, resumed)
    if run is None:
        kind.settle_paths(config)
        name = config.experiment or task.model_name
        run = RunFolder.create(config.output_dir, name, kind.write_config(config))
    say(f"run {run.path}")
    provenance = collect(
        seed=config.seed,
        data_fingerprint=prepared.fingerprint,
        device=device,
        precision=precision.precision,
    )
    run.write_provenance(provenance)
    write_roles(run, prepared)
    kind.keep(run, prepared)
    return _fit(kind, ready, run, provenance, say, resumed)


def _fit(
    kind: TrainingKind[Any],
    ready: Ready,
    run: RunFolder,
    provenance: dict[str, Any],
    say: Say,
    resumed: bool,
) -> TrainingResult:
    """Train in one piece, or phase by phase where the kind has phases."""
    from faultline.training.phases import PhasedKind, fit_phases

    if isinstance(kind, PhasedKind):
        return fit_phases(kind, ready, run, provenance, say, resumed)
    return Fitting(kind, ready, run, provenance, say).fit(resumed)


@dataclass(frozen=True)
class Ready:
    """All of a training that wrong settings could spoil, built before there is any folder."""

    config: Config
    prepared: PreparedParts
    precision: Resolved
    task: TrainingTask
    loader: ResumableLoader
    valid: DataLoader[Any]
    scorer: ValidationScorer


def _follow(
    kind: TrainingKind[Any], ready: Ready, run: RunFolder | None, resumed: bool
) -> TrainingResult:
    """Train along as another process than the first: it alone makes the run and writes to it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = run or RunFolder(Path(scratch))
        return Fitting(kind, ready, folder, {}, _silent).fit(resumed)


def _silent(line: str) -> None:
    """Say nothing: the first process speaks for all."""


class Fitting:
    """One training, with everything that its parts share."""

    def __init__(
        self,
        kind: TrainingKind[Any],
        ready: Ready,
        run: RunFolder,
        provenance: dict[str, Any],
        say: Say,
    ) -> None:
        self.kind, self.ready, self.config, self.run = kind, ready, ready.config, run
        self.prepared, self.task = ready.prepared, ready.task
        self.precision, self.provenance = ready.precision, provenance
        self.loader, self.valid, self.scorer = ready.loader, ready.valid, ready.scorer
        self.history = History(run, say, kind.line)
        self.recovery = OutOfMemoryRecovery(run.path / LOG_NAME, say)
        keep = self.config.trainer.keep_best
        self.selection = SelectBest(run, self.scorer, self.describe, keep)
        self.guards = kind.guards(self.config, self.prepared, self.selection, say)
        self.seen = {part: sorted({item.sha256 for item in items}) for part, items in self.parts()}
        self.groups = {part: sorted({item.group for item in items}) for part, items in self.parts()}

    def parts(self) -> list[tuple[str, Sequence[Known]]]:
        """What was fitted, and on which items."""
        return [("weights", self.prepared.train), ("selection", self.prepared.valid)]

    def fit(self, resumed: bool) -> TrainingResult:
        """Run Lightning's loop, then write what came of it."""
        with quiet():
            trainer = self.trainer()
        interrupted = False
        try:
            with quiet(), terminate_as_interrupt():
                trainer.fit(
                    self.task,
                    self.loader,
                    self.valid,
                    ckpt_path=str(self.run.last_checkpoint) if resumed else None,
                    # Our own file, with optimizer and random states: not a pickle from elsewhere.
                    weights_only=False if resumed else None,
                )
                # A limit of steps, or epochs without validation, may end it on unseen weights.
                if self.selection.latest.get("step") != trainer.global_step:
                    trainer.validate(self.task, self.valid, verbose=False)
                    self.history.amend(trainer)
            for guard in self.guards:
                if isinstance(guard, ForegroundGuard):
                    guard.look_back()
        except (KeyboardInterrupt, SystemExit):
            interrupted = True
        except FaultlineError as error:
            raise loading_error(error) from error.__cause__
        except ValueError as error:
            raise explained(error, "use a larger data.batch_size or data.crop") from error
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise out_of_memory(error) from error
        results = self.results(trainer, interrupted)
        verdict = self.kind.verdict(self.selection.best) if self.selection.best else ""
        if not trainer.is_global_zero:
            return TrainingResult(self.run, results, interrupted, verdict)
        write_json(self.run.results, results)
        settings = self.config.evaluation
        plot_curves(self.run, file_format=settings.plot_format, dpi=settings.dpi)
        return TrainingResult(self.run, results, interrupted, verdict)

    def callbacks(self) -> list[pl.Callback]:
        """In the order in which they have to act: see SelectBest and ResumePoints."""
        settings = self.config.trainer
        callbacks: list[pl.Callback] = [
            FiniteLoss(), self.recovery, self.selection, self.history, *self.guards
        ]  # fmt: skip
        if settings.early_stopping_patience:
            callbacks.append(
                pl.callbacks.EarlyStopping(
                    f"val/{self.scorer.metric}",
                    mode="max" if self.scorer.higher_is_better else "min",
                    patience=settings.early_stopping_patience,
                    strict=False,
                    check_finite=False,
                )
            )
        if settings.ema:
            callbacks.append(AveragedWeights(settings.ema))
        if sys.stdout.isatty():
            callbacks.append(pl.callbacks.RichProgressBar(leave=False))
        every = settings.checkpoint_every_steps
        return [*callbacks, ResumePoints(self.run.last_checkpoint, self.loader, every)]

    def trainer(self) -> pl.Trainer:
        """Lightning's trainer with our settings."""
        return pl.Trainer(
            **trainer_settings(self.config),
            precision=self.precision.lightning,  # type: ignore[arg-type]
            logger=self.logger(),
            callbacks=self.callbacks(),
            enable_progress_bar=sys.stdout.isatty(),
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            default_root_dir=str(self.run.path),
            log_every_n_steps=10,
        )

    def logger(self) -> Any:
        """TensorBoard's, unless switched off."""
        if not self.config.trainer.tensorboard or process_rank():
            return False
        return pl.loggers.TensorBoardLogger(str(self.run.path), name="tensorboard", version="")

    def describe(self, task: TrainingTask) -> dict[str, Any]:
        """Everything of a bundle but weights, threshold and scores."""
        training = {
            "train": len(self.prepared.train),
            "validation": len(self.prepared.valid),
            "seconds": round(self.history.seconds, 1),
            "loss": self.config.loss,
            "criterion": task.loss_in_force(),
        }
        return {
            "task": self.kind.name,
            "model_name": task.model_name,
            "model_settings": task.model_settings,
            "provenance": {**self.provenance, "training": training},
            "seen": self.seen,
            "groups": self.groups,
            **self.kind.describe(self.config, self.prepared, task),
        }

    def results(self, trainer: pl.Trainer, interrupted: bool) -> dict[str, Any]:
        """What `results.json` holds."""
        speeds = [row["images_per_second"] for row in self.history.rows]
        return {
            "status": "interrupted" if interrupted else "finished",
            "task": self.kind.name,
            "model": self.config.model,
            "loss": self.config.loss,
            "parameters": count_parameters(self.task.network),
            "best": self.selection.best,
            "last": self.selection.latest,
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            "seconds": round(self.history.seconds, 1),
            "images_per_second": sum(speeds) / len(speeds) if speeds else None,
            "criterion": self.task.loss_in_force(),
            "selection": {
                "metric": self.scorer.metric,
                "higher_is_better": self.scorer.higher_is_better,
            },
            "seed": self.config.seed,
            "config": dataclasses.asdict(self.config),
            "provenance": self.provenance,
            **self.kind.results(self.config, self.prepared, self.task),
        }


def _check_place(config: Config) -> None:
    """Refuse a place for runs that cannot be one, before data are read.

    Raises:
        ConfigError: The experiment's name cannot be that of a folder.
        OutputError: The folder of runs is a file.
    """
    if config.experiment is not None:
        check_experiment(config.experiment)
    check_folder(config.output_dir)


def _announce(prepared: PreparedParts, say: Say) -> None:
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
            "holds no checkpoints/last.ckpt to resume from",
            where=run.path,
            remedy="start again with `faultline train`",
        )
    return run
