"""What the kinds of runs differ in: how they are configured, trained and scored."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from faultline.artifacts.run import RunFolder
from faultline.config.compose import from_yaml, to_yaml
from faultline.config.schema import Config
from faultline.errors import ConfigError, DataError
from faultline.evaluation.command import evaluate_weights
from faultline.models import MODELS
from faultline.registry import Registry
from faultline.training.fit import train
from faultline.training.kinds import Say, check_settings, kind_of, training_config

PICTURES = "pictures"
SPEECH = "speech"


@dataclass(frozen=True, slots=True)
class Runner:
    """How runs of one kind are made. All configurations are dataclasses of that kind.

    Attributes:
        load: (words, file) -> configuration, as `faultline train` would read it.
        check: Raises ConfigError for names and settings that would only be found when training.
        read: `config.yaml` -> configuration.
        write: Configuration, whose paths become absolute -> text of a `config.yaml`.
        train: (configuration, say, run to go on with) -> `run`, `results` and `interrupted`.
        evaluate: (run folder, say) -> folder of the results on its test set; None without one.
        prepare: Configuration -> imported data with its `fingerprint`.
    """

    load: Callable[[Sequence[str], Path | None], Any]
    check: Callable[[Any], None]
    read: Callable[[Path], Any]
    write: Callable[[Any], str]
    train: Callable[[Any, Say, Path | None], Any]
    evaluate: Callable[[Path, Say], Path | None]
    prepare: Callable[[Any], Any]


RUNNERS: Registry[Runner] = Registry("kind of run", "faultline.runners")
"""Kinds of runs by name."""


def kind_of_words(words: Sequence[str]) -> tuple[str, list[str]]:
    """The kind of run that `words` ask for (`task=speech`), and the words without that."""
    tasks = [word.partition("=")[2] for word in words if word.startswith("task=")]
    if not tasks or tasks[-1] not in RUNNERS or tasks[-1] == PICTURES:
        return PICTURES, list(words)
    return tasks[-1], [word for word in words if not word.startswith("task=")]


def kind_of_run(settings: dict[str, Any]) -> str:
    """The kind of run that a `config.yaml` with these sections belongs to."""
    named = str(settings.get("task"))
    if named in RUNNERS:
        return named
    return SPEECH if "frontend" in settings else PICTURES


@RUNNERS.register(PICTURES)
def _pictures() -> Runner:
    """Everything that `faultline train` trains."""

    def write(config: Any) -> str:
        kind_of(config).settle_paths(config)
        return to_yaml(config)

    return Runner(
        load=lambda words, file: training_config(words, file=file),
        check=check_parts,
        read=from_yaml,
        write=write,
        train=lambda config, say, resume: train(config, say=say, resume=resume),
        evaluate=lambda run, say: (
            evaluate_weights(run, say=say).folder if has_test_items(run) else None
        ),
        prepare=lambda config: kind_of(config).prepare(config),
    )


@RUNNERS.register(SPEECH)
def _speech() -> Runner:
    """Recognisers, as `faultline speech train` trains them; asked for by `task=speech`."""
    # Its own dependencies are optional.
    from faultline.speech.data.prepare import TOY, check_source
    from faultline.speech.evaluate import evaluate_speech
    from faultline.speech.fit import train_speech
    from faultline.speech.kind import SpeechKind
    from faultline.speech.network_settings import check_network
    from faultline.speech.settings import load_speech_config, to_yaml

    def check(config: Any) -> None:
        problems = []
        for look in (check_source, check_network):
            try:
                look(config)
            except (ConfigError, DataError) as error:
                problems.append(str(error))
        if problems:
            raise ConfigError("; ".join(problems))

    def write(config: Any) -> str:
        SpeechKind().settle_paths(config)
        return to_yaml(config)

    def evaluate(run: Path, say: Say) -> Path | None:
        # The toy task draws its test items when it is evaluated.
        toy = load_speech_config(file=RunFolder(run).config).data.manifest == TOY
        return evaluate_speech(run, say=say).folder if toy or has_test_items(run) else None

    return Runner(
        load=lambda words, file: load_speech_config(words, file=file),
        check=check,
        read=lambda path: load_speech_config(file=path),
        write=write,
        train=lambda config, say, resume: train_speech(config, say=say, resume=resume),
        evaluate=evaluate,
        prepare=SpeechKind().prepare,
    )


def has_test_items(run: Path) -> bool:
    """Whether the training kept, or was named, items to test on.

    Raises:
        ConfigError: `splits.json` cannot be read.
    """
    path = run / "splits.json"
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")).get("test"))
    except (OSError, ValueError) as error:
        raise ConfigError("cannot be read", where=path) from error


def check_parts(config: Config) -> None:
    """Make sure that what is named exists, and that the network takes its settings.

    Raises:
        ConfigError: It does not.
    """
    check_settings(config)
    model = dict(config.model)
    _check_values(str(model.pop("name")), model)


def _check_values(name: str, settings: dict[str, Any]) -> None:
    """Build the network without memory, which tells values that it refuses."""
    known = MODELS.get(name).settings()
    given = {**settings, "pretrained": False} if "pretrained" in known else settings
    try:
        with torch.device("meta"):
            MODELS.build(name, **given)
    except ConfigError:
        raise
    except Exception:
        # Some networks look at numbers while they are built, which tensors without memory do not
        # have. What they refuse is found out when they train.
        return
