"""Which recordings a recogniser is scored on, and what they are called."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faultline.artifacts.run import CONFIG_NAME, home_of
from faultline.data.manifest import Problem
from faultline.errors import ConfigError, DataError
from faultline.speech.config import SpeechConfig
from faultline.speech.data.manifest import NAME, Utterance, located, read_manifest
from faultline.speech.data.prepare import TOY
from faultline.speech.data.splits import take
from faultline.speech.settings import load_speech_config

_USUAL = Path(NAME).stem
_COLUMN = "column"
_NAME_LENGTH = 80


@dataclass(frozen=True)
class NamedTest:
    """Recordings to score, as settings name them.

    Attributes:
        config: Of the run, with the user's words.
        own: Whether they are those that the run set aside, so that their scores are its own.
    """

    config: SpeechConfig
    own: bool

    @property
    def root(self) -> Path | None:
        """The folder of the manifest, or the manifest if it has a name of its own; None for toys.

        In tables its name stands for the test set.
        """
        if self.config.data.manifest == TOY:
            return None
        file = _manifest_file(self.config)
        return file.parent if file.stem == _USUAL else file

    @property
    def name(self) -> str:
        """For people: the folder, and the rule where it is not the usual one."""
        root = self.root
        if root is None:
            return TOY
        name = root.name if root.is_dir() else root.stem
        rule = self.config.data.test.removeprefix(_COLUMN).removeprefix(":")
        return f"{name}-{rule}" if rule else name

    def folder_name(self, *, told: bool) -> str:
        """Where results go, below the run: scores of other recordings never replace its own.

        Args:
            told: Whether the recogniser was told which phrases to expect.
        """
        safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in self.name)
        parts = ["evaluation", "" if self.own else safe[:_NAME_LENGTH], "phrases" if told else ""]
        return "-".join(filter(None, parts))


def named_test(weights: str | Path, words: Sequence[str] = ()) -> NamedTest:
    """The recordings to score `weights` on: those of the run, or those that `words` name.

    The rule of a run is about its own manifest; of another one, `column` is taken if no rule is
    given.

    Raises:
        BundleError: There are no such weights.
        ConfigError: A setting is wrong, or no recordings are named.
    """
    file = home_of(weights) / CONFIG_NAME
    trained = load_speech_config(file=file) if file.is_file() else None
    config = load_speech_config(words, file=None if trained is None else file)
    if not config.data.manifest:
        raise ConfigError("no recordings to score", remedy="give data=MANIFEST")
    ruled = any(word.partition("=")[0] == "data.test" for word in words)
    if not ruled and (trained is None or _manifest_file(trained) != _manifest_file(config)):
        config.data.test = _COLUMN
    return NamedTest(config, trained is not None and _identity(trained) == _identity(config))


def readable_utterances(test: NamedTest) -> tuple[list[Utterance], list[Problem]]:
    """The recordings that are scored, and what of the manifest cannot be.

    Of a manifest without splits, `column` takes everything.

    Raises:
        ConfigError: The rule names no recording, or cannot be followed.
        DataError: There is no manifest, or nothing of it can be used.
    """
    manifest = read_manifest(str(test.config.data.manifest))
    rule = test.config.data.test
    if rule == _COLUMN and not any(u.split for u in manifest.utterances):
        chosen = set(manifest.utterances)
    else:
        rng = np.random.default_rng(test.config.seed)
        chosen = take(manifest.utterances, rule, "test", rng)
    if not chosen:
        raise ConfigError(f"data.test={rule} names no recording", where=manifest.source)
    found, problems = [], list(manifest.problems)
    for utterance in (u for u in manifest.utterances if u in chosen):
        try:
            _ = utterance.sha256  # which needs the file, and tells whether it was trained on
            found.append(utterance)
        except DataError as error:
            problems.append(Problem(utterance.id, str(error)))
    return found, problems


def _manifest_file(config: SpeechConfig) -> Path:
    """The manifest's file; where there is none, the path as it is."""
    path = Path(str(config.data.manifest))
    with contextlib.suppress(DataError):
        path = located(path)
    return path.resolve()


def _identity(config: SpeechConfig) -> tuple[object, ...]:
    """All that says which recordings test."""
    data = config.data
    if data.manifest == TOY:
        return TOY, config.seed, data.toy_count, data.toy_tokens, data.toy_length, data.toy_noise
    drawn = data.test.partition(":")[0] == "fraction"
    return _manifest_file(config), data.test, config.seed if drawn else None
