"""What an ensemble is made of: base models, folds, stages; and how its data are divided."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from faultline.config.schema import Config
from faultline.data.manifest import Item
from faultline.data.prepare import Prepared, prepare
from faultline.data.split import THINNED, Split
from faultline.data.stratified import stratified_folds
from faultline.data.targets import image_targets
from faultline.ensemble.tables import Rows
from faultline.errors import ConfigError, DataError
from faultline.tasks import CLASSIFICATION
from faultline.training.kinds import kind_of, training_config

DEFAULT_FOLDS = 5
DEFAULT_SEED = 42
FULL = "all"
"""Name of the training on the whole training part, beside `fold-0`, `fold-1`, ..."""


@dataclass(frozen=True)
class Rules:
    """Settings of the ensemble itself.

    Attributes:
        folds: Folds of the training part.
        seed: Seed of the folds and of the stages.
        stages: Numbers of the stages that are made.
        warn_gap: Accuracy on training minus validation from which the audit warns.
        halt_gap: The same, from which it halts.
        warn_drop: Loss of validation accuracy from one stage to the next that is warned of.
        anchors: Validation pictures that embeddings are told by; see `Table.relative`.
        student: Model that stage 7 teaches; None takes the first base model.
    """

    folds: int = DEFAULT_FOLDS
    seed: int = DEFAULT_SEED
    stages: tuple[int, ...] = tuple(range(1, 13))
    warn_gap: float = 0.05
    halt_gap: float = 0.10
    warn_drop: float = 0.02
    anchors: int = 48
    student: str | None = None

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"--folds {self.folds}: must be at least 2")
        if not 0 < self.warn_gap <= self.halt_gap:
            raise ConfigError(
                f"--halt-gap {self.halt_gap:g}: must be at least {self.warn_gap:g}, from which the "
                "audit warns"
            )
        if 1 not in self.stages:
            raise ConfigError("--stages must contain 1: all others build on it")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def parse_stages(text: str) -> tuple[int, ...]:
    """Stage numbers of `1-6,8,10`; empty means all.

    Raises:
        ConfigError: It is no such list, or a number is not 1 to 12.
    """
    if not text.strip():
        return tuple(range(1, 13))
    numbers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        try:
            numbers |= set(range(int(first), int(last or first) + 1))
        except ValueError:
            raise ConfigError(
                f"--stages {text}: {part.strip()!r} is no number and no range",
                remedy="write for example 1-3,5",
            ) from None
    if not numbers or not numbers <= set(range(1, 13)):
        raise ConfigError(f"--stages {text}: stages are 1 to 12")
    return tuple(sorted(numbers | {1}))


def member_configs(
    models: Sequence[str], words: Sequence[str], file: Path | None
) -> dict[str, Config]:
    """The settings of each base model, by its name.

    Raises:
        ConfigError: Fewer than two models, one twice, or settings that are wrong.
    """
    if len(models) < 2:
        raise ConfigError(
            f"{len(models)} base models: an ensemble has at least two",
            remedy="name them with --model conv_next --model ghostnet_v2",
        )
    found: dict[str, Config] = {}
    for model in models:
        config = classifier_config(model, words, file)
        name = str(config.model["name"])
        if name in found:
            raise ConfigError(f"--model {model}: {name} is named twice")
        found[name] = config
    return found


def classifier_config(model: str, words: Sequence[str], file: Path | None) -> Config:
    """The settings of one training.

    Raises:
        ConfigError: They are wrong, or the model does not classify.
    """
    named = any(word.startswith("task=") for word in words)
    words = list(words) if named else [f"task={CLASSIFICATION}", *words]
    config = training_config(words, file=file, model=model)
    kind = kind_of(config).name
    if kind != CLASSIFICATION:
        raise ConfigError(f"model {model!r} is for {kind}; ensembles are of classifiers")
    config.task = CLASSIFICATION
    return config


@dataclass(frozen=True)
class Division:
    """The data of an ensemble by what each picture may be used for.

    Attributes:
        prepared: Train, valid and test.
        fold_of: Fold of each training picture by its id.
        folds: Number of folds.
        test_fingerprint: SHA-256 over ids and contents of the test pictures, as they are listed.
    """

    prepared: Prepared
    fold_of: dict[str, int]
    folds: int
    test_fingerprint: str

    @classmethod
    def of(cls, config: Config, rules: Rules) -> Division:
        """Divide the data as `config` says, and the training part into folds.

        Raises:
            DataError: There is no test part, or too few groups.
            LeakageError: Parts overlap.
        """
        prepared = prepare(config.data, config.seed, CLASSIFICATION)
        if not prepared.test:
            raise DataError(
                "there is no test part, and an ensemble is judged on it alone",
                where=config.data.root,
                remedy="set data.test_fraction, or name test pictures with data.test",
            )
        if config.data.test is not None and config.data.group_by != "near_duplicates":
            # The name of a group means something only within one data set.
            prepared.test = [replace(i, group=f"data.test/{i.group}") for i in prepared.test]
        targets = image_targets(prepared.train, prepared.label_space)
        pairs = stratified_folds(prepared.train, targets, rules.folds, rules.seed)
        fold_of = {item.id: k for k, (_, held) in enumerate(pairs) for item in held}
        return cls(prepared, fold_of, rules.folds, fingerprint(prepared.test))

    def parts(self, name: str) -> dict[str, list[Item]]:
        """What the training `name` (`all`, `fold-0`, ...) is given: train and valid, never test."""
        train = self.prepared.train
        if name != FULL:
            number = int(name.removeprefix("fold-"))
            train = [item for item in train if self.fold_of[item.id] != number]
        return {"train": list(train), "valid": list(self.prepared.valid)}

    def held_out(self, fold: int) -> list[Item]:
        """Training pictures that fold `fold` holds out."""
        return [item for item in self.prepared.train if self.fold_of[item.id] == fold]

    def trainings(self) -> list[str]:
        """Names of the trainings of one member."""
        return [*(f"fold-{number}" for number in range(self.folds)), FULL]

    def rows(self, items: Sequence[Item]) -> Rows:
        """The pictures as rows of a table."""
        trained = {item.sha256 for item in self.prepared.train}
        return Rows(
            tuple(item.id for item in items),
            tuple(item.sha256 for item in items),
            tuple(item.group for item in items),
            image_targets(items, self.prepared.label_space).astype(bool),
            np.array([self.fold_of[i.id] if i.sha256 in trained else -1 for i in items], np.int64),
        )

    def anchors(self, count: int, seed: int) -> list[Item]:
        """Validation pictures that every network embeds; see `Table.relative`."""
        valid = self.prepared.valid
        order = np.random.default_rng(seed).permutation(len(valid))[:count]
        return [valid[index] for index in sorted(order)]

    def save_splits(self, folder: Path, seed: int) -> None:
        """One split file for each training, and `folds.json` for people."""
        for name in self.trainings():
            # They leave out the test part, and the fold: to the reader of splits that is thinned.
            Split(self.parts(name), f"{name} of an ensemble{THINNED}", seed).save(
                folder / f"{name}.json"
            )

    def training(self, config: Config, folder: Path, member: str, name: str) -> Config:
        """Settings of the training `name` of a member, whose split lies in `folder`/splits."""
        config = copy.deepcopy(config)
        config.data.split_file = str(folder / "splits" / f"{name}.json")
        config.data.split_strategy, config.data.folds, config.data.fold = "auto", 0, 0
        config.data.test, config.data.thin = None, {}
        config.experiment, config.output_dir = name, str(folder / "members" / member)
        return config


def fingerprint(items: Sequence[Item]) -> str:
    """SHA-256 over ids, contents and labels of pictures; the order does not matter."""
    digest = hashlib.sha256()
    for row in sorted((item.id, item.sha256, str(item.targets)) for item in items):
        digest.update(json.dumps(row).encode() + b"\n")
    return digest.hexdigest()
