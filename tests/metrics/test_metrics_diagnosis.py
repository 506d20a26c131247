import json

import numpy as np
import pytest

from faultline.errors import ConfigError, ContractError
from faultline.files import write_json
from faultline.metrics import ProbabilityHistogram, count_binary, diagnose, foreground_is_dead
from faultline.metrics.diagnosis import inverted_iou

SIZE = 20_000


def labels(share=0.03, seed=0):
    return (np.random.default_rng(seed).random(SIZE) < share).astype(np.uint8)


def noise(low, high, seed=1):
    return np.random.default_rng(seed).uniform(low, high, SIZE)


def separated(truth, low, high):
    """Probabilities around `high` on positives and around `low` elsewhere."""
    return np.clip(np.where(truth == 1, high, low) + noise(-0.05, 0.05), 0, 1)


def judge(values, truth, **facts):
    histogram = ProbabilityHistogram()
    histogram.update(np.asarray(values, dtype=np.float32), truth)
    return diagnose(histogram, **facts)


TRUTH = labels()


@pytest.mark.parametrize(
    ("code", "values", "truth", "facts"),
    [
        ("healthy", separated(TRUTH, 0.1, 0.9), TRUTH, {}),
        ("threshold_too_high", separated(TRUTH, 0.05, 0.3), TRUTH, {}),
        ("threshold_too_low", separated(TRUTH, 0.6, 0.9), TRUTH, {}),
        ("predicts_background", noise(0.0, 0.2), TRUTH, {}),
        ("predicts_everything", noise(0.6, 0.9), TRUTH, {}),
        ("inverted", 1 - separated(TRUTH, 0.1, 0.9), TRUTH, {}),
        ("inverted", 0.1 - 0.1 * separated(TRUTH, 0.1, 0.9), TRUTH, {}),
        ("constant_output", np.full(SIZE, 0.0213), TRUTH, {}),
        ("constant_output", np.full(SIZE, 0.9), TRUTH, {}),
        ("masks_empty", noise(0.0, 0.4), labels(0.0), {}),
        ("masks_empty", noise(0.0, 0.4), TRUTH * 255, {"mask_values": [0, 255]}),
        ("labels_suspicious", separated(1 - TRUTH, 0.1, 0.9), 1 - TRUTH, {}),
        ("labels_suspicious", separated(TRUTH, 0.1, 0.9), TRUTH, {"mask_values": [0, 3, 254]}),
        ("labels_suspicious", separated(TRUTH, 0.1, 0.9), TRUTH, {"label_share": 0.8}),
        ("nan_predictions", np.full(SIZE, np.nan), TRUTH, {}),
        ("weak", noise(0.3, 0.7), TRUTH, {}),
        ("no_pixels", [], np.zeros(0, np.uint8), {}),
        ("no_pixels", noise(0, 1), np.full(SIZE, 255, np.uint8), {}),
    ],
)
def test_each_cause_is_named_and_alone(code, values, truth, facts):
    diagnosis = judge(values, truth, **facts)
    assert diagnosis.codes == [code]
    verdict = diagnosis.verdicts[0]
    assert verdict.sentence.endswith((".", "?"))
    assert verdict.advice.endswith(".")
    text = diagnosis.text()
    assert f"[{code}]" in text
    assert verdict.advice in text
    assert "nan" not in text.replace("nan_predictions", "")


def test_several_causes_at_once_most_fundamental_first():
    values = separated(TRUTH, 0.05, 0.3)
    values[:10] = np.nan
    assert judge(values, TRUTH).codes == ["nan_predictions", "threshold_too_high"]


def test_0_255_masks_read_as_ignore_are_recognised():
    truth = np.where(TRUTH == 1, 255, 0).astype(np.uint8)
    sentence = judge(noise(0, 0.3), truth).verdicts[0].sentence
    assert "0/255 mask" in sentence


def test_a_slow_training_is_not_told_to_go_slower():
    advice = judge(noise(0.0, 0.2), TRUTH, learning_rate=1e-4).verdicts[0].advice
    assert "raise the learning rate (now 0.0001)" in advice


