"""Values of the stages against closed forms and other libraries."""

import dataclasses

import numpy as np
import pytest
import torch
from ensemble_samples import inputs, train_and_valid
from scipy.optimize import minimize
from scipy.special import softmax

from faultline.ensemble import heads
from faultline.ensemble.stage import STAGES, StageNotPossibleError, crossfit
from faultline.ensemble.stages.boosting import reweighted, say_of
from faultline.ensemble.stages.cascade import cascaded
from faultline.ensemble.stages.referee import disagreement
from faultline.ensemble.stages.stacking import Logistic
from faultline.ensemble.stages.voting import mixture_weights
from faultline.ensemble.tables import Role
from faultline.errors import ConfigError, LeakageError
from faultline.types import LabelKind


def with_probability(rows, role=Role.TEST):
    """Inputs of hand-written member probabilities (N, M, K)."""
    probability = np.array(rows, float)
    table = inputs(role, len(probability), start=2000)
    return dataclasses.replace(
        table,
        members=table.members[: probability.shape[1]],
        probability=probability,
        relative=table.relative[:, : probability.shape[1]],
    )


THREE = [[[0.9, 0.1, 0.0], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3]]]


def voted(name, rows):
    table = with_probability(rows)
    train = with_probability(rows * 10, Role.OUT_OF_FOLD)
    valid = dataclasses.replace(
        with_probability(rows * 4, Role.VALID),
        rows=inputs(Role.VALID, 4 * len(rows), start=5000).rows,
    )
    stage = STAGES.build(name)
    stage.fit(train, valid)
    return stage.predict(table)[0]


class TestVotes:
    def test_hard_counts_heads_and_not_how_sure_they_are(self):
        found = voted("hard_voting", THREE)
        assert found.argmax() == 1
        assert found.sum() == pytest.approx(1)

    def test_a_tie_goes_by_mean_probability(self):
        assert voted("hard_voting", [[[0.6, 0.4, 0.0], [0.05, 0.9, 0.05]]]).argmax() == 1

    def test_soft_is_the_mean(self):
        assert voted("soft_voting", THREE) == pytest.approx([0.4, 0.4, 0.2])

    def test_logits_give_the_geometric_mean(self):
        rows = [[[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3]]]
        product = np.prod(np.array(rows[0]), axis=0) ** (1 / 3)
        assert voted("logit_voting", rows) == pytest.approx(product / product.sum(), abs=1e-6)

    def test_weights_are_the_likeliest(self):
        likelihood = np.random.default_rng(0).beta(0.7, 0.5, (300, 3)) * [1.0, 0.95, 0.9] + 0.01
        found = mixture_weights(likelihood)

        def loss(free):
            return -np.log(likelihood @ softmax(free)).sum()

        best = softmax(minimize(loss, np.zeros(3), tol=1e-10).x)
        assert found == pytest.approx(best, abs=2e-3)
        assert -np.log(likelihood @ found).sum() <= loss(np.zeros(3))

    def test_segmentation_weights_are_the_ious(self):
        train, valid = train_and_valid()
        stage = STAGES.build("segmentation_voting", ious=[0.6, 0.2, None])
        stage.fit(train, valid)
        found = stage.predict(valid)
        expected = 0.75 * valid.probability[:, 0] + 0.25 * valid.probability[:, 1]
        assert found == pytest.approx(expected)

    def test_without_a_mask_head_there_is_no_such_vote(self):
        with pytest.raises(StageNotPossibleError, match="mask head"):
            STAGES.build("segmentation_voting", ious=[None] * 3).fit(*train_and_valid())


