"""A training that is part of something larger: found finished, gone on with, or started."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

from faultline.artifacts.run import RunFolder, resolve_run
from faultline.config.compose import from_yaml
from faultline.config.paths import make_absolute
from faultline.config.schema import Config
from faultline.errors import ConfigError
from faultline.training.fit import train
from faultline.training.kinds import Say, TrainingKind


def trained_once(
    config: Config,
    say: Say,
    what: str = "this fold",
    kind: TrainingKind[Any] | None = None,
) -> RunFolder | None:
    """The finished run of `config` in `output_dir/experiment`; None where it was stopped.

    Args:
        config: Its settings, `experiment` among them; it is not changed.
        say: Takes lines of text.
        what: What is trained, for the message.
        kind: What is learnt; None goes by `config.task`.

    Raises:
        ConfigError: A run with other settings is there.
        FaultlineError: See `faultline.training.fit.train`.
    """
    run = _existing(config, what)
    if run is not None and is_finished(run):
        say(f"  done before: {run.path}")
        return run
    resume = run.path if run is not None and run.last_checkpoint.is_file() else None
    result = train(
        copy.deepcopy(config), say=lambda line: say(f"  {line}"), resume=resume, kind=kind
    )
    return None if result.interrupted else result.run


def is_finished(run: RunFolder) -> bool:
    """Whether a training came to its end, and left weights."""
    try:
        status = json.loads(run.results.read_text(encoding="utf-8")).get("status")
    except (OSError, ValueError, AttributeError):
        return False
    return bool(status == "finished") and run.best.is_file()


def _existing(config: Config, what: str) -> RunFolder | None:
    """The newest run of this name, if its settings are these.

    Raises:
        ConfigError: They are others.
    """
    home = Path(config.output_dir) / str(config.experiment)
    try:
        run = RunFolder(resolve_run(home))
    except ConfigError:
        return None
    both = from_yaml(run.config), copy.deepcopy(config)
    for one in both:
        make_absolute(one)
    kept, wanted = (dataclasses.asdict(one) for one in both)
    # Resolved when the run was made: the format, not the wish, is stored.
    kept["trainer"]["precision"] = wanted["trainer"]["precision"]
    changed = sorted(key for key in wanted if kept[key] != wanted[key] and key != "output_dir")
    if changed:
        raise ConfigError(
            f"{what} was trained with other settings ({', '.join(changed)})",
            where=run.path,
            remedy="give another folder with --save, or remove this one",
        )
    return run
