from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from faultline.artifacts.bundle import Bundle
from faultline.errors import BundleError, ConfigError, ContractError
from faultline.predict.padding import pad_reflect, padded_size
from faultline.predict.predictor import Predictor
from faultline.predict.probability import Prediction, to_mask, to_probability
from faultline.types import LabelKind


def on_cpu(bundle: Bundle, **settings: object) -> Predictor:
    return Predictor(bundle, device="cpu", precision="fp32", **settings)


def by_hand(bundle: Bundle, image: np.ndarray) -> np.ndarray:
    """Probabilities (K, H, W) without any of the predictor's steps."""
    spec = bundle.normalisation
    scaled = (image / 255.0 - np.array(spec.mean)) / np.array(spec.std)
    x = torch.from_numpy(scaled.astype(np.float32)).permute(2, 0, 1)[None]
    with torch.no_grad():
        return bundle.build_model()(x).sigmoid()[0].numpy()


def test_prediction_is_the_models_answer(make_bundle, picture) -> None:
    bundle, image = make_bundle("local", threshold=0.4), picture(37, 51)
    prediction = on_cpu(bundle).predict(image)
    assert_allclose(prediction.probability, by_hand(bundle, image), atol=1e-6)
    assert prediction.probability.dtype == np.float32
    assert_array_equal(prediction.mask, prediction.probability[0] >= np.float32(0.4))
    assert prediction.mask.dtype == np.uint8
    assert 0 < prediction.mask.mean() < 1
    assert prediction.threshold == 0.4
    assert prediction.maker == bundle.fingerprint
    assert prediction.seconds > 0


@pytest.mark.parametrize("height", [1, 2, 5, 17])
@pytest.mark.parametrize("width", [1, 3, 16, 17])
def test_tiny_and_odd_pictures_are_padded_by_reflection(
    make_bundle, picture, height, width
) -> None:
    bundle = make_bundle("demanding", multiple=8, min_size=16)
    image = picture(height, width)
    prediction = on_cpu(bundle, tta=True).predict(image)
    assert prediction.probability.shape == (1, height, width)
    assert prediction.mask.shape == (height, width)
    plain = by_hand(make_bundle("pointwise"), image)
    assert_allclose(prediction.probability, plain, atol=1e-6)


@pytest.mark.parametrize("name", ["scratch_ed", "scratch_ed_plus", "unet_mini"])
def test_real_models_take_any_size(make_bundle, picture, name) -> None:
    from faultline.models import create_model

    state = create_model(name, base_channels=4).state_dict()
    space = make_bundle().label_space
    predictor = on_cpu(Bundle(name, {"base_channels": 4}, space, state))
    for size in [(1, 1), (3, 17), (33, 47)]:
        assert predictor.predict(picture(*size)).probability.shape == (1, *size)


def test_a_batch_answers_as_one_by_one(make_bundle, picture) -> None:
    predictor = on_cpu(make_bundle("local"))
    images = [picture(20, 30, seed) for seed in range(3)]
    for image, prediction in zip(images, predictor.predict_batch(images), strict=True):
        assert_allclose(prediction.probability, predictor.predict(image).probability, atol=1e-6)
    assert predictor.predict_batch([]) == []


def test_views_and_read_only_pictures(make_bundle, picture) -> None:
    predictor, image = on_cpu(make_bundle("local")), picture(20, 30)
    image.flags.writeable = False
    mirrored = predictor.predict(image[::-1, ::-1]).probability
    assert_allclose(mirrored, predictor.predict(image[::-1, ::-1].copy()).probability, atol=1e-6)


def test_a_threshold_given_wins_and_is_recorded(make_bundle, picture) -> None:
    bundle = make_bundle(threshold=0.4)
    predictor = on_cpu(bundle, threshold=0.9)
    assert predictor.predict(picture(9, 9)).threshold == 0.9
    assert predictor.describe()["threshold"]["status"] == "by_hand"
    assert on_cpu(bundle).describe()["threshold"]["status"] == "tuned"
    with pytest.raises(ConfigError, match="does not lie between 0 and 1"):
        on_cpu(bundle, threshold=40)


def test_kinds_of_label_space(make_bundle, picture) -> None:
    image = picture(12, 14)
    one = on_cpu(make_bundle("local", LabelKind.MULTICLASS)).predict(image)
    assert_allclose(one.probability.sum(axis=0), 1, atol=1e-5)
    assert_array_equal(one.mask, one.probability.argmax(axis=0))
    assert_array_equal(one.foreground, one.mask > 0)
    many = on_cpu(make_bundle("local", LabelKind.MULTILABEL)).predict(image)
    assert many.mask.shape == (3, 12, 14)
    assert_array_equal(many.mask, many.probability >= np.float32(0.5))
    assert_array_equal(many.foreground, many.mask.max(axis=0))


