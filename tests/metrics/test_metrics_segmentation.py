import json
import math

import cv2
import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, jaccard_score

from faultline.errors import ConfigError, ContractError
from faultline.files import write_json
from faultline.metrics import (
    OdsOis,
    ProbabilityHistogram,
    SegmentationScorer,
    bootstrap_interval,
    centreline_counts,
    count_binary,
    decide,
    tolerance_counts,
)
from faultline.metrics.ratios import iou

THRESHOLD = 0.35
METRICS = [
    "iou",
    "dice",
    "precision",
    "recall",
    "pixel_accuracy",
    "precision_tolerance",
    "recall_tolerance",
    "f1_tolerance",
    "cliou",
    "cldice",
    "average_precision",
    "ece",
]


def sample(seed, empty=False, ignore=True):
    generator = np.random.default_rng(seed)
    truth = np.zeros((50, 60), np.uint8)
    if not empty:
        points = generator.integers(0, 50, (3, 2)).astype(np.int32)
        cv2.polylines(truth, [points], isClosed=False, color=1, thickness=2)
    soft = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), 1.5)
    noise = generator.random(truth.shape, dtype=np.float32)
    if ignore:
        truth[:3] = 255
    return (0.8 * soft + 0.2 * noise).astype(np.float32), truth


@pytest.fixture(scope="module")
def samples():
    return {f"image{i}": sample(i, empty=i in (4, 5)) for i in range(7)}


@pytest.fixture(scope="module")
def scorer(samples):
    scorer = SegmentationScorer(THRESHOLD)
    for name, (values, truth) in samples.items():
        if name == "image5":
            values = values + np.float32(0.3)  # a clean image with false positives
        scorer.update(name, values, truth)
    return scorer


@pytest.fixture(scope="module")
def given(samples):
    return [
        (values + np.float32(0.3) if name == "image5" else values, truth)
        for name, (values, truth) in samples.items()
    ]


@pytest.fixture(scope="module")
def results(scorer):
    return scorer.results(resamples=200)


def test_pooled_values_are_those_of_all_pixels_together(results, given):
    pooled = {name: entry["value"] for name, entry in results["pooled"].items()}
    values = np.concatenate([v.ravel() for v, _ in given])
    truth = np.concatenate([t.ravel() for _, t in given])
    counts = count_binary(decide(values, THRESHOLD), truth)
    for name in ("iou", "dice", "precision", "recall", "pixel_accuracy"):
        assert pooled[name] == pytest.approx(getattr(counts, name)), name
    valid = truth != 255
    assert pooled["iou"] == pytest.approx(
        jaccard_score(truth[valid], decide(values, THRESHOLD)[valid])
    )
    assert pooled["average_precision"] == pytest.approx(
        average_precision_score(truth[valid], values[valid]), abs=0.01
    )
    histogram = ProbabilityHistogram()
    histogram.update(values, truth)
    assert pooled["average_precision"] == pytest.approx(histogram.average_precision())
    assert pooled["ece"] == pytest.approx(histogram.reliability(15).ece)
    dice = histogram.curve().dice[1:-1]
    assert pooled["ods_pixel"] == pytest.approx(np.nanmax(dice))
    assert results["ods_pixel_threshold"] == (np.nanargmax(dice) + 1) / 1000
    assert results["pixels"] == histogram.pixels
    assert results["ignored_pixels"] == 7 * 3 * 60


def test_tolerance_and_centre_lines_are_summed_counts(results, given):
    masks = [(decide(values, THRESHOLD), truth) for values, truth in given]
    tolerance = sum(tolerance_counts(mask, truth, 2) for mask, truth in masks)
    lines, topology = (
        sum(parts) for parts in zip(*(centreline_counts(*pair, 4) for pair in masks), strict=True)
    )
    pooled = {name: entry["value"] for name, entry in results["pooled"].items()}
    assert pooled["precision_tolerance"] == pytest.approx(tolerance.precision)
    assert pooled["recall_tolerance"] == pytest.approx(tolerance.recall)
    assert pooled["f1_tolerance"] == pytest.approx(tolerance.f1)
    assert pooled["cliou"] == pytest.approx(lines.iou)
    assert pooled["cldice"] == pytest.approx(topology.f1)
    reference = OdsOis()
    for values, truth in given:
        reference.update(values, truth)
    expected = reference.result()
    assert pooled["ods"] == pytest.approx(expected.ods)
    assert results["ods_threshold"] == expected.ods_threshold
    assert results["per_image"]["ois"]["value"] == pytest.approx(expected.ois)


def test_image_means_leave_out_what_is_not_defined(results, given):
    counts = [count_binary(decide(values, THRESHOLD), truth) for values, truth in given]
    assert counts[4].is_empty
    assert results["images_empty"] == 1
    entry = results["per_image"]["iou"]
    assert entry["images"] == 6
    assert entry["value"] == pytest.approx(np.mean([c.iou for c in counts if not c.is_empty]))
    assert results["per_image"]["recall"]["images"] == 5
    assert results["per_image"]["ois"]["images"] == 5
    assert results["per_image"]["ois_pixel"]["images"] == 5
    assert results["per_image"]["pixel_accuracy"]["images"] == 7


