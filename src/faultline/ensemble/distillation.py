"""Stage 7: one small network learns what the best of stages 1 to 6 answers.

The document lets the teacher answer its own training pictures, which makes it surer than it has a
right to be. Here the student is given the teacher's out-of-fold answers: each picture's by a
teacher that was not fitted on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from faultline.artifacts.bundle import load_bundle
from faultline.artifacts.contents import Threshold
from faultline.artifacts.run import RunFolder
from faultline.config.schema import Config
from faultline.data.manifest import Item
from faultline.ensemble.decisions import Brief, brief, choose_threshold, scores_of
from faultline.ensemble.fitting import Candidate, Fitted
from faultline.ensemble.members import Answerer
from faultline.ensemble.plan import FULL, Division
from faultline.ensemble.stage import STAGES, crossfit
from faultline.ensemble.store import Store
from faultline.ensemble.tables import Inputs, Maker, Role, Table
from faultline.metrics.inputs import Floats
from faultline.training.classification import ClassificationKind
from faultline.training.once import trained_once
from faultline.training.soft_labels import SoftLabels

Say = Callable[[str], None]
NUMBER, LABEL = 7, "distillation"


@dataclass(frozen=True)
class Student:
    """A network that was taught.

    Attributes:
        candidate: Its place among the stages.
        run: Its run folder, a bundle like any other: `faultline infer --weights` takes it.
        soft: What it was taught with.
        maker: What it has seen.
        threshold: Where validation says to cut.
        valid: (N, K) its answers to the validation pictures.
        train_brief: Scores on what it was trained on.
        valid_brief: Scores on validation.
    """

    candidate: Candidate
    run: RunFolder
    soft: SoftLabels
    maker: Maker
    threshold: Threshold
    valid: Floats
    train_brief: Brief
    valid_brief: Brief

    def settings(self) -> dict[str, Any]:
        """Teacher, temperature and share."""
        return self.soft.to_dict()

    def facts(self) -> dict[str, Any]:
        """Where it lies."""
        return {"run": str(self.run.path)}


class Distillation:
    """Teaches a student, and lets it answer.

    Args:
        config: Settings of the student's training.
        division: The data by their parts.
        anchors: See `Answerer`.
        folder: Of the ensemble.
        say: Takes lines of text.
    """

    def __init__(
        self, config: Config, division: Division, anchors: Sequence[Item], folder: Path, say: Say
    ) -> None:
        self.config, self.division, self.folder, self.say = config, division, folder, say
        store = Store(folder / "tables")
        self.answerer = Answerer("student", config, division, anchors, store, say)

    def teach(self, teacher: Fitted, train: Inputs, valid: Inputs) -> Student | None:
        """The student of `teacher`; None where it was stopped.

        Raises:
            LeakageError: See `crossfit`.
            FaultlineError: See `faultline.training.fit.train`.
        """
        name, settings = teacher.candidate.name, teacher.stage.settings()
        honest = crossfit(partial(STAGES.build, name, **settings), train, valid)
        by_id = dict(zip(train.rows.ids, honest, strict=True))
        soft = SoftLabels(by_id, train.kind, teacher=teacher.candidate.label)
        own = self.division.training(self.config, self.folder, "student", FULL)
        # Another teacher is another student: it may not find the run of the first.
        own.experiment = f"of-{soft.teacher}-{_short(honest)}"
        self.say(f"student {own.model['name']} of {soft.teacher}")
        run = trained_once(own, self.say, "the student", ClassificationKind(soft))
        return None if run is None else self._scored(run, soft)

    def _scored(self, run: RunFolder, soft: SoftLabels) -> Student:
        bundle, space = load_bundle(run.path), self.division.prepared.label_space
        tables = {role: self.answerer.whole(bundle, role) for role in (Role.VALID, Role.SEEN)}
        valid = answers_of(tables[Role.VALID])
        threshold = choose_threshold(valid, tables[Role.VALID].rows.truth, space)
        briefs = {
            role: brief(scores_of(answers_of(table), table.rows.truth, space, threshold))
            for role, table in tables.items()
        }
        candidate = Candidate(LABEL, NUMBER, LABEL, {})
        return Student(
            candidate, run, soft, Maker.of(bundle), threshold, valid,
            briefs[Role.SEEN], briefs[Role.VALID],
        )  # fmt: skip

    def test(self, student: Student) -> Floats:
        """(N, K) its answers to the test pictures."""
        return answers_of(self.answerer.whole(load_bundle(student.run.path), Role.TEST))


def answers_of(table: Table) -> Floats:
    """(N, K) float64."""
    return table.probability.astype(np.float64)


def _short(answers: Floats) -> str:
    """Short name of a teacher's answers; the last digits, which a machine decides, do not count."""
    return hashlib.sha256(np.round(answers, 3).tobytes()).hexdigest()[:8]
