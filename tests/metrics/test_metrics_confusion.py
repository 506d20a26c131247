import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_score, recall_score

from faultline.errors import ConfigError, ContractError, MaskError
from faultline.metrics import BinaryCounts, MulticlassConfusion, count_binary, decide

FAST = settings(deadline=None, max_examples=50)
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=8)


def test_closed_form():
    prediction = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], dtype=np.uint8)
    truth = np.array([[1, 0, 1, 0], [255, 255, 0, 0]], dtype=np.uint8)
    counts = count_binary(prediction, truth)
    assert counts == BinaryCounts(tp=1, fp=1, fn=1, tn=3)
    assert counts.total == 6
    assert counts.iou == pytest.approx(1 / 3)
    assert counts.dice == pytest.approx(1 / 2)
    assert counts.precision == counts.recall == 0.5
    assert counts.pixel_accuracy == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    ("counts", "defined"),
    [
        (BinaryCounts(), set()),
        (BinaryCounts(tn=4), {"pixel_accuracy"}),
        (BinaryCounts(fp=1, tn=3), {"pixel_accuracy", "iou", "dice", "precision"}),
        (BinaryCounts(fn=1, tn=3), {"pixel_accuracy", "iou", "dice", "recall"}),
    ],
)
def test_zero_denominators_are_not_defined(counts, defined):
    for name in ("iou", "dice", "precision", "recall", "pixel_accuracy"):
        assert math.isnan(getattr(counts, name)) == (name not in defined), name
    assert counts.is_empty == (counts.tp + counts.fp + counts.fn == 0)


@FAST
@given(st.data())
def test_against_sklearn_and_streaming(data):
    shape = data.draw(SHAPES)
    truth = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 255])))
    prediction = data.draw(hnp.arrays(np.bool_, shape))
    counts = count_binary(prediction, truth)
    valid = truth != 255
    t, p = truth[valid], prediction[valid].astype(np.uint8)
    assert counts.total == valid.sum()
    if t.any() or p.any():
        assert counts.iou == pytest.approx(jaccard_score(t, p, zero_division=0))
        assert counts.dice == pytest.approx(f1_score(t, p, zero_division=0))
        assert counts.pixel_accuracy == pytest.approx(accuracy_score(t, p))
    if p.any():
        assert counts.precision == pytest.approx(precision_score(t, p))
    if t.any():
        assert counts.recall == pytest.approx(recall_score(t, p))
    rows = [count_binary(p, t) for p, t in zip(prediction, truth, strict=True)]
    assert sum(rows) == counts


def test_torch_equals_numpy():
    prediction, truth = torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 1], [0, 255]])
    assert count_binary(prediction, truth) == count_binary(prediction.numpy(), truth.numpy())
    assert count_binary(prediction.bool(), truth) == BinaryCounts(1, 1, 1, 0)


def test_refusals():
    mask = np.zeros((2, 2), np.uint8)
    with pytest.raises(ContractError, match=r"shapes .* differ"):
        count_binary(mask, np.zeros((2, 3), np.uint8))
    with pytest.raises(ContractError, match="divide a 0/255 mask by 255"):
        count_binary(mask + 255, mask)
    with pytest.raises(ContractError, match="not 0 and 1"):
        count_binary(mask.astype(float), mask)
    with pytest.raises(MaskError, match=r"values 0, 128 in a binary mask"):
        count_binary(mask, np.array([[0, 0], [0, 128]], np.uint8))
    with pytest.raises(MaskError, match=r"0\.\.255"):
        count_binary(mask, np.full((2, 2), -1))
    with pytest.raises(MaskError, match="whole numbers"):
        count_binary(mask, mask.astype(float))
    with pytest.raises(ConfigError, match="ignore=1"):
        count_binary(mask, mask, ignore=1)
    with pytest.raises(ContractError, match=r"meta.*tensor.cpu"):
        count_binary(torch.zeros(2, 2, device="meta"), mask)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
def test_decision_rule_is_the_same_in_numpy_and_torch(kind):
    steps = np.arange(1, 1000) / 1000
    for values in (steps.astype(kind), np.nextafter(steps.astype(kind), kind(0))):
        wide = values.astype(np.float32) if kind is np.float16 else values
        for value, original, step in zip(wide, values, steps, strict=True):
            expected = bool(torch.from_numpy(np.array([value])) >= float(step))
            assert decide(np.array([original]), float(step))[0] == expected
    assert not decide(np.array([np.nan], dtype=kind), 0.0)[0]


def test_decide_takes_bfloat16():
    values = torch.tensor([0.25, 0.75], dtype=torch.bfloat16, requires_grad=True)
    assert decide(values, 0.5).tolist() == [False, True]
    with pytest.raises(ContractError, match="not a floating type"):
        decide(np.array([1]), 0.5)


def test_multiclass_closed_form():
    confusion = MulticlassConfusion(3)
    confusion.update(np.array([[0, 1, 1], [0, 2, 0]]), np.array([[0, 0, 1], [0, 255, 1]]))
    assert confusion.matrix.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert confusion.ignored == 1
    np.testing.assert_allclose(confusion.iou(), [2 / 4, 1 / 3, np.nan])
    np.testing.assert_allclose(confusion.dice(), [4 / 6, 2 / 4, np.nan])
    assert confusion.mean_iou == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert confusion.mean_dice == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert confusion.pixel_accuracy == pytest.approx(3 / 5)
    assert confusion.counts(1) == BinaryCounts(tp=1, fp=1, fn=1, tn=2)
    assert math.isnan(MulticlassConfusion(3).mean_iou)


@FAST
@given(st.data())
def test_multiclass_against_sklearn_and_streaming(data):
    classes = data.draw(st.integers(2, 5))
    shape = data.draw(SHAPES)
    labels = st.sampled_from([*range(classes), 255])
    truth = data.draw(hnp.arrays(np.uint8, shape, elements=labels))
    prediction = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(0, classes - 1)))
    whole = MulticlassConfusion(classes)
    whole.update(torch.from_numpy(prediction), torch.from_numpy(truth))
    valid = truth != 255
    if valid.any():
        t, p = truth[valid], prediction[valid]
        assert whole.mean_iou == pytest.approx(jaccard_score(t, p, average="macro"))
        assert whole.mean_dice == pytest.approx(f1_score(t, p, average="macro"))
    parts = [MulticlassConfusion(classes) for _ in truth]
    for part, p, t in zip(parts, prediction, truth, strict=True):
        part.update(p, t)
    merged = parts[0]
    for part in parts[1:]:
        merged = merged + part
    assert (merged.matrix == whole.matrix).all()
    assert merged.ignored == whole.ignored == (~valid).sum()


def test_multiclass_refusals():
    with pytest.raises(ConfigError, match="num_classes=1"):
        MulticlassConfusion(1)
    confusion = MulticlassConfusion(2)
    with pytest.raises(MaskError, match=r"values 0, 2, classes are 0\.\.1"):
        confusion.update(np.zeros((1, 2), int), np.array([[0, 2]]))
    with pytest.raises(ContractError, match="argmax"):
        confusion.update(np.array([[0, 2]]), np.zeros((1, 2), int))
    with pytest.raises(ContractError, match="argmax"):
        confusion.update(np.array([[0.5, 0.5]]), np.zeros((1, 2), int))
    with pytest.raises(ContractError, match="2 classes cannot be added to 3"):
        confusion + MulticlassConfusion(3)
