"""Which pictures get labels: those of training and validation, never those that test.

Document 2, section 8.1. The split is that of the classifiers' own run where they were trained on
the same data set, so that what their training kept for testing is never looked at here either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faultline.artifacts.bundle import Bundle, load_bundle
from faultline.config.schema import Config
from faultline.data.manifest import Item, Problem
from faultline.data.prepare import prepare
from faultline.errors import ConfigError, DataError
from faultline.evaluation.classification.kept_apart import check_test_unseen, settings_of_runs
from faultline.tasks import CLASSIFICATION
from faultline.types import LabelKind

LABELLED_PARTS = ("train", "valid")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is to be labelled.

    Attributes:
        item: As the manifest has it.
        class_name: Name of its class in the data set.
        part: "train" or "valid".
    """

    item: Item
    class_name: str
    part: str


@dataclass(frozen=True)
class Pictures:
    """What is to be labelled, and with what.

    Attributes:
        root: Folder of the data set.
        pictures: In order of ids.
        names: Classes of the data set.
        bundles: The classifiers.
        split: Hash of the split.
        config: Settings in force.
        test_sha256: Hashes of the test pictures, which get no label.
        problems: Files that cannot be used.
        notes: What was decided on the user's behalf.
    """

    root: Path
    pictures: list[Picture]
    names: tuple[str, ...]
    bundles: list[Bundle]
    split: str
    config: Config
    test_sha256: list[str]
    problems: Sequence[Problem] = ()
    notes: Sequence[str] = ()


def find_pictures(
    overrides: Sequence[str], weights: Sequence[Path], config_file: Path | None = None
) -> Pictures:
    """Pictures of training and validation, with the classifiers at `weights`.

    Args:
        overrides: Settings, `data=FOLDER` among them; may be left out where a run names it.
        weights: Runs or bundles of classifiers; may be none.
        config_file: YAML of settings.

    Raises:
        LeakageError: A classifier was fitted or tuned on a picture that tests.
        DataError: There is no data set, or its pictures do not show one class each.
    """
    bundles = [load_bundle(path) for path in weights]
    config, same_data = settings_of_runs(overrides, weights, config_file)
    prepared = prepare(config.data, config.seed, CLASSIFICATION)
    if prepared.label_space.kind is not LabelKind.MULTICLASS:
        raise DataError(
            f"pictures are labelled {prepared.label_space.kind.value}: each must show one class",
            where=config.data.root,
            remedy="put the pictures of each class into a folder of its own",
        )
    names = prepared.label_space.names
    for bundle in bundles:
        check_test_unseen(bundle, prepared.test, same_data)
    pictures = [
        Picture(item, names[(item.targets or (0,))[0]], part)
        for part in LABELLED_PARTS
        for item in getattr(prepared, part)
    ]
    pictures.sort(key=lambda one: one.item.id)
    split = "" if prepared.split is None else prepared.split.hash
    return Pictures(
        Path(str(config.data.root)), pictures, names, bundles, split, config,
        sorted(item.sha256 for item in prepared.test),
        prepared.problems, prepared.notes,
    )  # fmt: skip


def check_apart(output: Path, root: Path) -> None:
    """Make sure that what is written is not read as pictures of the data set next time.

    Raises:
        ConfigError: `output` lies in `root`, or is it.
    """
    if output.resolve().is_relative_to(root.resolve()):
        raise ConfigError(
            f"the output {str(output)!r} lies in the data set {str(root)!r}: "
            "its masks would be taken for pictures",
            remedy="choose a folder beside it",
        )
