"""What `faultline evaluate` does: find the weights, find pictures they have not seen, score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faultline.artifacts.bundle import Bundle, check_model, load_bundle
from faultline.artifacts.run import CONFIG_NAME, home_of
from faultline.config.compose import asked_threshold, load_config
from faultline.config.paths import same_folder
from faultline.config.schema import Config
from faultline.data.manifest import SPLIT_ORDER, Item, Problem, canonical_split
from faultline.data.prepare import load_manifest, prepare
from faultline.data.split import Split
from faultline.errors import DataError
from faultline.predict.command import known_task
from faultline.tasks import task_verb
from faultline.types import LabelSpace


@dataclass(frozen=True)
class TestSet:
    """Pictures to score on.

    Attributes:
        items: The pictures.
        label_space: What their labels mean.
        root: Folder they come from.
        split: Part of it.
        problems: What the import left out.
        same_data_set: Whether the weights were trained on another part of this data set.
        parts: The split that it is a part of, where the weights come from this data set.
        is_own: Whether the training kept, or named, exactly these pictures for testing.
    """

    items: list[Item]
    label_space: LabelSpace
    root: Path
    split: str
    problems: Sequence[Problem]
    same_data_set: bool
    parts: Split | None = None
    is_own: bool = False


@dataclass(frozen=True)
class EvaluateRequest:
    """What is to be scored, and how.

    Attributes:
        bundle: The weights.
        home: Folder where results on them belong.
        config: Settings in force.
        trained: Those that the weights were trained with, if known.
        threshold: Wins over the bundle's; None leaves it.
        save: The output folder; None for the usual one.
        tta: Average over mirrored copies.
        device: See `Predictor`.
        precision: See `Predictor`.
        say: Takes lines of text.
    """

    bundle: Bundle
    home: Path
    config: Config
    trained: Config | None = None
    threshold: float | None = None
    save: Path | None = None
    tta: bool = False
    device: str = "auto"
    precision: str = "auto"
    say: Callable[[str], None] = print

    def test_set(self) -> TestSet:
        """The pictures to score on; see `find_test_set`."""
        return find_test_set(self.config, self.trained, self.bundle.task)

    def folder(self, test: TestSet) -> Path:
        """Where results go."""
        return self.save if self.save is not None else _output(self.home, test)


@dataclass(frozen=True)
class Outcome:
    """What an evaluation found, and where it was written.

    Attributes:
        folder: The output folder.
        metrics: Everything that was found, as plain values.
        lines: What the console shows.
    """

    folder: Path
    metrics: dict[str, Any]
    lines: tuple[str, ...] = ()

    def summary(self) -> list[str]:
        """Lines for the console."""
        # Only where the weights say what they have seen can anything be said about it.
        checked = ["never seen by the weights"] if self.metrics["leakage"]["checked"] else []
        return [*checked, *self.lines]


def evaluate_weights(
    weights: str | Path,
    overrides: Sequence[str] = (),
    *,
    config_file: str | Path | None = None,
    threshold: float | None = None,
    save: str | Path | None = None,
    tta: bool = False,
    device: str = "auto",
    precision: str = "auto",
    model: str | None = None,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Score the bundle at `weights` on pictures that it has not seen, as its task does.

    Which pictures: those of `data.test`; else, of `data`, the test set that the training kept
    (the same data set) or the `test` split, the `valid` split or all of it (another data set).

    Raises:
        LeakageError: The weights have seen some of them.
        DataError: There are no pictures to score on.
        BundleError: The weights cannot be used.
    """
    bundle = load_bundle(weights)
    check_model(bundle, model)
    known_task(bundle)
    home = home_of(weights)
    own = home / CONFIG_NAME
    trained = load_config(file=own) if own.is_file() else None
    config = _settings(overrides, own if trained else None, config_file, trained)
    if threshold is None:
        threshold = asked_threshold(overrides, file=config_file)
    request = EvaluateRequest(
        bundle, home, config, trained, threshold, None if save is None else Path(save), tta,
        device, precision, say,
    )  # fmt: skip
    outcome: Outcome = task_verb(bundle.task, "evaluate")(request)
    return outcome


def _settings(
    overrides: Sequence[str],
    own: Path | None,
    config_file: str | Path | None,
    trained: Config | None,
) -> Config:
    """The run's settings, then the file's, then the words of this call."""
    files = [path for path in (own, config_file) if path is not None]
    config = load_config(overrides, file=files)
    if trained is None or same_folder(trained.data.root, config.data.root):
        return config
    if config.data.test == trained.data.test:
        # Another data set was asked for: the test set of the training's own does not go with it.
        config.data.test = None
    return config


def find_test_set(config: Config, trained: Config | None, task: str = "segmentation") -> TestSet:
    """The pictures that `config` means to score on.

    Args:
        config: Settings in force.
        trained: Those that the weights were trained with, if known.
        task: What the weights answer, which decides how labels are read.

    Raises:
        DataError: There are none.
    """
    if config.data.root is None and config.data.test is None:
        raise DataError(
            "there is nothing to evaluate on: no data set is named, and the weights do not lie "
            "in a run folder that names one",
            remedy="add data=FOLDER or data.test=FOLDER",
        )
    if trained is not None and same_folder(trained.data.root, config.data.root):
        return _kept_by_training(config, trained, task)
    return _of_another(config, task)


def _kept_by_training(config: Config, trained: Config, task: str) -> TestSet:
    prepared = prepare(config.data, config.seed, task)
    if not prepared.test:
        raise DataError(
            "the training kept no test pictures",
            where=config.data.root,
            remedy="add data.test=FOLDER with labelled pictures that were not trained on",
        )
    root = Path(config.data.test or str(config.data.root))
    split = prepared.test[0].split or "held out"
    own, asked = trained.data.test, config.data.test
    return TestSet(prepared.test, prepared.label_space, root, split, prepared.problems,
                   same_data_set=asked is None, parts=prepared.split,
                   is_own=own == asked or same_folder(own, asked))  # fmt: skip


def _of_another(config: Config, task: str) -> TestSet:
    root = config.data.test or config.data.root
    chosen = config.data.test_format if config.data.test else config.data.format
    manifest = load_manifest(config.data, root, chosen, task)
    for split in ("test", "valid"):
        if manifest.split(split):
            return TestSet(manifest.split(split), manifest.label_space, manifest.root, split,
                           manifest.problems, same_data_set=False)  # fmt: skip
    return TestSet(list(manifest.items), manifest.label_space, manifest.root, "all of it",
                   manifest.problems, same_data_set=False)  # fmt: skip


def _output(home: Path, test: TestSet) -> Path:
    """Beside the weights; another test set gets a folder of its own, so that none is lost."""
    return home if test.is_own else home / f"evaluation-{_folder_name(test.root)}"


def data_name(root: Path) -> str:
    """Name of a data set for people: a split's folder is named with the one it lies in."""
    resolved = root.expanduser().resolve()
    is_split = canonical_split(resolved.name) in SPLIT_ORDER
    return f"{resolved.parent.name}-{resolved.name}" if is_split else resolved.name


def _folder_name(root: Path) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in data_name(root))