def test_a_few_stray_pixels_are_still_background():
    """The failure of the document on real walls: a sixteenth of what is labelled is painted."""
    scattered = noise(0.0, 0.2)
    stray = max(1, round(0.06 * TRUTH.sum()))
    scattered.flat[:stray] = 0.7
    found = judge(scattered, TRUTH, threshold=0.5)
    assert found.codes[0] == "predicts_background"
    assert "Next to nothing but background" in found.verdicts[0].sentence


def test_advice_uses_what_is_known():
    diagnosis = judge(
        noise(0.0, 0.2),
        TRUTH,
        loss="weighted_bce_dice",
        loss_settings={"pos_weight": 10},
        learning_rate=0.003,
        epoch=3,
        mask_values=[255, 0],
    )
    advice = diagnosis.verdicts[0].advice
    assert "focal_tversky instead of weighted_bce_dice" in advice
    assert "lower the learning rate (now 0.003)" in advice
    assert "epoch 3, loss weighted_bce_dice" in diagnosis.text()
    assert "values in mask files 0, 255" in diagnosis.text()
    assert "0.5" in judge(separated(TRUTH, 0.05, 0.3), TRUTH).verdicts[0].sentence


def test_facts_and_sweep():
    values = separated(TRUTH, 0.05, 0.3).astype(np.float32)
    facts = judge(values, TRUTH).facts
    assert facts["label_share"] == pytest.approx(TRUTH.mean())
    assert (facts["low"], facts["high"]) == (values.min(), values.max())
    assert facts["predicted_share"] == 0
    assert facts["iou"] == 0
    assert facts["best_iou"] == 1
    assert facts["pixel_accuracy"] == pytest.approx(1 - TRUTH.mean())
    for row in facts["sweep"]:
        counts = count_binary(values >= np.float32(row["threshold"]), TRUTH)
        assert row["iou"] == counts.iou
        assert row["predicted_share"] == pytest.approx(counts.predicted_positive / SIZE)


def test_threshold_off_the_grid_is_judged_at_the_nearest_step():
    assert judge(separated(TRUTH, 0.1, 0.9), TRUTH, threshold=0.41234).codes == ["healthy"]
    with pytest.raises(ConfigError, match="between 0 and 1"):
        judge(TRUTH.astype(float), TRUTH, threshold=0.0)


def test_inverted_iou_by_direct_counting():
    values = np.random.default_rng(0).integers(0, 1001, 300) / 1000
    truth = (np.random.default_rng(1).random(300) < 0.3).astype(np.uint8)
    histogram = ProbabilityHistogram()
    histogram.update(values, truth)
    direct = [count_binary(values < k / 1000, truth).iou for k in range(1, 1000)]
    np.testing.assert_allclose(inverted_iou(histogram), direct)


def test_text_and_json(tmp_path):
    diagnosis = judge(separated(TRUTH, 0.05, 0.3), TRUTH)
    text = diagnosis.text()
    assert "threshold" in text
    assert "Labels       2.9" in text
    assert max(map(len, text.splitlines()[3:])) <= 100
    write_json(tmp_path / "diagnosis.json", diagnosis.to_dict())
    again = json.loads((tmp_path / "diagnosis.json").read_text())
    assert again["verdicts"][0]["code"] == "threshold_too_high"


@pytest.mark.parametrize(
    ("iou", "share", "patience", "dead"),
    [
        ([], [], 3, False),
        ([0, 0], [0, 0], 3, False),
        ([0, 0, 0], [0.1, 0.1, 0.1], 3, True),
        ([0.2, 0.2, 0.2], [0, 0, 0], 3, True),
        ([float("nan")] * 3, [0, 0, 0], 3, True),
        ([0.5, 0, 0, 0], [0.1, 0, 0, 0], 3, True),
        ([0, 0, 0.01], [0, 0, 0.1], 3, False),
        ([0, 0.01, 0], [0, 0.1, 0], 3, False),
        ([0, 0, 0], [float("nan")] * 3, 3, True),
        ([0], [0], 1, True),
    ],
)
def test_foreground_is_dead(iou, share, patience, dead):
    assert foreground_is_dead(iou, share, patience) is dead


def test_foreground_is_dead_refusals():
    with pytest.raises(ConfigError, match="patience=0"):
        foreground_is_dead([], [], 0)
    with pytest.raises(ContractError, match="2 IoU values and 1 shares"):
        foreground_is_dead([0, 0], [0])
