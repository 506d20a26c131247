"""Who tests and who validates: rules in words, and a check that nothing does two of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from faultline.errors import ConfigError, LeakageError
from faultline.speech.data.manifest import Utterance

RULES = "`column`, `column:NAME`, `index:0-4`, `speaker:NAME,NAME`, `fraction:0.1` or `none`"
_NUMBER = re.compile(r"(\d+)$")


@dataclass(frozen=True)
class Parts:
    """Utterances by the part they play."""

    train: tuple[Utterance, ...]
    valid: tuple[Utterance, ...]
    test: tuple[Utterance, ...]


def split_utterances(utterances: Sequence[Utterance], test: str, valid: str, seed: int) -> Parts:
    """Share utterances out by two rules; `valid` applies to those that do not test.

    Rules: `column` takes the rows whose `split` is `test` (or `valid`), `column:NAME` those of
    another name; `index:0-4` the files whose name ends in such a number; `speaker:a,b` their
    recordings; `fraction:0.1` a tenth by chance; `none` nothing. With a `column`, rows of a third
    name take no part; without any, `column` takes nothing.

    Raises:
        ConfigError: A rule cannot be read, or leaves nothing to train on or to validate on.
        LeakageError: The same recording is in two parts.
    """
    rng = np.random.default_rng(seed)
    tests = take(utterances, test, "test", rng)
    rest = [u for u in utterances if u not in tests]
    if _has_column(test):
        rest = [u for u in rest if u.split in ("", "train", "valid")]
    valids = take(rest, valid, "valid", rng)
    train = [u for u in rest if u not in valids]
    if _has_column(valid):
        train = [u for u in train if u.split in ("", "train")]
    for name, part in (("training", train), ("validation", valids)):
        if not part:
            raise ConfigError(
                f"data.test={test} and data.valid={valid} leave nothing for {name}",
                remedy=f"rules are {RULES}",
            )
    parts = Parts(tuple(train), _in_order(rest, valids), _in_order(utterances, tests))
    _check_apart(parts)
    return parts


def add_training(parts: Parts, more: Sequence[Utterance]) -> Parts:
    """`parts` with further utterances to train on: those whose split is `train` or empty.

    Raises:
        LeakageError: One of them validates or tests already.
    """
    joined = replace(parts, train=(*parts.train, *(u for u in more if u.split in ("", "train"))))
    _check_apart(joined)
    return joined


def _in_order(utterances: Sequence[Utterance], chosen: set[Utterance]) -> tuple[Utterance, ...]:
    return tuple(u for u in utterances if u in chosen)


def _has_column(rule: str) -> bool:
    return rule.partition(":")[0] == "column"


def take(
    utterances: Sequence[Utterance], rule: str, part: str, rng: np.random.Generator
) -> set[Utterance]:
    """Utterances that `rule` names; a bare `column` goes by the name `part`.

    Raises:
        ConfigError: It is not a rule for parts, or names an unknown speaker.
    """
    word, _, value = rule.partition(":")
    if word == "none" and not value:
        return set()
    if word == "column":
        return {u for u in utterances if u.split == (value or part)}
    if word == "speaker" and value:
        return _of_speakers(utterances, value.split(","))
    if word == "index" and (bounds := re.fullmatch(r"(\d+)(?:-(\d+))?", value)):
        low, high = int(bounds[1]), int(bounds[2] or bounds[1])
        return {u for u in utterances if low <= _number(u) <= high}
    if word == "fraction" and (share := _share(value)) is not None:
        count = max(1, round(share * len(utterances)))
        return {utterances[i] for i in rng.permutation(len(utterances))[:count]}
    raise ConfigError(f"data.{part}={rule!r} is not a rule for parts", remedy=f"rules are {RULES}")


def _of_speakers(utterances: Sequence[Utterance], names: Sequence[str]) -> set[Utterance]:
    known = sorted({u.speaker for u in utterances})
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(
            f"unknown speaker {', '.join(unknown)}", remedy=f"known: {', '.join(known)}"
        )
    return {u for u in utterances if u.speaker in names}


def _number(utterance: Utterance) -> int:
    match = _NUMBER.search(utterance.path.stem)
    return int(match[1]) if match else -1


def _share(text: str) -> float | None:
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0 < share < 1 else None


def _check_apart(parts: Parts) -> None:
    owners: dict[str, tuple[str, Utterance]] = {}
    for name in ("train", "valid", "test"):
        for utterance in getattr(parts, name):
            other, first = owners.setdefault(utterance.sha256, (name, utterance))
            if other != name:
                raise LeakageError(
                    f"the same recording is in {other} and {name}: "
                    f"{first.path.name} and {utterance.path.name}",
                    remedy="remove one of them, or put both into the same part",
                )
