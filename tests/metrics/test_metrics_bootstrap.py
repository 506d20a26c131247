import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from faultline.errors import ConfigError, ContractError
from faultline.metrics import Resampler, bootstrap_interval, paired_difference_interval
from faultline.metrics.ratios import iou, ratio


def pooled_iou(sums):
    return iou(sums[:, 0], sums[:, 1], sums[:, 2])


def mean(sums):
    return ratio(sums[:, 0], sums[:, 1])


def counts(images=60, seed=0, shift=0):
    return np.random.default_rng(seed).poisson([300 - shift, 80, 90], (images, 3))


def test_value_is_the_pooled_statistic_and_seeds_repeat():
    table = counts()
    tp, fp, fn = table.sum(axis=0)
    interval = bootstrap_interval(table, pooled_iou, seed=3)
    assert interval.value == tp / (tp + fp + fn)
    assert interval.low < interval.value < interval.high
    assert interval == bootstrap_interval(table, pooled_iou, seed=3)
    assert interval != bootstrap_interval(table, pooled_iou, seed=4)
    assert interval.to_dict() == {
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
    }


def test_mean_interval_against_scipy_and_the_normal_formula():
    values = np.random.default_rng(1).normal(0.6, 0.1, 200)
    table = np.column_stack([values, np.ones(200)])
    interval = bootstrap_interval(table, mean, resamples=4000)
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert interval.low == pytest.approx(reference.low, abs=0.002)
    assert interval.high == pytest.approx(reference.high, abs=0.002)
    half = 1.96 * values.std() / np.sqrt(200)
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.08)


def test_sums_are_exact_and_match_a_loop():
    table = counts(7) * 10**9
    draw = Resampler(7, resamples=300, seed=5)
    picks = np.random.default_rng(5).integers(0, 7, (300, 7), dtype=np.int32)
    assert (draw.sums(table) == np.stack([table[pick].sum(axis=0) for pick in picks])).all()


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=12), st.integers(0, 100))
def test_groups_are_drawn_whole(groups, seed):
    # One column a group: within a draw all images of a group must count equally often.
    table = np.eye(len(groups), dtype=int)
    sums = Resampler(len(groups), groups, resamples=20, seed=seed).sums(table)
    distinct = sorted(set(groups))
    for group in distinct:
        columns = sums[:, [g == group for g in groups]]
        assert (columns == columns[:, :1]).all()
    first = [groups.index(group) for group in distinct]
    assert (sums[:, first].sum(axis=1) == len(distinct)).all()


def test_grouped_interval_is_wider_for_repeated_images():
    table = np.repeat(counts(20), 5, axis=0)
    groups = np.repeat(np.arange(20), 5).tolist()
    alone = bootstrap_interval(table, pooled_iou)
    grouped = bootstrap_interval(table, pooled_iou, groups=groups)
    assert grouped.value == alone.value
    assert grouped.high - grouped.low > 1.7 * (alone.high - alone.low)


def test_nothing_to_resample_has_no_interval():
    one = bootstrap_interval([[3, 1, 0]], pooled_iou)
    assert one.value == 0.75
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    same = bootstrap_interval(counts(4), pooled_iou, groups=["a"] * 4)
    assert math.isnan(same.low)
    none = bootstrap_interval(np.zeros((0, 3)), pooled_iou)
    assert math.isnan(none.value)
    empty = bootstrap_interval(np.zeros((5, 3)), pooled_iou)
    assert math.isnan(empty.value)
    assert empty.resamples == 0


def test_draws_where_it_is_not_defined_are_left_out():
    interval = bootstrap_interval([[1, 0, 0], [0, 0, 0]], pooled_iou, resamples=400)
    assert interval.value == interval.low == interval.high == 1.0
    assert interval.resamples == pytest.approx(300, abs=40)


def test_paired_difference_sees_what_two_intervals_do_not():
    generator = np.random.default_rng(0)
    hard = generator.integers(20, 280, 50)
    first = np.column_stack([hard + generator.integers(4, 8, 50), 300 - hard, np.full(50, 20)])
    second = np.column_stack([hard, 300 - hard, np.full(50, 20)])
    one, two = (bootstrap_interval(table, pooled_iou) for table in (first, second))
    assert two.high > one.low, "apart, the intervals overlap"
    difference = paired_difference_interval(first, second, pooled_iou)
    assert difference.value == pytest.approx(one.value - two.value)
    assert difference.low > 0
    assert difference.excludes_zero
    same = paired_difference_interval(first, first, pooled_iou)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert not same.excludes_zero


def test_coverage():
    # 95 % intervals of a known mean must hold it in about 95 % of repeated samples.
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        values = generator.random(40)
        table = np.column_stack([values, np.ones(40)])
        interval = bootstrap_interval(table, mean, resamples=300)
        hits += interval.low <= 0.5 <= interval.high
    assert 180 <= hits <= 200


def test_refusals():
    table = counts(3)
    with pytest.raises(ConfigError, match="resamples=0"):
        bootstrap_interval(table, pooled_iou, resamples=0)
    with pytest.raises(ConfigError, match=r"level=1\.0"):
        bootstrap_interval(table, pooled_iou, level=1.0)
    with pytest.raises(ContractError, match="2 groups for 3 images"):
        bootstrap_interval(table, pooled_iou, groups=[1, 2])
    with pytest.raises(ContractError, match="one row for each of 4 images"):
        Resampler(4).sums(table)
    with pytest.raises(ContractError, match="expected"):
        bootstrap_interval(table, lambda sums: 0.5)
    with pytest.raises(ContractError, match=r"\(3, 3\) and \(4, 3\) differ"):
        paired_difference_interval(table, counts(4), pooled_iou)
