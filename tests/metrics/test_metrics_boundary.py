import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import distance_transform_edt
from skimage.morphology import disk as skimage_disk
from skimage.morphology import skeletonize

from faultline.errors import ConfigError, ContractError, MaskError
from faultline.metrics import (
    MatchCounts,
    OdsOis,
    ProbabilityHistogram,
    centreline_counts,
    cldice_counts,
    cliou_counts,
    count_binary,
    decide,
    skeleton,
    sweep_counts,
    tolerance_counts,
)
from faultline.metrics.boundary import dilate, disk

FAST = settings(deadline=None, max_examples=40)
RADII = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 2.3, 3.0, 5.0])
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=14)


def line_image(offset=0, width=1, shape=(40, 60)):
    mask = np.zeros(shape, np.uint8)
    mask[20 + offset : 20 + offset + width, 5:55] = 1
    return mask


def by_distance(mask, radius):
    if not mask.any():
        return mask.astype(bool)
    return distance_transform_edt(~mask.astype(bool)) <= radius


@FAST
@given(hnp.arrays(np.bool_, SHAPES), RADII)
def test_dilation_equals_the_distance_transform(mask, radius):
    assert (dilate(mask, radius) == by_distance(mask, radius)).all()


@pytest.mark.parametrize("radius", [1, 2, 4, 7])
def test_disk_is_that_of_skimage(radius):
    assert (disk(radius) == skimage_disk(radius)).all()


def test_closed_form_of_a_shifted_line():
    truth = line_image()
    for shift in range(6):
        counts = tolerance_counts(line_image(shift), truth, radius=2)
        near = shift <= 2
        assert counts == MatchCounts(50, 50 * near, 50, 50 * near)
        assert counts.precision == counts.recall == counts.f1 == float(near)
    wide = tolerance_counts(line_image(-3, width=7), truth, radius=2)
    assert wide == MatchCounts(7 * 50, 5 * 50, 50, 50)
    assert wide.f1 == pytest.approx(2 * (5 / 7) / (5 / 7 + 1))


@FAST
@given(st.data())
def test_against_distances_with_ignored_pixels(data):
    shape, radius = data.draw(SHAPES), data.draw(RADII)
    truth = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 1, 255])))
    prediction = data.draw(hnp.arrays(np.bool_, shape))
    counts = tolerance_counts(torch.from_numpy(prediction), truth, radius)
    painted, foreground = prediction & (truth != 255), truth == 1
    expected = MatchCounts(
        int(painted.sum()),
        int((painted & by_distance(foreground, radius)).sum()),
        int(foreground.sum()),
        int((foreground & by_distance(painted, radius)).sum()),
    )
    assert counts == expected
    if radius < 1:
        plain = count_binary(prediction, truth)
        for name, other in (("precision", "precision"), ("recall", "recall"), ("f1", "dice")):
            np.testing.assert_equal(getattr(counts, name), getattr(plain, other))
        np.testing.assert_equal(counts.iou, plain.iou)


def test_empty_sides():
    assert MatchCounts(predicted=3).f1 == 0
    assert MatchCounts(truth=3).f1 == 0
    assert math.isnan(MatchCounts(truth=3).precision)
    assert math.isnan(MatchCounts().f1)
    assert math.isnan(MatchCounts().iou)
    assert sum([MatchCounts(1, 1, 2, 1), MatchCounts(3, 2, 2, 1)]) == MatchCounts(4, 3, 4, 2)


def test_read_only_and_strided_images_are_taken():
    truth = line_image()
    prediction = np.zeros((40, 120), np.uint8)[:, ::2]
    truth.flags.writeable = False
    assert tolerance_counts(prediction, truth).truth == 50
    values = np.linspace(0, 1, 40 * 120).reshape(40, 120)[:, ::2]
    values.flags.writeable = False
    assert sweep_counts(values, truth).shape == (4, 99)


def test_refusals():
    mask = line_image()
    with pytest.raises(ContractError, match=r"one image \(H, W\)"):
        tolerance_counts(mask[None], mask[None])
    with pytest.raises(ContractError, match=r"one image \(H, W\)"):
        sweep_counts(mask[None].astype(float), mask[None])
    with pytest.raises(ContractError, match="differ"):
        tolerance_counts(mask, mask[:5])
    with pytest.raises(MaskError, match="values 0, 3"):
        tolerance_counts(mask, mask * 3)
    for radius in (-1.0, math.nan, math.inf):
        with pytest.raises(ConfigError, match="radius"):
            tolerance_counts(mask, mask, radius)
    with pytest.raises(ConfigError, match="thresholds=0"):
        OdsOis(0)


@FAST
@given(st.data())
def test_sweep_equals_counting_at_each_threshold(data):
    shape, radius = data.draw(SHAPES), data.draw(RADII)
    kind = data.draw(st.sampled_from([np.float32, np.float64]))
    steps = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 20)))
    values = (steps / 20).astype(kind)
    if data.draw(st.booleans()):
        values = np.nextafter(values, kind(0))
    values[
        data.draw(hnp.arrays(np.bool_, shape, elements=st.sampled_from([False] * 9 + [True])))
    ] = np.nan
    truth = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 1, 255])))
    found = sweep_counts(values, truth, 19, radius)
    for index in range(19):
        direct = tolerance_counts(decide(values, (index + 1) / 20), truth, radius)
        assert MatchCounts(*found[:, index].tolist()) == direct


