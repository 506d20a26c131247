"""Tables know what may be fitted on, and tell embeddings of different networks alike."""

import dataclasses

import numpy as np
import pytest

from faultline.ensemble.store import Answers, Store
from faultline.ensemble.tables import Inputs, Maker, Role, Rows, Table
from faultline.errors import ContractError
from faultline.types import LabelKind


def maker(name, fitted=(), groups=()):
    return Maker(name, frozenset(fitted), frozenset(groups), frozenset())


def table(makers, made_by, embedding, anchors, anchor_ids=("x", "y", "z")):
    count = len(embedding)
    names = tuple("abcdefgh"[:count])
    rows = Rows(names, names, tuple(f"group {n}" for n in names), np.zeros((count, 2), bool),
                np.array(made_by))  # fmt: skip
    return Table(
        "net", Role.OUT_OF_FOLD, rows, makers, np.array(made_by),
        np.full((count, 2), 0.5, np.float32), embedding, anchors, anchor_ids,
    )  # fmt: skip


def test_a_row_is_seen_by_content_or_by_group():
    rng = np.random.default_rng(0)
    makers = (maker("one", ["a"]), maker("two", ["b"], ["group d"]))
    made = table(makers, [0, 0, 1, 1], rng.normal(size=(4, 5)).astype("f4"),
                 (np.eye(3, 5, dtype="f4"),) * 2)  # fmt: skip
    # b was seen by the other network only, d by its group.
    assert made.seen.tolist() == [True, False, False, True]


def test_turned_and_scaled_networks_tell_the_same():
    rng = np.random.default_rng(0)
    pictures, anchors = rng.normal(size=(4, 6)), rng.normal(size=(3, 6))
    turn, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    shift = rng.normal(size=6)

    def other(vectors):
        return (2.5 * vectors @ turn + shift).astype("f4")

    plain = table((maker("one"),), [0] * 4, pictures.astype("f4"), (anchors.astype("f4"),))
    turned = table((maker("two"),), [0] * 4, other(pictures), (other(anchors),))
    assert plain.relative == pytest.approx(turned.relative, abs=1e-5)
    # Of two networks in one table each is told in its own space.
    mixed = table(
        (maker("one"), maker("two")), [0, 1, 0, 1],
        np.where(np.array([[0], [1], [0], [1]]) == 0, pictures, other(pictures)).astype("f4"),
        (anchors.astype("f4"), other(anchors)),
    )  # fmt: skip
    assert mixed.relative == pytest.approx(plain.relative, abs=1e-5)


def test_relative_values_are_cosines_around_the_anchors_mean():
    anchors = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], "f4")
    made = table((maker("m"),), [0, 0], np.array([[3, 0], [2, 2]], "f4"), (anchors,), tuple("wxyz"))
    half = np.sqrt(0.5)
    assert made.relative == pytest.approx(np.array([[1, -1, 0, 0], [half, -half, half, -half]]))


def test_an_anchor_does_not_know_itself():
    anchors = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], "f4")
    made = table((maker("m"),), [0], np.array([[3, 0]], "f4"), (anchors,), ("a", "x", "y", "z"))
    assert made.relative.tolist() == [[0, -1, 0, 0]]


def test_members_must_answer_the_same_pictures():
    one = table((maker("m"),), [0, 0], np.ones((2, 2), "f4"), (np.eye(3, 2, dtype="f4"),))
    short = dataclasses.replace(one, rows=one.rows.take(np.array([0])))
    with pytest.raises(ContractError, match="do not answer the same pictures"):
        Inputs.of([one, short], LabelKind.MULTICLASS)


@pytest.mark.parametrize("kind", [LabelKind.MULTICLASS, LabelKind.MULTILABEL])
def test_logits_give_the_probabilities_back(kind):
    from ensemble_samples import inputs
    from scipy.special import expit
    from scipy.special import softmax as exactly

    made = inputs(kind=kind, count=20)
    back = exactly(made.logits, axis=2) if kind is LabelKind.MULTICLASS else expit(made.logits)
    assert back == pytest.approx(made.probability, abs=1e-6)


class TestStore:
    def answers(self):
        rng = np.random.default_rng(0)
        probability, embedding, anchors = (
            rng.random(shape).astype("f4") for shape in ((2, 3), (2, 4), (1, 4))
        )
        names, hashes = ("a", "b"), ("1", "2")
        by = maker("m", ["3"], ["g"])
        return Answers(names, hashes, probability, embedding, anchors, ("x",), by)

    def load(self, store, **other):
        made = self.answers()
        wanted = {"maker": made.maker, "ids": made.ids, "anchor_ids": made.anchor_ids} | other
        return store.load("net", "fold-0", Role.OUT_OF_FOLD, **wanted)

    def test_what_was_written_is_read(self, tmp_path):
        store, made = Store(tmp_path), self.answers()
        assert self.load(store) is None
        store.save("net", "fold-0", Role.OUT_OF_FOLD, made)
        again = self.load(store)
        for name in ("probability", "embedding", "anchors"):
            assert np.array_equal(getattr(again, name), getattr(made, name))
        assert again.maker == made.maker

    @pytest.mark.parametrize(
        "other", [{"maker": maker("other")}, {"ids": ("b", "a")}, {"anchor_ids": ("y",)}]
    )
    def test_answers_of_others_do_not_count(self, tmp_path, other):
        store = Store(tmp_path)
        store.save("net", "fold-0", Role.OUT_OF_FOLD, self.answers())
        assert self.load(store, **other) is None

    @pytest.mark.parametrize("suffix", ["npz", "json"])
    def test_half_written_answers_do_not_count(self, tmp_path, suffix):
        store = Store(tmp_path)
        store.save("net", "fold-0", Role.OUT_OF_FOLD, self.answers())
        (file,) = tmp_path.rglob(f"*.{suffix}")
        file.write_bytes(file.read_bytes()[:20])
        assert self.load(store) is None
