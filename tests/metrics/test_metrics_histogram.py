import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, precision_recall_curve

from faultline.errors import ConfigError, ContractError, MaskError
from faultline.metrics import BinaryCounts, ProbabilityHistogram, count_binary, decide
from faultline.metrics.histogram import quantise, reaching

FAST = settings(deadline=None, max_examples=40)
KINDS = st.sampled_from([np.float32, np.float64])


@st.composite
def on_and_around_steps(draw, bins=1000):
    """Probabilities on the steps k/bins, one ulp to either side, and anywhere."""
    kind = draw(KINDS)
    size = draw(st.integers(1, 40))
    steps = np.array(draw(st.lists(st.integers(0, bins), min_size=size, max_size=size)))
    values = (steps / bins).astype(kind)
    shifts = draw(hnp.arrays(np.int8, size, elements=st.integers(-1, 1)))
    values = np.where(shifts < 0, np.nextafter(values, kind(-1)), values)
    values = np.where(shifts > 0, np.nextafter(values, kind(2)), values)
    width = 32 if kind is np.float32 else 64
    anywhere = draw(hnp.arrays(kind, size, elements=st.floats(0, 1, width=width)))
    values = np.where(draw(hnp.arrays(np.bool_, size)), values, anywhere).astype(kind)
    truth = draw(hnp.arrays(np.uint8, size, elements=st.sampled_from([0, 1, 255])))
    return values.clip(0, 1), truth


def build(values, truth, bins=1000):
    histogram = ProbabilityHistogram(bins)
    histogram.update(values, truth)
    return histogram


def same(first, second):
    assert (first.counts == second.counts).all()
    assert (first.sums == second.sums).all()
    assert (first.nan == second.nan).all()
    assert (first.ignored, first.positives) == (second.ignored, second.positives)
    np.testing.assert_equal([first.low, first.high], [second.low, second.high])


@FAST
@given(on_and_around_steps())
def test_counts_equal_direct_counting_at_every_step(sample):
    values, truth = sample
    curve = build(values, truth).curve()
    steps = np.arange(1001) / 1000
    assert (curve.threshold == steps).all()
    painted = values[None, :] >= steps.astype(values.dtype)[:, None]
    assert (curve.tp == (painted & (truth == 1)).sum(axis=1)).all()
    assert (curve.fp == (painted & (truth == 0)).sum(axis=1)).all()
    assert (curve.fn == (~painted & (truth == 1)).sum(axis=1)).all()
    assert (curve.tn == (~painted & (truth == 0)).sum(axis=1)).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("bins", [2, 7, 100, 1000, 4096, 10_000])
def test_every_edge_and_both_its_neighbours(kind, bins):
    edges = (np.arange(bins + 1) / bins).astype(kind)
    below, above = np.nextafter(edges, kind(-1))[1:], np.nextafter(edges, kind(2))[:-1]
    assert (quantise(edges, bins) == np.arange(bins + 1)).all()
    assert (quantise(below, bins) == np.arange(bins)).all()
    assert (quantise(above, bins) == np.arange(bins)).all()


@FAST
@given(on_and_around_steps(), st.integers(0, 1000))
def test_counts_at_equals_the_decision_rule(sample, step):
    values, truth = sample
    threshold = step / 1000
    assert build(values, truth).counts_at(threshold) == count_binary(
        decide(values, threshold), truth
    )


@FAST
@given(st.lists(on_and_around_steps(), min_size=3, max_size=3))
def test_merging_is_associative_and_streaming_equals_pooled(samples):
    a, b, c = (build(*sample) for sample in samples)
    same((a + b) + c, a + (b + c))
    same(a + b, b + a)
    same(sum([a, b, c]), (a + b) + c)
    streamed = ProbabilityHistogram()
    for sample in samples:
        streamed.update(*sample)
    same(streamed, a + b + c)
    kinds = {values.dtype for values, _ in samples}
    if len(kinds) == 1:
        values = np.concatenate([values for values, _ in samples])
        truth = np.concatenate([truth for _, truth in samples])
        same(build(values, truth), streamed)


def test_torch_batch_equals_numpy_images():
    generator = np.random.default_rng(0)
    values = generator.random((3, 1, 200, 210), dtype=np.float32)
    truth = generator.choice([0, 1, 255], (3, 1, 200, 210)).astype(np.uint8)
    streamed = ProbabilityHistogram()
    for image, mask in zip(values, truth, strict=True):
        streamed.update(image, mask)
    same(build(torch.from_numpy(values), torch.from_numpy(truth)), streamed)
    assert streamed.low == values[truth != 255].min()
    assert streamed.high == values[truth != 255].max()
    assert streamed.mean == pytest.approx(values[truth != 255].mean(dtype=float), abs=1e-7)
    half = torch.from_numpy(values).half()
    same(build(half, torch.from_numpy(truth)), build(half.float(), torch.from_numpy(truth)))