def images(count=4, seed=0):
    generator = np.random.default_rng(seed)
    for _ in range(count):
        truth = np.zeros((48, 64), np.uint8)
        points = generator.integers(0, 48, (3, 2))
        cv2.polylines(truth, [points.astype(np.int32)], isClosed=False, color=1, thickness=2)
        soft = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), 1.5)
        noise = generator.random(truth.shape, dtype=np.float32)
        yield (soft * generator.uniform(0.4, 1.0) * 0.8 + 0.2 * noise).astype(np.float32), truth


def test_ods_and_ois_by_brute_force():
    scorer = OdsOis(thresholds=19, radius=2)
    table = []
    for values, truth in images():
        scorer.update(values, truth)
        table.append([tolerance_counts(decide(values, k / 20), truth, 2) for k in range(1, 20)])
    pooled = [sum(column).f1 for column in zip(*table, strict=True)]
    result = scorer.result()
    assert result.ods == max(pooled)
    assert result.ods_threshold == (np.argmax(pooled) + 1) / 20
    assert result.ois == pytest.approx(np.mean([max(c.f1 for c in row) for row in table]))
    own = sum(max(row, key=lambda c: c.f1) for row in table)
    assert result.ois_pooled == own.f1
    assert scorer.counts_at(3) == sum(row[3] for row in table)
    assert (result.images, result.images_without_truth) == (4, 0)


def test_plain_ods_and_ois_equal_the_histogram():
    scorer = OdsOis(thresholds=999, radius=0)
    pooled, best = ProbabilityHistogram(), []
    for values, truth in images():
        scorer.update(values, truth)
        one = ProbabilityHistogram()
        one.update(values, truth)
        pooled += one
        best.append(np.nanmax(one.curve().dice[1:-1]))
    result = scorer.result()
    assert result.ods == pytest.approx(np.nanmax(pooled.curve().dice[1:-1]))
    assert result.ois == pytest.approx(np.mean(best))


def test_ods_without_truth_or_images():
    result = OdsOis().result()
    assert all(math.isnan(v) for v in (result.ods, result.ods_threshold, result.ois))
    scorer = OdsOis()
    empty = np.zeros((8, 8), np.uint8)
    scorer.update(np.full((8, 8), 0.3), empty)
    result = scorer.result()
    assert math.isnan(result.ods)
    assert math.isnan(result.ois)
    truth = empty.copy()
    truth[2, 2] = 1
    scorer.update(truth.astype(float), truth)
    result = scorer.result()
    assert result.ods == result.ois == result.ois_pooled == 1.0
    assert (result.images, result.images_without_truth) == (2, 1)


def reference_cliou(prediction, truth, tau):
    """OmniCrack30k: dilate both centre lines by a disk, count hits on the lines themselves."""
    true, pred = skeletonize(truth > 0), skeletonize(prediction > 0)
    kernel = skimage_disk(tau)
    true_wide = cv2.dilate(true.astype(np.uint8), kernel) > 0
    pred_wide = cv2.dilate(pred.astype(np.uint8), kernel) > 0
    tp, fp, fn = (true & pred_wide).sum(), (pred & ~true_wide).sum(), (true & ~pred_wide).sum()
    return tp / (tp + fp + fn)


def test_cliou_and_cldice_against_their_definitions():
    for values, truth in images(5, seed=3):
        prediction = decide(values, 0.35)
        lines, topology = centreline_counts(prediction, truth, tau=4)
        assert lines == cliou_counts(prediction, truth, 4)
        assert topology == cldice_counts(prediction, truth)
        assert lines.iou == pytest.approx(reference_cliou(prediction, truth, 4))
        thin_p, thin_t = skeletonize(prediction), skeletonize(truth > 0)
        precision = (thin_p & (truth > 0)).sum() / thin_p.sum()
        recall = (thin_t & prediction).sum() / thin_t.sum()
        assert topology.precision == pytest.approx(precision)
        assert topology.recall == pytest.approx(recall)
        assert topology.f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_cliou_closed_form():
    truth = line_image()
    assert cliou_counts(line_image(4), truth, tau=4).iou == 1.0
    assert cliou_counts(line_image(5), truth, tau=4).iou == 0.0
    both = line_image() | line_image(10)
    assert cliou_counts(both, truth, tau=4).iou == pytest.approx(0.5)
    assert cldice_counts(both, truth).f1 == pytest.approx(2 * 0.5 / 1.5)
    nothing = np.zeros_like(truth)
    assert math.isnan(cliou_counts(nothing, nothing).iou)
    assert cliou_counts(nothing, truth).iou == 0.0
    hidden = np.where(both > truth, 255, truth)
    assert cliou_counts(both, hidden, tau=4).iou == 1.0


@FAST
@given(hnp.arrays(np.bool_, SHAPES))
def test_skeleton_of_the_box_is_the_skeleton(mask):
    assert (skeleton(mask) == skeletonize(mask)).all()
