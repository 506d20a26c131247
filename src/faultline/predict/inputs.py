"""Finds the files that a user means, and gives each a name for its results."""

from __future__ import annotations

import glob
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from faultline.data.images import IMAGE_SUFFIXES
from faultline.errors import DataError, OutputError

MASK_SUFFIX = "_mask.png"
OVERLAY_SUFFIX = "_overlay.png"
PANEL_SUFFIX = "_panel.png"
_RESULTS = (MASK_SUFFIX, OVERLAY_SUFFIX, PANEL_SUFFIX)
MAX_FILE_BYTES = 255
"""Longest file name that usual file systems take."""
_ENDING = 30
"""Bytes of a file name that are kept for what a result adds to the name of its picture."""
_MARK_LENGTH = 9
_FORBIDDEN = frozenset('%/\\:*?"<>|')
"""Signs that some file system does not take in a name, and the one that stands for them."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to be answered.

    Attributes:
        source: The file.
        name: Results are `name` + "_mask.png" and so on, below the output folder.
    """

    source: Path
    name: Path


def find_jobs(
    inputs: str | Path | Sequence[str | Path],
    save: Path | None,
    suffixes: Collection[str] = IMAGE_SUFFIXES,
    what: str = "pictures",
    labels: Sequence[str] = (),
) -> list[Job]:
    """Every picture that `inputs` mean, once, in a stable order, with unique result names.

    A file stands for itself, a folder for all pictures in and below it, anything else is a glob
    ("photos/**/*.jpg"). Hidden files are left out of folders and globs, and so are earlier
    results below `save`.

    Names: the picture's folder below the given folder, and its stem. Pictures that would meet in
    one name get first their differing folders and then their suffix added (`a/1_mask.png` and
    `b/1_mask.png`; `1_jpg_mask.png` and `1_png_mask.png`), all of them, so that none is special.
    So is a picture that is called as the mask of another's class is (`wall_crack.png` beside
    `wall.png`). A name that leaves no room for an ending is cut and marked, see `shortened`.

    Args:
        inputs: Files, folders and globs.
        save: Where results go; None where they are only shown.
        suffixes: Of the files that folders and globs stand for, in lower case.
        what: What these files are, for messages.
        labels: Classes that get a mask of their own, see `class_mask_name`.

    Raises:
        DataError: An input is empty or does not exist, or there is no such file at all.
    """
    given = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    if any(not str(one).strip() for one in given):
        # An empty path would stand for the working folder and everything below it.
        raise DataError("is empty", where="input", remedy="give a file, a folder or a glob")
    found: dict[str, tuple[Path, Path]] = {}
    results_root = None if save is None else os.path.abspath(save)
    for one in given:
        for path, relative in _expand(str(one), suffixes):
            key = os.path.abspath(path)
            if results_root is None or not _is_result(key, results_root):
                found.setdefault(key, (path, relative))
    if not found:
        raise DataError(
            f"no {what} found",
            where=", ".join(str(one) for one in given) or "input",
            remedy=f"give files, folders or globs of {', '.join(sorted(suffixes))}",
        )
    return _named(found, [class_ending(label) for label in labels])


def class_mask_name(name: Path, label: str) -> str:
    """File name of the mask of the class `label`, for the name of a job."""
    return f"{name}{class_ending(label)}{MASK_SUFFIX}"


def class_ending(label: str) -> str:
    """What stands for a class in names of masks; `%XX` for signs that file names may not have."""
    signs = (f"%{ord(s):02X}" if s in _FORBIDDEN or ord(s) < 32 else s for s in label)
    return f"_{''.join(signs)}"


def keep_foreign(save: Path, record: str, names: Iterable[str]) -> None:
    """Make sure that no file is written over that others made: labels are often called so.

    Args:
        save: The output folder.
        record: File in it by which an earlier call says that it wrote there.
        names: Of the files that would be written.

    Raises:
        OutputError: One of them is there, and no record.
    """
    if (save / record).is_file():
        return
    for name in names:
        if (save / name).exists():
            raise OutputError(
                "is there already, and no earlier call wrote it: it may be a label",
                where=save / name,
                remedy="give another folder with --save",
            )


