"""What is found of one run, and how it is kept on disk.

It is kept under a key of all that shapes it: an interrupted analysis goes on with the run at which
it stopped, and one with other pictures does not take old ones for its own.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from faultline.analysis.features import StageFacts
from faultline.data.manifest import Problem
from faultline.files import write_bytes

GRID = 64
"""Side of a kept map. It covers the whole picture, whatever its shape; networks' own maps, from
which it is enlarged, have 2 to 16 places a side."""


@dataclass
class Answers:
    """What a run said of pictures.

    Attributes:
        ids: N of them.
        groups: Theirs.
        probability: (N, K), columns in the order of the data set's classes.
        truth: (N, K).
        decided: (N, K).
    """

    ids: list[str]
    groups: list[str]
    probability: NDArray[np.float64]
    truth: NDArray[np.bool_]
    decided: NDArray[np.bool_]


@dataclass
class Observed:
    """What was found of one run.

    Attributes:
        heat: (S, GRID, GRID) of the pictures of the sample; NaN where one could not be read.
        shares: (S, A, 2) share of heat and of the picture in each region; NaN without a mask.
        stages: Statistics by stage.
        pooled: Stage -> (P, C) features of the pictures `pictures`.
        pictures: Ids of the P different pictures of the sample, in order.
        valid: Answers on validation.
        train: Answers on training pictures, drawn at random.
        problems: Pictures and masks that could not be used.
    """

    heat: NDArray[np.float32]
    shares: NDArray[np.float64]
    stages: list[StageFacts]
    pooled: dict[str, NDArray[np.float32]]
    pictures: list[str]
    valid: Answers
    train: Answers
    problems: list[Problem] = field(default_factory=list)


def write_kept(path: Path, key: str, found: Observed) -> None:
    """Keep what was found of one run.

    Raises:
        OutputError: It cannot be written.
    """
    arrays: dict[str, Any] = {"heat": found.heat.astype(np.float16), "shares": found.shares}
    for name, features in found.pooled.items():
        arrays[f"pooled/{name}"] = features
    for stage in found.stages:
        arrays[f"channels/{stage.name}"] = stage.by_channel
    for part in ("valid", "train"):
        answers: Answers = getattr(found, part)
        for name in ("probability", "truth", "decided"):
            arrays[f"{part}/{name}"] = getattr(answers, name)
    words = {
        "key": key,
        "pictures": found.pictures,
        "stages": [{k: v for k, v in asdict(one).items() if k != "by_channel"}
                   for one in found.stages],
        "valid": [found.valid.ids, found.valid.groups],
        "train": [found.train.ids, found.train.groups],
        "problems": [[one.file, one.reason] for one in found.problems],
    }  # fmt: skip
    arrays["words"] = np.frombuffer(json.dumps(words).encode(), np.uint8)
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    write_bytes(path, stream.getvalue())


def read_kept(path: Path, key: str) -> Observed | None:
    """What an earlier call with the same key found; None if there is none, or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        words = json.loads(arrays["words"].tobytes())
        if words["key"] != key:
            return None
        return Observed(
            arrays["heat"].astype(np.float32), arrays["shares"],
            [StageFacts(**one, by_channel=arrays[f"channels/{one['name']}"])
             for one in words["stages"]],
            {name.partition("/")[2]: value for name, value in arrays.items()
             if name.startswith("pooled/")},
            words["pictures"], _answers_of("valid", words, arrays),
            _answers_of("train", words, arrays), [Problem(*one) for one in words["problems"]],
        )  # fmt: skip
    except (OSError, ValueError, LookupError, TypeError, EOFError, BadZipFile):
        return None


def _answers_of(part: str, words: dict[str, Any], arrays: dict[str, Any]) -> Answers:
    return Answers(
        *words[part], *(arrays[f"{part}/{name}"] for name in ("probability", "truth", "decided"))
    )