class TestStacking:
    def test_logistic_is_that_of_scikit_learn(self):
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        train, valid = train_and_valid()
        own = Logistic()
        rows = heads.flat_logits(train)
        own.fit((rows, train.rows.truth), (heads.flat_logits(valid), valid.rows.truth), train.kind)
        scaler = StandardScaler().fit(rows.astype(float))
        theirs = LogisticRegression(C=own.strength, max_iter=2000).fit(
            np.clip(scaler.transform(rows.astype(float)), -10, 10), train.rows.truth.argmax(1)
        )
        wanted = theirs.predict_proba(
            np.clip(scaler.transform(heads.flat_logits(valid).astype(float)), -10, 10)
        )
        found = own.probability(heads.flat_logits(valid), valid.kind)
        assert found == pytest.approx(wanted, abs=1e-4)

    @pytest.mark.parametrize("classes", [[0], [0, 2]])
    def test_classes_that_training_lacks_are_never_named(self, classes):
        train, valid = train_and_valid()
        some = np.isin(train.rows.truth.argmax(1), classes)
        stage = STAGES.build("stacking_logistic")
        stage.fit(train.take(some), valid)
        assert set(stage.predict(valid).argmax(1)) <= set(classes)

    @pytest.mark.parametrize("value", [False, True])
    def test_a_label_that_never_changes_is_answered_so(self, value):
        train, valid = train_and_valid(LabelKind.MULTILABEL)
        truth = train.rows.truth.copy()
        truth[:, 1] = value
        rows = dataclasses.replace(train.rows, truth=truth)
        stage = STAGES.build("stacking_logistic")
        stage.fit(dataclasses.replace(train, rows=rows), valid)
        assert ((stage.predict(valid)[:, 1] > 0.5) == value).all()

    def test_it_finds_the_member_that_is_always_right(self):
        train, valid = train_and_valid()

        def with_an_oracle(table):
            probability = table.probability.copy()
            probability[:, 2] = np.where(table.rows.truth, 0.9, 0.05)
            return dataclasses.replace(table, probability=probability)

        stage = STAGES.build("stacking_logistic")
        stage.fit(with_an_oracle(train), with_an_oracle(valid))
        test = with_an_oracle(inputs(Role.TEST, 100, start=2000))
        assert (stage.predict(test).argmax(1) == test.rows.truth.argmax(1)).all()


class TestCrossfit:
    def test_no_row_is_answered_by_a_stage_that_was_fitted_on_it(self):
        train, valid = train_and_valid()
        seen = []

        class Spy:
            name = "spy"

            def fit(self, some, _):
                self.record = type("Record", (), {
                    "fitted_on": frozenset(some.rows.sha256),
                    "groups": frozenset(some.rows.groups),
                })  # fmt: skip

            def predict(self, rows):
                assert not self.record.fitted_on & set(rows.rows.sha256)
                seen.extend(rows.rows.ids)
                return np.full(rows.rows.truth.shape, 0.5)

        crossfit(Spy, train, valid)
        assert sorted(seen) == sorted(train.rows.ids)

    def test_a_group_over_two_folds_is_refused(self):
        train, valid = train_and_valid()
        rows = dataclasses.replace(train.rows, groups=("one",) * len(train))
        with pytest.raises(LeakageError, match="share pictures or groups"):
            crossfit(
                lambda: STAGES.build("soft_voting"), dataclasses.replace(train, rows=rows), valid
            )

    def test_the_meta_learner_is_fitted_on_crossfitted_answers(self, monkeypatch):
        from faultline.ensemble.stages import meta

        asked = []

        def spy(build, train, valid):
            asked.append(build().name)
            return crossfit(build, train, valid)

        monkeypatch.setattr(meta, "crossfit", spy)
        STAGES.build("meta_learner").fit(*train_and_valid())
        assert asked == ["soft_voting", "logit_voting", "stacking_logistic"]


class TestExperts:
    @pytest.mark.parametrize("top", [1, 2])
    def test_as_many_members_answer_as_were_asked_for(self, top):
        train, valid = train_and_valid()
        stage = STAGES.build("mixture_of_experts", top_k=top)
        stage.fit(train, valid)
        shares = stage.shares(valid)
        assert ((shares > 0).sum(axis=1) == top).all()
        mixed = np.einsum("nm,nmk->nk", shares, valid.probability)
        assert stage.predict(valid) == pytest.approx(mixed, abs=1e-5)

    def test_more_members_than_there_are_is_all_of_them(self):
        stage = STAGES.build("mixture_of_experts", top_k=9)
        stage.fit(*train_and_valid())
        assert (stage.shares(inputs(Role.TEST, 5, start=2000)) > 0).all()