def _expand(text: str, suffixes: Collection[str]) -> Iterator[tuple[Path, Path]]:
    """Files that one input means, each with its path below the input."""
    path = Path(text).expanduser()
    if path.is_file():
        yield path, Path(path.name)
    elif path.is_dir():
        for file in _walk(path, suffixes):
            yield file, file.relative_to(path)
    elif glob.has_magic(text):
        root = _fixed_part(path)
        for match in sorted(glob.glob(str(path), recursive=True)):
            file = Path(match)
            if file.is_file() and _is_meant(file, suffixes) and not _goes_round(file.parent):
                yield file, file.relative_to(root)
    else:
        raise DataError(
            "does not exist", where=text, remedy="give a file, a folder or a glob in quotes"
        )


def _walk(folder: Path, suffixes: Collection[str]) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        every = (Path(root, name) for name in sorted(files))
        yield from (file for file in every if _is_meant(file, suffixes))


def _is_meant(file: Path, suffixes: Collection[str]) -> bool:
    return file.suffix.lower() in suffixes and not file.name.startswith(".")


def _goes_round(folder: Path) -> bool:
    """Whether the way to `folder` leads through a link back to where it came from.

    `**` follows links, round and round until the system refuses: one picture in forty places.
    """
    real = [os.path.realpath(one) for one in (folder, *folder.parents)]
    return len(set(real)) < len(real)


def _is_result(path: str, results_root: str) -> bool:
    return path.endswith(_RESULTS) and path.startswith(os.path.join(results_root, ""))


def _fixed_part(pattern: Path) -> Path:
    """The folders of a glob before its first wildcard."""
    fixed = Path()
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed = fixed / part
    return fixed


def _named(found: dict[str, tuple[Path, Path]], endings: Sequence[str]) -> list[Job]:
    names = {key: relative.with_suffix("") for key, (_, relative) in found.items()}
    _rename_clashes(names, _with_folders)
    _rename_clashes(names, lambda keys: {key: _with_suffix(key, names[key]) for key in keys})
    mistaken = _mistaken(names, endings)
    names.update({key: _with_suffix(key, names[key]) for key in mistaken})
    # Left are a file really called "1_jpg.png" beside "1.jpg" and "1.png", and the like.
    _rename_clashes(names, lambda keys: _numbered(keys, names))
    longest = max((len(ending.encode()) for ending in endings), default=0)
    room = MAX_FILE_BYTES - max(_ENDING, longest + len(MASK_SUFFIX))
    return [
        Job(path, names[key].with_name(shortened(names[key].name, room)))
        for key, (path, _) in found.items()
    ]


def _mistaken(names: Mapping[str, Path], endings: Sequence[str]) -> list[str]:
    """Pictures whose name is that of another with the ending of a class."""
    folded = {key: str(name).casefold() for key, name in names.items()}
    taken = set(folded.values())
    return [
        key
        for key, name in folded.items()
        for end in {ending.casefold() for ending in endings}
        if name.endswith(end) and name.removesuffix(end) in taken
    ]


def shortened(name: str, room: int) -> str:
    """`name`, or where it has more than `room` bytes its start and eight digits of its SHA-256."""
    raw = name.encode("utf-8", "surrogateescape")
    if len(raw) <= room:
        return name
    mark = hashlib.sha256(raw).hexdigest()[: _MARK_LENGTH - 1]
    return f"{raw[: room - _MARK_LENGTH].decode('utf-8', 'ignore')}-{mark}"


def _rename_clashes(names: dict[str, Path], rename: Callable[[list[str]], dict[str, Path]]) -> None:
    meeting = defaultdict(list)
    for key, name in names.items():
        # Not all file systems tell upper from lower case.
        meeting[str(name).casefold()].append(key)
    for keys in meeting.values():
        if len(keys) > 1:
            names.update(rename(keys))


def _with_folders(keys: Sequence[str]) -> dict[str, Path]:
    folders = {os.path.dirname(key) for key in keys}
    if len(folders) == 1:
        return {}
    try:
        common = os.path.commonpath(folders)
    except ValueError:  # on different drives
        return {key: Path(Path(key).stem) for key in keys}
    return {key: Path(os.path.relpath(key, common)).with_suffix("") for key in keys}


def _with_suffix(key: str, name: Path) -> Path:
    return name.with_name(f"{name.name}_{Path(key).suffix.lstrip('.').lower()}")


def _numbered(keys: Sequence[str], names: dict[str, Path]) -> dict[str, Path]:
    taken = {str(name).casefold() for name in names.values()}
    renamed = {}
    for key in keys[1:]:
        number = 2
        while f"{names[key]}-{number}".casefold() in taken:
            number += 1
        renamed[key] = names[key].with_name(f"{names[key].name}-{number}")
        taken.add(str(renamed[key]).casefold())
    return renamed
