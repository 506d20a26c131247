"""Looking into classifiers, but never at test pictures: whose split holds, who has seen what.

Document 2, section 8.1. The split is that of the classifiers' own run where they were trained on
the same data set, so that what their training kept for testing is not looked at either.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.run import CONFIG_NAME, home_of
from faultline.artifacts.unseen import check_unseen
from faultline.config.compose import load_config
from faultline.config.paths import same_folder
from faultline.config.schema import Config
from faultline.data.manifest import Item
from faultline.errors import LeakageError
from faultline.tasks import CLASSIFICATION


def settings_of_runs(
    overrides: Sequence[str], weights: Sequence[Path], config_file: Path | None
) -> tuple[Config, bool]:
    """Settings in force, and whether the first run with a configuration is of the same data set.

    Those of that run, changed by the file and the words, where it is; else file and words alone.
    """
    words = [f"task={CLASSIFICATION}", *overrides]
    asked = load_config(words, file=config_file)
    for path in weights:
        own = home_of(path) / CONFIG_NAME
        if not own.is_file():
            continue
        trained = load_config(file=own)
        if asked.data.root is None or same_folder(asked.data.root, trained.data.root):
            files = [one for one in (own, config_file) if one is not None]
            return load_config(overrides, file=files), True
    return asked, False


def check_test_unseen(bundle: Bundle, test: Sequence[Item], same_data: bool) -> None:
    """Make sure that a classifier has seen none of the pictures that test.

    Args:
        bundle: The classifier.
        test: Pictures that test.
        same_data: They are of the data set that it was trained on: groups count too.

    Raises:
        LeakageError: It has.
    """
    try:
        check_unseen(bundle, test, by_group=same_data, what="test pictures")
    except LeakageError as error:
        seen = error.what.partition("but ")[2]
        raise LeakageError(
            f"the classifier has seen pictures that test in this split: {seen}",
            where=bundle.source,
            remedy="use the split that it was trained with (its run folder names it, or give "
            "data.split_file), or train it again on this split",
        ) from error
