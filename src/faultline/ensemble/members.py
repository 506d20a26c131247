"""Trains the base models, five folds and all of it, and makes tables of their answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faultline.artifacts.bundle import Bundle, load_bundle
from faultline.artifacts.run import RunFolder
from faultline.config.schema import Config
from faultline.data.manifest import Item
from faultline.ensemble.answers import answer_files, release
from faultline.ensemble.plan import FULL, Division
from faultline.ensemble.store import Answers, Store
from faultline.ensemble.tables import Maker, Role, Table
from faultline.errors import DataError
from faultline.predict.class_predictor import ClassPredictor
from faultline.progress import progress_bar
from faultline.training.once import trained_once

Say = Callable[[str], None]


@dataclass(frozen=True)
class Member:
    """One base model, trained.

    Attributes:
        name: Its name.
        runs: Run folder of each training, by its name.
        tables: One for each role but test.
        mask_iou: Mean IoU of its masks on validation; None where it has no mask head.
        seconds: What its trainings took.
    """

    name: str
    runs: dict[str, Path]
    tables: dict[Role, Table]
    mask_iou: float | None
    seconds: float


def make_member(
    name: str, config: Config, division: Division, anchors: Sequence[Item], folder: Path, say: Say
) -> Member | None:
    """Train and answer, or find what was done before; None where it was stopped.

    Raises:
        ConfigError: A training with other settings is there.
        FaultlineError: See `faultline.training.fit.train`.
    """
    runs: dict[str, RunFolder] = {}
    for training in division.trainings():
        say(f"{name}: {_words(training, division)}")
        own = division.training(config, folder, name, training)
        run = trained_once(own, say, f"{name}, {training},")
        if run is None:
            return None
        runs[training] = run
    answerer = Answerer(name, config, division, anchors, Store(folder / "tables"), say)
    folds = [answerer.fold(runs[f"fold-{k}"], k) for k in range(division.folds)]
    tables = {Role.OUT_OF_FOLD: answerer.joined(folds)}
    bundle = load_bundle(runs[FULL].path)
    for role in (Role.VALID, Role.SEEN):
        tables[role] = answerer.whole(bundle, role)
    value = bundle.metrics.get("mask_iou")
    paths = {training: run.path for training, run in runs.items()}
    return Member(name, paths, tables, None if value is None else float(value), _seconds(runs))


def test_table(
    member: Member, config: Config, division: Division, anchors: Sequence[Item], folder: Path,
    say: Say,
) -> Table:  # fmt: skip
    """The member's answers to the test pictures, which are opened here for the first time."""
    answerer = Answerer(member.name, config, division, anchors, Store(folder / "tables"), say)
    return answerer.whole(load_bundle(member.runs[FULL]), Role.TEST)


def _words(training: str, division: Division) -> str:
    if training == FULL:
        return f"all {len(division.prepared.train)} training pictures"
    return f"fold {int(training.removeprefix('fold-')) + 1} of {division.folds}"


class Answerer:
    """Answers of one member's networks, one in memory at a time.

    Args:
        name: Of the member.
        config: Settings of its trainings.
        division: The data by their parts.
        anchors: Pictures that embeddings are told by.
        store: Where answers are kept.
        say: Takes lines of text.
    """

    def __init__(
        self, name: str, config: Config, division: Division, anchors: Sequence[Item],
        store: Store, say: Say,
    ) -> None:  # fmt: skip
        self.name, self.config, self.division = name, config, division
        self.anchors, self.store, self.say = anchors, store, say

    def fold(self, run: RunFolder, number: int) -> Answers:
        """Answers of a fold's network to what it held out."""
        bundle = load_bundle(run.path)
        return self._answers(
            bundle, f"fold-{number}", Role.OUT_OF_FOLD, self.division.held_out(number)
        )

    def joined(self, folds: Sequence[Answers]) -> Table:
        """The answers of all folds as one table, in the order of the training pictures.

        Raises:
            DataError: A training picture has no answer, or two.
        """
        rows = self.division.rows(self.division.prepared.train)
        place = {one: (k, row) for k, fold in enumerate(folds) for row, one in enumerate(fold.ids)}
        if sum(len(fold.ids) for fold in folds) != len(rows) or set(place) != set(rows.ids):
            raise DataError(
                f"{self.name}: the folds do not answer every training picture once",
                remedy="remove the folder of tables and call again",
            )
        order = [place[one] for one in rows.ids]
        return Table(
            self.name, Role.OUT_OF_FOLD, rows, tuple(fold.maker for fold in folds),
            np.array([k for k, _ in order], np.int64),
            np.stack([folds[k].probability[row] for k, row in order]),
            np.stack([folds[k].embedding[row] for k, row in order]),
            tuple(fold.anchors for fold in folds),
            folds[0].anchor_ids,
        )  # fmt: skip

    def whole(self, bundle: Bundle, role: Role) -> Table:
        """The table of `role` by the network of all training pictures."""
        prepared = self.division.prepared
        items = {Role.VALID: prepared.valid, Role.TEST: prepared.test, Role.SEEN: prepared.train}
        found = self._answers(bundle, FULL, role, items[role])
        return Table(
            self.name, role, self.division.rows(items[role]), (found.maker,),
            np.zeros(len(found.ids), np.int64), found.probability, found.embedding,
            (found.anchors,), found.anchor_ids,
        )  # fmt: skip

    def _answers(self, bundle: Bundle, training: str, role: Role, items: Sequence[Item]) -> Answers:
        maker = Maker.of(bundle)
        ids = tuple(item.id for item in items)
        anchor_ids = tuple(item.id for item in self.anchors)
        before = self.store.load(self.name, training, role, maker, ids, anchor_ids)
        if before is not None:
            return before
        device = {"cpu": "cpu", "gpu": "cuda"}.get(self.config.trainer.accelerator, "auto")
        predictor = ClassPredictor(bundle, device, self.config.trainer.precision)
        with progress_bar(f"{self.name} {training} {role.value}") as progress:
            probability, embedding = answer_files(
                predictor, [item.path for item in items], progress
            )
        anchors = answer_files(predictor, [item.path for item in self.anchors])[1]
        hashes = tuple(item.sha256 for item in items)
        found = Answers(ids, hashes, probability, embedding, anchors, anchor_ids, maker)
        self.store.save(self.name, training, role, found)
        del predictor
        release()
        return found


def _seconds(runs: dict[str, RunFolder]) -> float:
    """What the trainings say that they took."""
    total = 0.0
    for run in runs.values():
        try:
            total += float(json.loads(run.results.read_text(encoding="utf-8"))["seconds"])
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return round(total, 1)