def test_intervals_hold_their_value_and_equal_the_plain_bootstrap(results, scorer):
    for section, special in (("pooled", "ods"), ("per_image", "ois")):
        assert set(results[section]) == {*METRICS, special, f"{special}_pixel"}
        for name, entry in results[section].items():
            assert entry["low"] <= entry["high"], name
            assert 0 <= entry["value"] <= 1, name
    table = [(row["tp"], row["fp"], row["fn"]) for row in scorer.rows()]
    plain = bootstrap_interval(table, lambda s: iou(s[:, 0], s[:, 1], s[:, 2]), resamples=200)
    assert results["pooled"]["iou"] == pytest.approx(plain.to_dict())


def test_clean_images(results, given):
    clean = results["clean"]
    share = decide(given[5][0], THRESHOLD)[3:].mean()
    assert (clean["images"], clean["painted_images"]) == (2, 1)
    assert clean["painted_share"]["value"] == pytest.approx(share / 2)
    assert (clean["worst_id"], clean["worst_share"]) == ("image5", pytest.approx(share))


def test_rows_and_ranking(scorer, given):
    rows = scorer.rows()
    assert [row["id"] for row in rows] == [f"image{i}" for i in range(7)]
    for row, (values, truth) in zip(rows, given, strict=True):
        counts = count_binary(decide(values, THRESHOLD), truth)
        np.testing.assert_equal(row["iou"], counts.iou)
        assert row["clean"] == (counts.truth_positive == 0)
        assert row["predicted_share"] == counts.predicted_positive / counts.total
    ranked = scorer.ranked("iou")
    assert len(ranked) == 6
    scores = [row["iou"] for row in ranked]
    assert scores == sorted(scores, reverse=True)
    assert ranked[-1]["id"] == "image5"
    assert scorer.ranked("ece")[0]["ece"] == min(row["ece"] for row in rows)
    with pytest.raises(ContractError, match="unknown metric 'f2'"):
        scorer.ranked("f2")


def test_results_are_json(results, scorer, tmp_path):
    write_json(tmp_path / "metrics.json", {**results, "rows": scorer.rows()})
    again = json.loads((tmp_path / "metrics.json").read_text())
    assert again["rows"][4]["iou"] is None
    assert again["pooled"]["iou"]["value"] == results["pooled"]["iou"]["value"]


def test_groups_and_tensors():
    scorer = SegmentationScorer(0.5)
    for index in range(6):
        values, truth = sample(index, ignore=False)
        scorer.update(str(index), torch.from_numpy(values), torch.from_numpy(truth), index // 2)
    results = scorer.results(resamples=50)
    assert (results["images"], results["groups"]) == (6, 3)
    assert scorer.rows()[3]["group"] == 1


def test_an_id_is_not_a_group():
    scorer = SegmentationScorer(0.5)
    scorer.update("a", *sample(0))
    scorer.update("b", *sample(1), group="a")
    assert scorer.results(resamples=10)["groups"] == 2


def test_perfect_prediction():
    scorer = SegmentationScorer(0.5)
    for index in range(3):
        truth = sample(index, ignore=False)[1]
        scorer.update(str(index), truth.astype(np.float32), truth)
    results = scorer.results(resamples=20)
    for section in ("pooled", "per_image"):
        for name, entry in results[section].items():
            wanted = 0.0 if name == "ece" else 1.0
            assert entry["value"] == entry["low"] == entry["high"] == wanted, name


def test_a_post_processed_mask_replaces_the_decision():
    values, truth = sample(0)
    cleaned = decide(values, 0.5) & False
    scorer = SegmentationScorer(0.5)
    scorer.update("a", values, truth, prediction=cleaned)
    row = scorer.rows()[0]
    assert row["predicted_share"] == row["iou"] == 0
    assert row["ois"] > 0.5


def test_no_images_and_nan():
    results = SegmentationScorer(0.5).results(resamples=5)
    assert results["images"] == 0
    assert math.isnan(results["pooled"]["iou"]["value"])
    assert math.isnan(results["per_image"]["ois"]["value"])
    assert results["clean"]["worst_id"] is None
    assert SegmentationScorer(0.5).ranked() == []
    values, truth = sample(0)
    scorer = SegmentationScorer(0.5)
    scorer.update("nan", np.full_like(values, np.nan), truth)
    results = scorer.results(resamples=5)
    assert results["nan_pixels"] == results["pixels"]
    assert results["pooled"]["iou"]["value"] == 0
    assert results["pooled"]["average_precision"]["value"] == 0


def test_refusals():
    values, truth = sample(0)
    scorer = SegmentationScorer(0.5)
    scorer.update("a", values, truth)
    with pytest.raises(ContractError, match="a: scored twice"):
        scorer.update("a", values, truth)
    with pytest.raises(ContractError, match="differ"):
        scorer.update("b", values[:5], truth)
    assert len(scorer) == 1
    assert scorer.histogram.pixels == (truth != 255).sum()
    with pytest.raises(ConfigError, match="between 0 and 1"):
        SegmentationScorer(1.0)
    with pytest.raises(ConfigError, match="radius"):
        SegmentationScorer(0.5, radius=-1)
