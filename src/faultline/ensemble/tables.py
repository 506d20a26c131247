"""Answers of members as tables that know who made each row, and what that maker has seen.

Shapes: N pictures, K classes, M members, D the width of a member's embedding, A anchors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from faultline.artifacts.bundle import Bundle
from faultline.errors import ContractError, LeakageError
from faultline.metrics.inputs import Bools, Floats, Ints
from faultline.training.task import to_logits
from faultline.types import LabelKind

Singles = npt.NDArray[np.float32]
_SHOWN = 5


class Role(StrEnum):
    """What the rows of a table may be used for.

    `OUT_OF_FOLD`: training pictures, each answered by a network that has not seen it; stages are
    fitted on these. `VALID`: stages choose on these. `TEST`: nothing is fitted or chosen on these.
    `SEEN`: training pictures answered by networks that were trained on them; they tell how far a
    network is overfitted, and nothing is ever fitted on them.
    """

    OUT_OF_FOLD = "out_of_fold"
    VALID = "valid"
    TEST = "test"
    SEEN = "seen"


@dataclass(frozen=True, eq=False)
class Rows:
    """The pictures of a table.

    Attributes:
        ids: N ids.
        sha256: Hash of the content of each.
        groups: Group of each: pictures of one group show the same thing.
        truth: (N, K), what they show.
        folds: (N,) fold that each training picture is held out in; -1 for other pictures.
    """

    ids: tuple[str, ...]
    sha256: tuple[str, ...]
    groups: tuple[str, ...]
    truth: Bools
    folds: Ints

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, where: Ints) -> Rows:
        """Some of the rows, by position."""
        names = ([values[i] for i in where] for values in (self.ids, self.sha256, self.groups))
        ids, hashes, groups = (tuple(one) for one in names)
        return Rows(ids, hashes, groups, self.truth[where], self.folds[where])


@dataclass(frozen=True)
class Maker:
    """A network that made rows.

    Attributes:
        fingerprint: Of its bundle.
        fitted_on: SHA-256 of every picture that its weights were fitted on.
        groups: Their groups.
        chosen_on: SHA-256 of the pictures that its epoch and thresholds were chosen on.
    """

    fingerprint: str
    fitted_on: frozenset[str]
    groups: frozenset[str]
    chosen_on: frozenset[str]

    @classmethod
    def of(cls, bundle: Bundle) -> Maker:
        """The record that `bundle` carries (decision 8)."""
        chosen = {one for part, seen in bundle.seen.items() if part != "weights" for one in seen}
        return cls(
            bundle.fingerprint,
            frozenset(bundle.seen.get("weights", ())),
            frozenset(bundle.groups.get("weights", ())),
            frozenset(chosen),
        )

    def saw(self, sha256: str, group: str) -> bool:
        """Whether its weights were fitted on this picture, or on one of its group."""
        return sha256 in self.fitted_on or group in self.groups


@dataclass(frozen=True, eq=False)
class Table:
    """The answers of one member to some pictures.

    Attributes:
        member: Its name.
        role: What the rows may be used for.
        rows: The pictures.
        makers: The networks that answered: one of each fold, or the one of all training pictures.
        made_by: (N,) position in `makers` of the network that made each row.
        probability: (N, K).
        embedding: (N, D), what the last linear layer of the network was given.
        anchors: For each maker (A, D): its embeddings of the anchor pictures.
        anchor_ids: Ids of the A anchor pictures.
    """

    member: str
    role: Role
    rows: Rows
    makers: tuple[Maker, ...]
    made_by: Ints
    probability: Singles
    embedding: Singles
    anchors: tuple[Singles, ...]
    anchor_ids: tuple[str, ...]

    @cached_property
    def seen(self) -> Bools:
        """(N,) whether the maker of a row had its weights fitted on that picture or its group."""
        marks = zip(self.rows.sha256, self.rows.groups, self.made_by, strict=True)
        return np.array([self.makers[by].saw(sha, group) for sha, group, by in marks], bool)

    @cached_property
    def relative(self) -> Singles:
        """(N, A) cosine of each embedding with those of the anchors, around the anchors' mean.

        Networks of different folds have different axes: their embeddings cannot be laid beside
        each other. Angles between pictures do agree (Moschella et al. 2023, Relative
        representations enable zero-shot latent space communication, eq. 2), so a picture is told
        by its similarity to the same A pictures in every network.
        """
        found = np.zeros((len(self.rows), len(self.anchor_ids)), np.float32)
        for number, anchors in enumerate(self.anchors):
            where = self.made_by == number
            centre = anchors.mean(axis=0)
            found[where] = _unit(self.embedding[where] - centre) @ _unit(anchors - centre).T
        return self._without_themselves(found)

    def _without_themselves(self, found: Singles) -> Singles:
        """An anchor is not told by being itself: it takes its highest similarity to another."""
        column = {name: index for index, name in enumerate(self.anchor_ids)}
        if len(column) < 2:
            return found
        for row, name in enumerate(self.rows.ids):
            if name in column:
                found[row, column[name]] = np.delete(found[row], column[name]).max()
        return found


@dataclass(frozen=True, eq=False)
class Inputs:
    """The answers of all members to the same pictures: what stages are given.

    Attributes:
        members: M names.
        kind: How classes relate.
        role: What the rows may be used for.
        rows: The N pictures.
        probability: (N, M, K).
        relative: (N, M, A); see `Table.relative`.
        seen: (N,) whether any maker of a row has seen it.
    """

    members: tuple[str, ...]
    kind: LabelKind
    role: Role
    rows: Rows
    probability: Floats
    relative: Singles
    seen: Bools

    @classmethod
    def of(cls, tables: Sequence[Table], kind: LabelKind) -> Inputs:
        """Tables of one role, of the same pictures in the same order, beside each other.

        Raises:
            ContractError: They are not.
        """
        first = tables[0]
        for table in tables[1:]:
            if table.rows.ids != first.rows.ids or table.role is not first.role:
                raise ContractError(
                    f"{table.member} ({table.role}, {len(table.rows)} rows) and {first.member} "
                    f"({first.role}, {len(first.rows)} rows) do not answer the same pictures",
                    where="tables",
                    remedy="answer all pictures with every member, in one order",
                )
        return cls(
            tuple(table.member for table in tables), kind, first.role, first.rows,
            np.stack([table.probability for table in tables], axis=1).astype(np.float64),
            np.stack([table.relative for table in tables], axis=1),
            np.any([table.seen for table in tables], axis=0),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def logits(self) -> Floats:
        """(N, M, K) logits that give the probabilities."""
        found = logits_of(self.probability.reshape(-1, self.probability.shape[2]), self.kind)
        return found.reshape(self.probability.shape)

    def take(self, where: Ints | Bools) -> Inputs:
        """Some of the rows, by position or by a mask."""
        where = np.arange(len(self))[where]
        return Inputs(
            self.members, self.kind, self.role, self.rows.take(where),
            self.probability[where], self.relative[where], self.seen[where],
        )  # fmt: skip


def logits_of(probability: Floats, kind: LabelKind) -> Floats:
    """(N, K) probabilities -> logits that give them (for a softmax: up to a constant of a row)."""
    found: Floats = to_logits(torch.from_numpy(np.ascontiguousarray(probability)), kind).numpy()
    return found


def check_may_fit(inputs: Inputs) -> None:
    """Refuse rows that nothing may be fitted on.

    Raises:
        LeakageError: They are not training pictures out of fold, or a maker has seen one.
    """
    if inputs.role is not Role.OUT_OF_FOLD:
        raise LeakageError(
            f"a stage would be fitted on a table of role {inputs.role.value!r}",
            remedy=f"fit on {Role.OUT_OF_FOLD.value!r}, choose on {Role.VALID.value!r}",
        )
    if inputs.seen.any():
        raise LeakageError(
            f"a stage would be fitted on {int(inputs.seen.sum())} rows whose makers were trained "
            f"on them: {_listed(inputs, inputs.seen)}",
            remedy="give out-of-fold answers: each picture by a network that has not seen it",
        )


def check_may_choose(valid: Inputs, train: Inputs) -> None:
    """Refuse rows that nothing may be chosen on, where `train` was fitted on.

    Raises:
        LeakageError: They are no validation pictures, a maker was trained on one, or one of its
            group is in `train`.
    """
    if valid.role is not Role.VALID:
        raise LeakageError(
            f"a stage would choose on a table of role {valid.role.value!r}",
            remedy=f"choose on {Role.VALID.value!r}",
        )
    hashes, groups = set(train.rows.sha256), set(train.rows.groups)
    known = [
        seen or sha in hashes or group in groups
        for seen, sha, group in zip(valid.seen, valid.rows.sha256, valid.rows.groups, strict=True)
    ]
    if any(known):
        raise LeakageError(
            f"a stage would choose on {sum(known)} pictures that were fitted on: "
            f"{_listed(valid, np.array(known))}",
            remedy="training and validation must not share pictures or groups",
        )


def _listed(inputs: Inputs, where: Bools) -> str:
    names = [inputs.rows.ids[row] for row in np.flatnonzero(where)]
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _unit(vectors: Singles) -> Singles:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Singles = vectors / np.maximum(length, 1e-12)
    return found