def test_nan_reaches_no_threshold_but_keeps_its_place_in_the_truth():
    values = np.array([0.9, np.nan, np.nan, 0.2, np.nan], dtype=np.float32)
    truth = np.array([1, 1, 0, 0, 255], dtype=np.uint8)
    histogram = build(values, truth)
    assert histogram.nan.tolist() == [1, 1]
    assert histogram.counts_at(0.0) == BinaryCounts(tp=1, fp=1, fn=1, tn=1)
    assert (histogram.pixels, histogram.ignored) == (4, 1)
    assert histogram.low == pytest.approx(0.2)
    assert histogram.average_precision() == pytest.approx(0.5)
    nothing = build(np.full(3, np.nan), np.array([0, 1, 255], np.uint8))
    assert math.isnan(nothing.low)
    assert math.isnan(nothing.mean)


def test_refusals():
    truth = np.zeros(2, np.uint8)
    histogram = ProbabilityHistogram()
    with pytest.raises(ContractError, match=r"-3 to 2.*sigmoid"):
        histogram.update(np.array([-3.0, 2.0]), truth)
    with pytest.raises(ContractError, match=r"to inf"):
        histogram.update(np.array([np.nan, np.inf]), truth)
    with pytest.raises(ContractError, match="differ"):
        histogram.update(np.array([0.5]), truth)
    with pytest.raises(ContractError, match="not a floating type"):
        histogram.update(np.array([0, 1]), truth)
    with pytest.raises(MaskError, match="values 0, 7"):
        histogram.update(np.array([0.5, 0.5]), np.array([0, 7], np.uint8))
    assert histogram.pixels == 0, "a refused image leaves no trace"
    with pytest.raises(ConfigError, match=r"0\.12345"):
        histogram.counts_at(0.12345)
    assert histogram.counts_at(0.12345, nearest=True) == BinaryCounts()
    with pytest.raises(ConfigError, match=r"\[0, 1\]"):
        histogram.counts_at(1.5)
    with pytest.raises(ConfigError, match="bins=1"):
        ProbabilityHistogram(1)
    with pytest.raises(ContractError, match="cannot be added"):
        histogram + ProbabilityHistogram(100)


@FAST
@given(st.integers(0, 2**32 - 1))
def test_average_precision_against_sklearn(seed):
    generator = np.random.default_rng(seed)
    truth = (generator.random(400) < 0.2).astype(np.uint8)
    truth[0] = 1
    values = (generator.random(400) * 0.7 + 0.3 * truth * generator.random(400)).astype(np.float32)
    histogram = build(values, truth)
    # Exact on the values that the histogram keeps, close on the raw ones.
    kept = quantise(values, 1000) / 1000
    assert histogram.average_precision() == pytest.approx(average_precision_score(truth, kept))
    raw = average_precision_score(truth, values)
    assert histogram.average_precision() == pytest.approx(raw, abs=0.03)


def test_curve_against_sklearn():
    generator = np.random.default_rng(1)
    truth = (generator.random(500) < 0.3).astype(np.uint8)
    kept = generator.integers(0, 1001, 500) / 1000
    curve = build(kept, truth).curve()
    precision, recall, thresholds = precision_recall_curve(truth, kept)
    at = np.round(thresholds * 1000).astype(int)
    np.testing.assert_allclose(curve.precision[at], precision[:-1])
    np.testing.assert_allclose(curve.recall[at], recall[:-1])
    assert np.isnan(curve.precision[curve.tp + curve.fp == 0]).all()
    np.testing.assert_allclose(curve.dice, 2 * curve.iou / (1 + curve.iou))


def test_average_precision_is_not_defined_without_positives():
    assert math.isnan(build(np.array([0.5]), np.array([0], np.uint8)).average_precision())


@pytest.mark.parametrize("bins", [1, 7, 10, 15, 1000])
def test_reliability_against_direct_sums(bins):
    generator = np.random.default_rng(2)
    values = generator.random(5000, dtype=np.float32) ** 2
    truth = (generator.random(5000) < values).astype(np.uint8)
    found = build(values, truth).reliability(bins)
    assert len(found.edges) == bins + 1
    index = np.digitize(values, found.edges.astype(np.float32)[1:-1])
    pixels = np.bincount(index, minlength=bins)
    sums = np.bincount(index, weights=values.astype(float), minlength=bins)
    positives = np.bincount(index, weights=truth, minlength=bins)
    assert (found.pixels == pixels).all()
    full = pixels > 0
    np.testing.assert_allclose(found.confidence[full], sums[full] / pixels[full], atol=1e-7)
    np.testing.assert_allclose(found.observed[full], positives[full] / pixels[full])
    assert np.isnan(found.confidence[~full]).all()
    ece = np.abs(sums - positives).sum() / 5000
    assert found.ece == pytest.approx(ece, abs=1e-6)
    np.testing.assert_allclose(found.edges, np.ceil(np.arange(bins + 1) * 1000 / bins) / 1000)


def test_calibration_closed_form():
    values = np.repeat([0.25, 0.75], 100)
    perfect = np.concatenate([np.arange(100) < 25, np.arange(100) < 75])
    assert build(values, perfect).reliability().ece == pytest.approx(0, abs=1e-12)
    wrong = np.concatenate([np.arange(100) < 50, np.arange(100) < 50])
    assert build(values, wrong).reliability().ece == pytest.approx(0.25)
    assert math.isnan(ProbabilityHistogram().reliability().ece)
    with pytest.raises(ConfigError, match="bins=0"):
        ProbabilityHistogram().reliability(0)


def test_reaching():
    assert reaching(np.array([[1, 2, 3]])).tolist() == [[6, 5, 3]]
