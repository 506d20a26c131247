"""What is analysed: the runs, and the pictures of training and validation that they share.

Document 2, section 8.1: pictures that test are not looked at, neither those of the split in force
nor those that any of the runs keeps for testing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from faultline.artifacts.bundle import Bundle, load_bundle
from faultline.artifacts.contents import Threshold
from faultline.artifacts.run import CONFIG_NAME, home_of
from faultline.artifacts.unseen import check_unseen
from faultline.config.schema import Config
from faultline.data.dual_prepare import of_classes
from faultline.data.manifest import Item, Problem
from faultline.data.prepare import Prepared, prepare
from faultline.data.split import hashes_of_part
from faultline.errors import BundleError, ConfigError, LeakageError
from faultline.evaluation.classification.kept_apart import check_test_unseen, settings_of_runs
from faultline.predict.dual_head import classes_of
from faultline.tasks import CLASSIFICATION, DUAL_HEAD
from faultline.types import LabelSpace

SPLIT_NAME = "split.json"


@dataclass(frozen=True, slots=True)
class Run:
    """One trained classifier, without its weights: they are loaded when its turn comes.

    Attributes:
        name: As it is shown; no two are the same.
        path: As it was given.
        home: Folder of its results.
        side: 0, or 1 for a run that the others are compared with (`--against`).
        model: Name of the model.
        fingerprint: Of its bundle.
        threshold: Where its answers are cut; the fingerprint leaves it out.
    """

    name: str
    path: Path
    home: Path
    side: int
    model: str
    fingerprint: str
    threshold: Threshold = field(default_factory=Threshold)

    def load(self) -> Bundle:
        """The classifier; of a network with two heads, the one that names classes.

        Raises:
            BundleError: The file is gone or damaged.
        """
        return _classifier(self.path)


@dataclass(frozen=True)
class Subject:
    """Runs and pictures.

    Attributes:
        root: Folder of the data set.
        config: Settings in force.
        runs: In the order given, those of `--against` last.
        space: Classes and kind.
        train: Pictures of training.
        valid: Pictures of validation.
        test: Number of pictures that test and are not looked at.
        fingerprint: Hash of the data set.
        split: Hash of the split.
        problems: Files that cannot be used.
        notes: What was decided on the user's behalf.
    """

    root: Path
    config: Config
    runs: list[Run]
    space: LabelSpace
    train: list[Item]
    valid: list[Item]
    test: int
    fingerprint: str
    split: str
    problems: Sequence[Problem] = ()
    notes: Sequence[str] = field(default=())


def find_subject(
    overrides: Sequence[str],
    weights: Sequence[Path],
    against: Sequence[Path] = (),
    config_file: Path | None = None,
) -> Subject:
    """The pictures of training and validation, for the classifiers at `weights` and `against`.

    Raises:
        ConfigError: One run is given twice.
        BundleError: Something given does not classify, or names other classes than the data set.
        DataError: There is no data set.
        LeakageError: A run has seen test pictures, keeps some of the pictures for testing, or was
            trained on pictures that validate in this split.
    """
    paths = [*weights, *against]
    config, same_data = settings_of_runs(overrides, paths, config_file)
    prepared = prepare(of_classes(config.data), config.seed, CLASSIFICATION)
    runs = []
    for place, path in enumerate(paths):
        bundle = _classifier(path)
        _check_classes(bundle, prepared.label_space)
        check_test_unseen(bundle, prepared.test, same_data)
        _check_validation(bundle, prepared.valid)
        home = home_of(path)
        _check_kept(path, home, prepared)
        side = int(place >= len(weights))
        runs.append(
            Run(_name(path, home), path, home, side, bundle.model_name, bundle.fingerprint,
                bundle.threshold)
        )  # fmt: skip
    return Subject(
        Path(str(config.data.root)), config, _told_apart(runs), prepared.label_space,
        prepared.train, prepared.valid, len(prepared.test), prepared.fingerprint,
        "" if prepared.split is None else prepared.split.hash, prepared.problems, prepared.notes,
    )  # fmt: skip


def _classifier(path: Path) -> Bundle:
    bundle = load_bundle(path)
    if bundle.task == DUAL_HEAD:
        return classes_of(bundle)
    if bundle.task != CLASSIFICATION:
        raise BundleError(
            f"does {bundle.task}; what is analysed here are classifiers",
            where=bundle.source,
            remedy="give runs of `faultline train task=classification` or model=dual_head",
        )
    return bundle


def _check_classes(bundle: Bundle, space: LabelSpace) -> None:
    own = bundle.label_space
    if own.kind is space.kind and set(own.names) == set(space.names):
        return
    raise BundleError(
        f"names {', '.join(own.names)} ({own.kind.value}), the data set shows "
        f"{', '.join(space.names)} ({space.kind.value})",
        where=bundle.source,
        remedy="analyse runs of one data set together, and give data=FOLDER of that one",
    )


def _check_validation(bundle: Bundle, valid: Sequence[Item]) -> None:
    try:
        check_unseen(bundle, valid, parts=["weights"], what="validation pictures")
    except LeakageError as error:
        raise LeakageError(
            f"was trained on pictures that validate in this split: "
            f"{error.what.partition('but ')[2]}",
            where=bundle.source,
            remedy="mistakes on pictures that it knows say nothing: analyse runs that were trained "
            "on one split together",
        ) from error


def _check_kept(path: Path, home: Path, prepared: Prepared) -> None:
    """Refuse pictures that a run's own split keeps for testing."""
    if not (home / SPLIT_NAME).is_file():
        return
    kept = hashes_of_part(home / SPLIT_NAME, "test")
    shared = [item.id for item in (*prepared.train, *prepared.valid) if item.sha256 in kept]
    if shared:
        raise LeakageError(
            f"keeps {len(shared)} of the pictures for testing (such as {shared[0]}): they would be "
            "looked at",
            where=path,
            remedy="analyse runs that were trained on one split together, or give data.split_file "
            "of a split that they share",
        )


def _name(path: Path, home: Path) -> str:
    """Experiment of a run, else the name of the file."""
    if (home / CONFIG_NAME).is_file():
        return home.resolve().parent.name
    return path.stem if path.is_file() else path.resolve().name


def _told_apart(runs: Sequence[Run]) -> list[Run]:
    """The same runs with names of their own; one weights file may come once only."""
    twice = [run for run in runs if sum(o.fingerprint == run.fingerprint for o in runs) > 1]
    if twice:
        raise ConfigError(
            f"{', '.join(str(run.path) for run in twice)} are the same weights",
            remedy="give every run once",
        )
    found: list[Run] = []
    for run in runs:
        used = {one.name for one in found}
        name, number = run.name, 2
        while name in used:
            name, number = f"{run.name} ({number})", number + 1
        found.append(replace(run, name=name))
    return found
