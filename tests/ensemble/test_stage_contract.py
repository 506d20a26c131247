"""What every registered stage keeps: it learns, it forgets nothing on disk, it cannot leak."""

import dataclasses

import numpy as np
import pytest
import torch
from ensemble_samples import inputs, train_and_valid

from faultline.ensemble import stages  # noqa: F401
from faultline.ensemble.stage import STAGES, StageNotPossibleError, describe, load_stage
from faultline.ensemble.tables import Role
from faultline.errors import ContractError, LeakageError, MissingExtraError
from faultline.types import LabelKind

NEEDED = {"segmentation_voting": {"ious": [0.7, 0.5, None]}}
NAMES = STAGES.names()


def build(name):
    return STAGES.build(name, **NEEDED.get(name, {}))


def fitted(name, kind=LabelKind.MULTICLASS):
    stage = build(name)
    try:
        stage.fit(*train_and_valid(kind))
    except MissingExtraError as error:
        pytest.skip(str(error))
    return stage


@pytest.fixture(scope="module")
def made():
    """Each stage once; tests that only look share it."""
    kept = {}

    def give(name):
        if name not in kept:
            kept[name] = fitted(name)
        return kept[name]

    return give


def accuracy(stage, table):
    return float((stage.predict(table).argmax(1) == table.rows.truth.argmax(1)).mean())


def test_every_stage_of_the_document_but_distillation_is_there():
    numbers = {entry.builder.number for entry in STAGES}
    assert numbers == {1, 2, 3, 4, 5, 6, 8, 9, 10, 11}


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_probabilities_and_better_than_chance(name, made):
    test = inputs(Role.TEST, 200, start=2000)
    found = made(name).predict(test)
    assert found.shape == (200, 3)
    assert (found >= 0).all()
    assert np.allclose(found.sum(axis=1), 1, atol=1e-4)
    assert accuracy(made(name), test) > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_each_row_is_answered_by_itself(name, made):
    test = inputs(Role.TEST, 60, start=2000)
    order = np.random.default_rng(0).permutation(60)
    whole = made(name).predict(test)
    assert np.allclose(made(name).predict(test.take(order)), whole[order], atol=1e-5)
    assert np.allclose(made(name).predict(test.take(order[:1])), whole[order[:1]], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_answers_the_same(name, made, tmp_path):
    import json

    import safetensors.numpy

    stage, test = made(name), inputs(Role.TEST, 40, start=2000)
    arrays = {key: np.ascontiguousarray(value) for key, value in stage.arrays().items()}
    again = load_stage(
        json.loads(json.dumps(describe(stage))),
        safetensors.numpy.load(safetensors.numpy.save(arrays)),
    )
    assert np.array_equal(again.predict(test), stage.predict(test))
    assert describe(again) == describe(stage)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_and_moves_nothing(name, made):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    again, test = fitted(name), inputs(Role.TEST, 40, start=2000)
    assert np.array_equal(again.predict(test), made(name).predict(test))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_several_classes_a_picture_work_or_are_refused(name):
    if LabelKind.MULTILABEL not in build(name).kinds:
        with pytest.raises(StageNotPossibleError, match="exclude each other"):
            fitted(name, LabelKind.MULTILABEL)
        return
    stage = fitted(name, LabelKind.MULTILABEL)
    test = inputs(Role.TEST, 200, LabelKind.MULTILABEL, start=2000)
    right = (stage.predict(test) >= 0.5) == test.rows.truth
    assert right.mean() > 0.6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("role", [Role.TEST, Role.VALID, Role.SEEN])
def test_nothing_is_fitted_on_other_rows_than_out_of_fold(name, role):
    valid = inputs(Role.VALID, 40, start=1000)
    with pytest.raises(LeakageError, match=f"'{role.value}'"):
        build(name).fit(inputs(role), valid)


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_their_maker_has_seen_are_refused(name):
    train, valid = train_and_valid()
    seen = np.zeros(len(train), bool)
    seen[3] = True
    with pytest.raises(LeakageError, match="1 rows whose makers were trained on them: 0003"):
        build(name).fit(dataclasses.replace(train, seen=seen), valid)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_chosen_on_test_or_on_training_pictures(name):
    train, _ = train_and_valid()
    with pytest.raises(LeakageError, match="choose on a table of role 'test'"):
        build(name).fit(train, inputs(Role.TEST, start=2000))
    with pytest.raises(LeakageError, match="80 pictures that were fitted on"):
        build(name).fit(train, inputs(Role.VALID, 80))


@pytest.mark.parametrize("name", NAMES)
def test_the_record_says_what_was_fitted_and_chosen_on(name, made):
    train, valid = train_and_valid()
    record = made(name).record
    assert record.fitted_on == set(train.rows.sha256)
    assert record.chosen_on == set(valid.rows.sha256)
    assert record.ids == train.rows.ids
    assert record.role is Role.OUT_OF_FOLD


def test_other_members_are_refused(made):
    test = inputs(Role.TEST, 10, start=2000)
    fewer = dataclasses.replace(test, probability=test.probability[:, :2])
    with pytest.raises(ContractError, match="was fitted on"):
        made("soft_voting").predict(fewer)
