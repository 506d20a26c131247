"""The error for splits without labels of a form, where other splits have them.

Left out without a word, such a split would also change what the others are used for: without a
`test` the shipped `valid` becomes the test set.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from faultline.errors import DataError

TEST = "test"


@dataclass(frozen=True, slots=True)
class BareSplit:
    """A split whose pictures have no labels of the form that is read.

    Attributes:
        name: `train`, `valid` or `test`.
        folder: Where its pictures lie.
        pictures: How many there are.
    """

    name: str
    folder: Path
    pictures: int


def refuse_bare_splits(
    root: Path, bare: Sequence[BareSplit], lacking: str, labelled: Sequence[Path], add: str
) -> None:
    """Raise one error that names all splits without labels, if there are any.

    Args:
        root: The data set.
        bare: Such splits.
        lacking: What they lack, in the singular.
        labelled: Files or folders that the other splits have.
        add: What would give them labels.

    Raises:
        DataError: There are such splits.
    """
    if not bare:
        return
    found = ", ".join(
        f"{_below(split.folder, root)}/ holds {split.pictures} "
        f"picture{'' if split.pictures == 1 else 's'} and no {lacking}"
        for split in bare
    )
    others = ", ".join(_below(path, root) for path in labelled)
    raise DataError(
        f"{found}, while the other splits have theirs ({others})",
        where=root,
        remedy=f"{add}, or move the folder out of the data set"
        + other_test_set({split.name for split in bare}),
    )


def other_test_set(splits: Collection[str]) -> str:
    """The end of a remedy where the test set is concerned: it may come from elsewhere."""
    return ", or name the test set by itself with data.test=FOLDER" if TEST in splits else ""


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
