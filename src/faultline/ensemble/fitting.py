"""Fits every stage, audits it, and notes why one cannot be made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from faultline.artifacts.contents import Threshold
from faultline.ensemble.audit import Audit
from faultline.ensemble.decisions import Brief, brief, choose_threshold, scores_of
from faultline.ensemble.members import Member
from faultline.ensemble.plan import Rules
from faultline.ensemble.stage import STAGES, Stage, StageNotPossibleError
from faultline.ensemble.tables import Inputs, Role
from faultline.errors import MissingExtraError
from faultline.metrics.inputs import Floats
from faultline.progress import progress_bar
from faultline.types import LabelSpace

Say = Callable[[str], None]
META_PARTS = range(1, 6)
"""Stages whose outputs the meta-learner combines."""


NOT_BUILT = {12: "multi_teacher_distillation"}
"""Stages of the document that nothing here makes yet; they are reported as skipped."""


@dataclass(frozen=True)
class Candidate:
    """A stage that is to be made.

    Attributes:
        label: What it is called in tables: its name, or the member's.
        number: Of the stage.
        name: In the registry.
        settings: For its builder.
    """

    label: str
    number: int
    name: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Fitted:
    """A stage that was made.

    Attributes:
        candidate: What it is.
        stage: It.
        threshold: Where validation says to cut.
        valid: (N, K) its answers to the validation pictures.
        train_brief: Scores on the rows it was fitted on (a member: on what it was trained on).
        valid_brief: Scores on validation.
    """

    candidate: Candidate
    stage: Stage
    threshold: Threshold
    valid: Floats
    train_brief: Brief
    valid_brief: Brief

    def settings(self) -> dict[str, Any]:
        """What the stage was made with."""
        return self.stage.settings()

    def facts(self) -> dict[str, Any]:
        """What was learnt or chosen."""
        return self.stage.facts()


class Scored(Protocol):
    """What a row of the results is made of: a stage, or a student."""

    @property
    def candidate(self) -> Candidate:
        """Its place among the stages."""
        ...

    @property
    def threshold(self) -> Threshold:
        """Where validation says to cut."""
        ...

    @property
    def valid(self) -> Floats:
        """(N, K) answers to the validation pictures."""
        ...

    @property
    def train_brief(self) -> Brief:
        """Scores on what it was fitted on."""
        ...

    @property
    def valid_brief(self) -> Brief:
        """Scores on validation."""
        ...

    def settings(self) -> dict[str, Any]:
        """What it was made with."""
        ...

    def facts(self) -> dict[str, Any]:
        """What was learnt or chosen."""
        ...


@dataclass(frozen=True)
class Skipped:
    """A stage that was not made, and why."""

    candidate: Candidate
    reason: str


def not_built(rules: Rules) -> list[Skipped]:
    """What `rules` ask for and nothing here makes, so that no stage is left out silently."""
    reason = "not built: no student learns the teachers' attention maps yet"
    return [
        Skipped(Candidate(name, number, name, {}), reason)
        for number, name in NOT_BUILT.items()
        if number in rules.stages
    ]


def candidates(rules: Rules, members: Sequence[Member]) -> list[Candidate]:
    """All stages of `rules` in the order of their numbers, the meta-learner's parts left open."""
    found = [
        Candidate(member.name, 1, "individual", {"member": position})
        for position, member in enumerate(members)
    ]
    ious = [member.mask_iou for member in members]
    for entry in STAGES:
        number = int(getattr(entry.builder, "number", 0))
        if number < 2 or number not in rules.stages:
            continue
        known = {"seed": rules.seed, "ious": ious}
        settings = {key: value for key, value in known.items() if key in entry.settings()}
        found.append(Candidate(entry.name, number, entry.name, settings))
    return sorted(found, key=lambda one: one.number)


def fit_stages(
    wanted: Sequence[Candidate], tables: dict[Role, Inputs], space: LabelSpace, audit: Audit,
    say: Say,
) -> Iterator[Fitted | Skipped]:  # fmt: skip
    """Make each stage; stops after the first stage number in which the audit finds what blocks."""
    done: list[Fitted] = []
    with progress_bar("stages") as progress:
        for position, candidate in enumerate(wanted):
            if audit.blocks and done and done[-1].candidate.number != candidate.number:
                return
            found = _fit(candidate, tables, space, done)
            if isinstance(found, Skipped):
                say(f"  stage {candidate.number} {candidate.label}: SKIPPED: {found.reason}")
            else:
                _check(found, done, audit)
                done.append(found)
                say(score_line(found))
            progress(position + 1, len(wanted))
            yield found


def _fit(
    candidate: Candidate, tables: dict[Role, Inputs], space: LabelSpace, done: Sequence[Fitted]
) -> Fitted | Skipped:
    settings = dict(candidate.settings)
    if "parts" in STAGES.get(candidate.name).settings():
        settings["parts"] = [
            {"name": one.candidate.name, "settings": one.stage.settings()}
            for one in done
            if one.candidate.number in META_PARTS
        ]
    stage = STAGES.build(candidate.name, **settings)
    train, valid = tables[Role.OUT_OF_FOLD], tables[Role.VALID]
    try:
        stage.fit(train, valid)
    except (StageNotPossibleError, MissingExtraError) as error:
        return Skipped(candidate, str(error))
    answers = stage.predict(valid)
    threshold = choose_threshold(answers, valid.rows.truth, space)
    # A network is overfitted to what it was trained on; a stage, to its out-of-fold rows.
    fitted_on = tables[Role.SEEN] if candidate.number == 1 else train
    return Fitted(
        candidate, stage, threshold, answers,
        _brief(stage, fitted_on, space, threshold), _brief(stage, valid, space, threshold),
    )  # fmt: skip


def _brief(stage: Stage, inputs: Inputs, space: LabelSpace, threshold: Threshold) -> Brief:
    return brief(scores_of(stage.predict(inputs), inputs.rows.truth, space, threshold))


def _check(found: Fitted, done: Sequence[Fitted], audit: Audit) -> None:
    label, record = found.candidate.label, found.stage.record
    assert record is not None
    name = f"{found.candidate.number} {label}"
    audit.stage(name, record)
    check_scores(found, done, audit)


def check_scores(found: Scored, done: Sequence[Fitted], audit: Audit) -> None:
    """Checks 2 and 5 of one stage, against the stages made before it."""
    name = f"{found.candidate.number} {found.candidate.label}"
    audit.gap(name, found.train_brief.accuracy, found.valid_brief.accuracy)
    earlier = [one for one in done if one.candidate.number < found.candidate.number]
    if earlier:
        last = max(one.candidate.number for one in earlier)
        before = best_of([one for one in earlier if one.candidate.number == last])
        audit.drop(name, before.valid_brief.accuracy, found.valid_brief.accuracy)


def best_of(fitted: Sequence[Fitted]) -> Fitted:
    """The one of highest macro-F1 on validation; the simpler stage of equal ones."""
    return max(fitted, key=lambda one: (_number(one.valid_brief.macro_f1), -one.candidate.number))


def _number(value: float) -> float:
    return value if value == value else -1.0


def score_line(found: Scored) -> str:
    """One stage, for the console."""
    return (
        f"  stage {found.candidate.number} {found.candidate.label}: validation accuracy "
        f"{found.valid_brief.accuracy:.3f}  macro-F1 {found.valid_brief.macro_f1:.3f}"
    )
