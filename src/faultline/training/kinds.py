"""What a kind of training provides; `faultline.training.fit` does the rest for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import lightning.pytorch as pl
from torch.utils.data import DataLoader

from faultline.artifacts.run import RunFolder
from faultline.config.compose import from_yaml, load_config, to_yaml
from faultline.config.paths import make_absolute
from faultline.config.schema import Config
from faultline.errors import ConfigError
from faultline.models import MODELS
from faultline.models.registry import NETWORK_ONLY
from faultline.registry import Entry
from faultline.tasks import AUTO, SEGMENTATION, TASKS, task_verb
from faultline.training.dual_rules import dual_faults
from faultline.training.parts import part_faults
from faultline.training.resume import ResumableLoader
from faultline.training.selection import SelectBest, ValidationScorer
from faultline.training.task import TrainingTask

Say = Callable[[str], None]


class Known(Protocol):
    """What must be known of an item: who it is, and what it may not be parted from."""

    @property
    def id(self) -> str:
        """Unique in its data set."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of the file's content."""
        ...

    @property
    def group(self) -> str:
        """Items of one group show the same thing."""
        ...


class ProblemLike(Protocol):
    """A file that could not be used, and why."""

    @property
    def file(self) -> str:
        """The file."""
        ...

    @property
    def reason(self) -> str:
        """Why."""
        ...


class PreparedParts(Protocol):
    """Items by role, as `faultline.data.prepare.Prepared` holds them."""

    @property
    def train(self) -> Sequence[Known]:
        """Items that weights are fitted on."""
        ...

    @property
    def valid(self) -> Sequence[Known]:
        """Items that epoch and threshold are chosen on."""
        ...

    @property
    def test(self) -> Sequence[Known]:
        """Items that nothing is chosen on."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of the data set."""
        ...

    @property
    def problems(self) -> Sequence[ProblemLike]:
        """Files left out."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What was decided on the user's behalf."""
        ...


P = TypeVar("P", bound=PreparedParts)


class TrainingKind(ABC, Generic[P]):
    """The parts of a training that depend on what is learnt. Subclasses are final.

    They are called in the order in which they stand here. `name` is what the bundle says.
    """

    name: ClassVar[str]

    @abstractmethod
    def prepare(self, config: Config) -> P:
        """Import and split the data.

        Raises:
            DataError: It cannot be used.
            LeakageError: Parts overlap.
        """

    @abstractmethod
    def task(self, config: Config, prepared: P) -> TrainingTask:
        """The module to train. Built before any folder is made: wrong settings are found here."""

    @abstractmethod
    def training_loader(self, config: Config, prepared: P) -> ResumableLoader:
        """Batches to learn from; their order depends on seed and epoch only."""

    @abstractmethod
    def validation_loader(self, config: Config, prepared: P) -> DataLoader[Any]:
        """Batches to choose on."""

    @abstractmethod
    def scorer(self, config: Config, prepared: P, precision: str) -> ValidationScorer:
        """What scores a validation and chooses thresholds; it names the metric selected by."""

    def guards(
        self, config: Config, prepared: P, selection: SelectBest, say: Say
    ) -> list[pl.Callback]:
        """Callbacks that watch for failures of this kind, after each validation."""
        return []

    @abstractmethod
    def describe(self, config: Config, prepared: P, task: Any) -> dict[str, Any]:
        """Fields of the bundle besides state, threshold, metrics, provenance and seen items.

        At least `label_space`, `normalisation` and `input`; `extra` for what only this kind
        knows.
        """

    def remarks(self, config: Config, prepared: P, task: Any) -> list[str]:
        """Lines that are said before the training starts."""
        return []

    def keep(self, run: RunFolder, prepared: P) -> None:
        """Write more of what was prepared into a new run."""

    def results(self, config: Config, prepared: P, task: Any) -> dict[str, Any]:
        """More entries of `results.json`."""
        return {}

    @abstractmethod
    def line(self, row: dict[str, Any]) -> str:
        """The scores of one row of `metrics.csv`, for the console."""

    def verdict(self, best: dict[str, Any]) -> str:
        """One line on the best epoch, for the end of the training; empty for none."""
        return ""

    def read_config(self, path: Path) -> Any:
        """The configuration of a run that goes on."""
        return from_yaml(path)

    def settle_paths(self, config: Any) -> None:
        """Make the paths in `config` hold from any folder, before a run keeps it."""
        make_absolute(config)

    def write_config(self, config: Any) -> str:
        """The run's `config.yaml`."""
        return to_yaml(config)


def kind_of(config: Config) -> TrainingKind[Any]:
    """The kind of training that `config` asks for; `auto` goes by the model.

    Raises:
        ConfigError: The model is made for another task.
    """
    entry = MODELS.get(str(config.model["name"]))
    made_for = tasks_of(entry)
    if not made_for:
        raise ConfigError(
            f"model {entry.name!r} is a network only: no training here fits it",
            where="model.name",
            remedy=f"build it with faultline.models.create_model({entry.name!r}), or use another "
            "of `faultline list models`",
        )
    name = made_for[0] if config.task == AUTO else config.task
    if name not in made_for:
        fitting = [other.name for other in MODELS if name in tasks_of(other)]
        raise ConfigError(
            f"model {entry.name!r} is made for {' and '.join(made_for)}, not for {name}",
            where="task",
            remedy=f"leave out task, or use one of: {', '.join(fitting)}",
        )
    kind: TrainingKind[Any] = task_verb(name, "train")()
    return kind


def training_config(
    overrides: Sequence[str] = (),
    *,
    file: str | Path | Sequence[str | Path] | None = None,
    model: str | None = None,
) -> Config:
    """`load_config` with the defaults of the task that the model is made for.

    Raises:
        ConfigError: See `load_config` and `setting_faults`, all in one message.
    """
    return load_config(
        overrides, file=file, model=model, task_of=task_of_model, faults_of=setting_faults
    )


def setting_faults(config: Config) -> list[str]:
    """Names and settings that nothing here has, and a model that is not made for the task."""
    problems = part_faults(config)
    if config.model.get("name") in MODELS and config.task in (AUTO, *TASKS.names()):
        try:
            kind_of(config)
        except ConfigError as error:
            problems.append(str(error))
        made_for = tasks_of(MODELS.get(str(config.model["name"])))
        problems += dual_faults(config, made_for)
    return problems


def check_settings(config: Config) -> None:
    """Refuse what `setting_faults` finds, before any data are read.

    Raises:
        ConfigError: All of it, in one message.
    """
    if problems := setting_faults(config):
        raise ConfigError("; ".join(problems))


def task_of_model(name: str) -> str:
    """The first task that the model `name` is made for; `auto` for an unknown name."""
    made_for = tasks_of(MODELS.get(name)) if name in MODELS else []
    return made_for[0] if made_for else AUTO


def tasks_of(model: Entry[Any]) -> list[str]:
    """Tasks that a registered model is made for, by its tags; segmentation where it has none.

    None of a model that is tagged as a network only.
    """
    named = sorted(model.tags & set(TASKS.names()))
    return named or ([] if NETWORK_ONLY in model.tags else [SEGMENTATION])


def shown(row: dict[str, Any], key: str) -> str:
    """A logged value with three digits, or a dash."""
    value = row.get(key)
    return "-" if value is None else f"{value:.3f}"