def test_probability_closed_form() -> None:
    logits = torch.tensor([0.0, np.log(3.0), -np.log(4.0)], dtype=torch.bfloat16).double()
    values = to_probability(logits.view(1, 3, 1, 1), LabelKind.MULTILABEL)
    assert values.dtype == torch.float32
    exponentials = np.exp(logits.numpy())
    expected = exponentials / (1 + exponentials)
    assert_allclose(values.flatten().numpy(), expected, atol=1e-6)
    softmax = to_probability(logits.view(1, 3, 1, 1), LabelKind.MULTICLASS).flatten().numpy()
    assert_allclose(softmax, exponentials / exponentials.sum(), atol=1e-6)


def test_a_pixel_at_the_threshold_is_positive() -> None:
    probability = np.array([[[0.3999, 0.4, 0.4001]]], dtype=np.float32)
    assert_array_equal(to_mask(probability, LabelKind.BINARY, 0.4), [[0, 1, 1]])
    assert to_mask(probability, LabelKind.BINARY, 0.0).all()
    mask = to_mask(probability, LabelKind.BINARY, 0.4)
    assert_array_equal(Prediction(probability, mask, 0.4, "", 0).foreground, mask)


def test_bf16_stays_close_and_gives_float32(make_bundle, picture) -> None:
    bundle, image = make_bundle("local"), picture(24, 24)
    half = Predictor(bundle, device="cpu", precision="bf16").predict(image)
    assert half.probability.dtype == np.float32
    assert_allclose(half.probability, on_cpu(bundle).predict(image).probability, atol=0.02)


def test_large_pictures_are_tiled_by_themselves(make_bundle, picture, monkeypatch) -> None:
    bundle, image = make_bundle("pointwise", tile=256, max_pixels=256 * 256), picture(900, 700)
    predictor = on_cpu(bundle)
    seen: list[tuple[int, ...]] = []
    forward = predictor._forward
    monkeypatch.setattr(predictor, "_forward", lambda x: seen.append(x.shape) or forward(x))
    prediction = predictor.predict(image)
    assert max(np.prod(shape[:3]) for shape in seen) <= 4 * 256 * 256
    assert_allclose(prediction.probability, by_hand(bundle, image), atol=1e-5)
    seen.clear()
    on_whole = on_cpu(bundle, tile=0)
    assert_allclose(on_whole.predict(image).probability, prediction.probability, atol=1e-5)


def test_tiles_can_be_forced_and_go_with_tta(make_bundle, picture) -> None:
    bundle, image = make_bundle("local"), picture(70, 90)
    whole = on_cpu(bundle, tta=True).predict(image).probability
    tiled = on_cpu(bundle, tta=True, tile=32).predict(image).probability
    assert_allclose(tiled[:, 5:-5, 5:-5], whole[:, 5:-5, 5:-5], atol=2e-3)
    with pytest.raises(ConfigError, match="tile is -1"):
        on_cpu(bundle, tile=-1)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_wrong_pictures_are_refused(make_bundle, bad) -> None:
    with pytest.raises(ContractError, match="RGB"):
        on_cpu(make_bundle()).predict(bad)


def test_sizes_in_a_batch_must_agree(make_bundle, picture) -> None:
    with pytest.raises(ContractError, match="different sizes"):
        on_cpu(make_bundle()).predict_batch([picture(4, 5), picture(5, 4)])


def test_a_model_that_breaks_the_contract(make_bundle, picture) -> None:
    with pytest.raises(ContractError, match="gave logits"):
        on_cpu(make_bundle("shrinking")).predict(picture(40, 40))


def test_weights_of_another_model(make_bundle) -> None:
    import dataclasses

    with pytest.raises(BundleError, match="do not fit"):
        on_cpu(dataclasses.replace(make_bundle("local"), model_name="pointwise"))


@pytest.mark.parametrize(("length", "target"), [(5, 5), (5, 8), (5, 30), (1, 9), (2, 7)])
def test_padding_matches_numpy(length: int, target: int) -> None:
    x = torch.arange(length * 3.0).view(1, 1, length, 3)
    padded = pad_reflect(x, target, 3)[0, 0].numpy()
    mode = "reflect" if length > 1 else "edge"
    assert_array_equal(padded, np.pad(x[0, 0], ((0, target - length), (0, 0)), mode=mode))
    turned = pad_reflect(x.transpose(2, 3), 3, target)[0, 0].numpy()
    assert_array_equal(turned, padded.T)


def test_padded_size() -> None:
    assert [padded_size(n, 8, 16) for n in (1, 16, 17, 24)] == [16, 16, 24, 24]
    assert padded_size(5, 1, 1) == 5
    assert padded_size(3, 10, 32) == 40