class TestCascade:
    def test_the_first_level_that_is_sure_answers(self):
        first = np.array([[0.9, 0.1], [0.6, 0.4], [0.55, 0.45]])
        second = np.array([[0.0, 1.0], [0.2, 0.8], [0.5, 0.5]])
        third = np.array([[0.3, 0.7]] * 3)
        found = cascaded([first, second, third], [0.8, 0.7])
        assert found == pytest.approx(np.array([first[0], second[1], third[2]]))

    def test_levels_learn_from_fewer_and_fewer(self):
        stage = STAGES.build("cascade")
        train, valid = train_and_valid()
        stage.fit(train, valid)
        wrong = train.probability[:, stage.first].argmax(1) != train.rows.truth.argmax(1)
        assert stage.hard[0] == wrong.sum()
        assert stage.hard == sorted(stage.hard, reverse=True)
        assert len(stage.hard) <= 4
        assert len(stage.confidences) == len(stage.hard)

    def test_it_is_no_worse_than_its_first_level_on_validation(self):
        stage = STAGES.build("cascade")
        train, valid = train_and_valid()
        stage.fit(train, valid)
        labels = valid.rows.truth.argmax(1)
        alone = (valid.probability[:, stage.first].argmax(1) == labels).mean()
        assert (stage.predict(valid).argmax(1) == labels).mean() >= alone

    def test_without_errors_there_is_nothing_to_learn(self):
        train, valid = train_and_valid()
        sure = dataclasses.replace(
            train, probability=np.repeat(train.rows.truth[:, None] * 1.0, 3, axis=1)
        )
        with pytest.raises(StageNotPossibleError, match="0 errors out of fold"):
            STAGES.build("cascade").fit(sure, valid)

    def test_more_than_five_levels_are_refused(self):
        with pytest.raises(ConfigError, match="levels=6"):
            STAGES.build("cascade", levels=6)


class TestBoosting:
    @pytest.mark.parametrize("classes", [2, 4])
    def test_after_a_round_it_is_as_bad_as_guessing(self, classes):
        rng = np.random.default_rng(0)
        weights = rng.random(50)
        weights /= weights.sum()
        wrong = rng.random(50) < 0.3
        error = weights[wrong].sum()
        new = reweighted(weights, wrong, say_of(error, classes))
        # SAMME: right and wrong rows are balanced so that guessing would do as well.
        assert new.sum() == pytest.approx(1)
        assert new[wrong].sum() == pytest.approx((classes - 1) / classes)

    def test_a_round_that_guesses_has_no_say(self):
        assert say_of(0.75, 4) == pytest.approx(0)
        assert say_of(0.5, 2) == pytest.approx(0)

    def test_errors_and_says_belong_together(self):
        stage = STAGES.build("boosting", rounds=5)
        stage.fit(*train_and_valid())
        assert 1 <= len(stage.says) <= len(stage.errors) <= 5
        for error, say in zip(stage.errors, stage.says, strict=False):
            assert say == pytest.approx(say_of(error, 3))

    @pytest.mark.parametrize("rounds", [4, 11])
    def test_rounds_are_five_to_ten(self, rounds):
        with pytest.raises(ConfigError, match="5 to 10"):
            STAGES.build("boosting", rounds=rounds)


class TestReferee:
    def test_disagreement_is_the_share_against_the_commonest(self):
        table = with_probability([np.eye(3)[[0, 0, 0]], np.eye(3)[[0, 1, 0]], np.eye(3)[[0, 1, 2]]])
        assert disagreement(table) == pytest.approx([0, 1 / 3, 2 / 3])

    def test_where_members_agree_it_is_their_mean(self):
        train, valid = train_and_valid()
        stage = STAGES.build("referee")
        stage.fit(train, valid)
        agree = disagreement(valid) <= 0.4
        assert agree.any()
        mean = valid.probability.mean(axis=1)
        assert stage.predict(valid)[agree] == pytest.approx(mean[agree])
        stage.share = 1.0
        assert not np.allclose(stage.predict(valid)[~agree], mean[~agree])

    def test_members_that_agree_need_no_referee(self):
        train, valid = train_and_valid()
        same = dataclasses.replace(train, probability=train.probability[:, [0, 0, 0]])
        with pytest.raises(StageNotPossibleError, match=r"disagree by more than 0\.4 on 0"):
            STAGES.build("referee").fit(same, valid)


class TestHeads:
    def test_weights_of_rows_count(self):
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(200, 2)).astype(np.float32)
        truth = np.eye(2)[(rows[:, 0] > 0).astype(int)]
        truth[100:] = 1 - truth[100:]
        loss = heads.loss_for(LabelKind.MULTICLASS)
        for half, sign in ((slice(0, 100), 1), (slice(100, 200), -1)):
            weights = np.full(200, 1e-3)
            weights[half] = 1.0
            head = heads.fit_head(
                lambda: heads.mlp(2, 2, 8, 0.0), (rows, truth), (rows[half], truth[half]), loss,
                seed=0, weights=weights,
            )  # fmt: skip
            found = heads.answer(head, np.array([[2.0, 0.0]], np.float32), LabelKind.MULTICLASS)
            assert (found[0, 1] > 0.8) == (sign > 0)

    def test_a_constant_feature_does_no_harm(self):
        layer = heads.Standardise([2])
        layer.learn(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
        assert layer(torch.tensor([[2.0, 5.0]])).tolist() == [[0.0, 0.0]]
