"""What each source says, and what becomes of it."""

import cv2
import numpy as np
import pytest
from leaf_samples import leaf

from faultline.errors import BundleError
from faultline.pseudolabel import activation
from faultline.pseudolabel.assign import assign
from faultline.pseudolabel.channels import DEGRADATION, STRUCTURAL, SURFACE, holds, plant, signs
from faultline.pseudolabel.class_table import load_class_table
from faultline.pseudolabel.colour import (
    HealthyGreen,
    green_nearby,
    hue_and_chroma,
    measure_healthy,
    unlikeness,
)
from faultline.pseudolabel.fusion import ACTIVATION, GRABCUT
from faultline.pseudolabel.grabcut import plant_belief, seeds, without_dry
from faultline.pseudolabel.sam import SamSource, points_of

TABLE = load_class_table()


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("kind", ["Healthy", "RedRot", "Yellow"])
@pytest.mark.parametrize("size", [(96, 72), (400, 300), (61, 200)])
def test_grabcut_finds_the_leaf_lesions_included(kind, size):
    picture, truth, _ = leaf(np.random.default_rng(1), kind, size)
    belief = plant_belief(picture)
    assert belief.shape == size
    assert iou(belief > 0.5, truth) > 0.9
    assert 0 <= belief.min() <= belief.max() <= 1


def test_grabcut_is_the_same_every_time():
    picture = leaf(np.random.default_rng(2), "RedRot")[0]
    np.testing.assert_array_equal(plant_belief(picture), plant_belief(picture))


@pytest.mark.parametrize(("colour", "found"), [((60, 160, 50), 1), ((150, 140, 135), 0),
                                               ((0, 0, 0), 0)])  # fmt: skip
def test_a_picture_of_one_colour(colour, found):
    assert (plant_belief(np.full((40, 30, 3), colour, np.uint8)) == found).all()


def test_seeds_leave_the_doubtful_to_grabcut():
    picture, truth, sick = leaf(np.random.default_rng(0), "RedRot")
    green, dull = seeds(picture)
    assert (truth[green]).mean() > 0.98
    assert (truth[dull]).mean() < 0.02
    assert green[sick].mean() < 0.2
    assert dull[sick].mean() < 0.2


class TestColour:
    def test_hue_is_that_of_cielab(self):
        picture = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)
        hue, chroma = hue_and_chroma(picture)
        np.testing.assert_allclose(hue[0], [39.999, 136.016], atol=0.05)
        np.testing.assert_allclose(chroma[0], [104.55, 119.78], atol=0.1)

    def test_the_edge_is_the_5th_percentile_of_healthy_hue(self):
        rng = np.random.default_rng(0)
        pairs = [leaf(rng)[:2] for _ in range(4)]
        found = measure_healthy(pairs)
        hues = np.concatenate([hue_and_chroma(p)[0][m] for p, m in pairs])
        assert found.pictures == 4
        assert found.edge == pytest.approx(np.percentile(hues, 5), abs=0.3)
        assert measure_healthy([]) == HealthyGreen()

    @pytest.mark.parametrize("kind", ["RedRot", "Yellow"])
    def test_signs_are_unlike_and_the_rest_is_not(self, kind):
        picture, truth, sick = leaf(np.random.default_rng(0), kind)
        found = unlikeness(picture, truth, HealthyGreen(edge=125))
        assert found[sick].mean() > 0.9
        assert found[truth & ~sick].mean() < 0.1

    def test_white_says_nothing(self):
        picture, truth, _ = leaf(np.random.default_rng(0))
        picture[:, 30:34] = 235
        assert unlikeness(picture, truth, HealthyGreen(edge=125))[:, 31:33].max() < 0.05

    def test_a_plant_needs_green_and_no_thick_brown(self):
        picture, _, sick = leaf(np.random.default_rng(0), "RedRot", (300, 200))
        picture[200:, :] = (120, 60, 40)
        near = green_nearby(picture, HealthyGreen(edge=125))
        assert near[sick].mean() > 0.95
        assert near[230:].max() == 0


class TestActivation:
    def test_it_speaks_for_plant_and_never_against(self):
        heat = np.zeros((60, 60), np.float32)
        heat[20:40, 20:40] = 0.8
        heat[5, 5] = 0.8
        found = activation.plant_belief(heat)
        assert found[30, 30] == 1
        assert found[5, 5] == 0.5, "a speck is no region"
        assert found.min() == 0.5
        assert (activation.plant_belief(np.zeros((4, 4), np.float32)) == 0.5).all()


def fields(**values):
    return {name: np.full((1, 1), value, np.float32) for name, value in values.items()}


class TestAssign:
    def pixel(self, name, grabcut=1.0, seen=0.5, unlike=0.0, green=1.0, heat=1.0):
        beliefs = fields(**{GRABCUT: grabcut, ACTIVATION: seen})
        f = fields(unlike=unlike, green=green, heat=heat)
        drawn = assign(TABLE.of(name), beliefs, f["unlike"], f["green"], f["heat"])
        return int(drawn.bits[0, 0]), float(drawn.confidence[0, 0])

    def test_green_is_healthy_however_hot(self):
        assert self.pixel("Rust", unlike=0, heat=1)[0] == 2

    def test_unlike_and_hot_is_the_channel_of_the_class(self):
        assert self.pixel("Rust", unlike=1) == (8, pytest.approx(0.6875))
        assert self.pixel("Wilt", unlike=1)[0] == 16

    def test_strong_discolouration_is_in_the_secondary_channel_too(self):
        assert self.pixel("RedRot", unlike=1)[0] == 16 | 8
        assert self.pixel("RedRot", unlike=0.7)[0] == 16

    @pytest.mark.parametrize("silent", [{"heat": 0.0}, {"green": 0.0}])
    def test_unlike_and_not_looked_at_is_uncertain(self, silent):
        bits, confidence = self.pixel("Rust", unlike=1, **silent)
        # 0.375 of the votes from colour, and 0.625 x 0.25.
        assert confidence == pytest.approx(0.375 + 0.625 * 0.25)
        assert confidence < 0.6
        assert bits == 8

    def test_a_shape_needs_no_colour(self):
        assert self.pixel("Smut", unlike=0, heat=1)[0] == 1 << STRUCTURAL

    def test_healthy_pictures_have_no_signs(self):
        assert self.pixel("Healthy", unlike=1)[0] == 2

    def test_what_is_not_plant_is_background(self):
        assert self.pixel("Rust", grabcut=0, unlike=1) == (1, pytest.approx(0.6875))

    @pytest.mark.parametrize(("kind", "channel"), [("RedRot", DEGRADATION), ("Rust", SURFACE)])
    def test_a_drawn_lesion_without_classifier(self, kind, channel):
        picture, truth, sick = leaf(np.random.default_rng(0), "RedRot")
        cut, healthy = plant_belief(picture), HealthyGreen(edge=125)
        unlike, green = unlikeness(picture, cut > 0.5, healthy), green_nearby(picture, healthy)
        drawn = assign(TABLE.of(kind), {GRABCUT: cut}, unlike, green, None)
        assert iou(plant(drawn.bits), truth) > 0.9
        assert iou(holds(drawn.bits, channel), sick) > 0.7

    def test_dry_matter_without_green_is_doubted(self):
        f = fields(cut=1, unlike=1, green=0)
        assert without_dry(**f)[0, 0] == pytest.approx(0.25)
        assert without_dry(**{**f, "green": f["unlike"]})[0, 0] == 1
        assert without_dry(**{**f, "unlike": f["green"]})[0, 0] == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A SAM of random weights that is real in everything but its size."""
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    config = transformers.SamConfig(
        vision_config={"hidden_size": 16, "output_channels": 8, "num_hidden_layers": 1,
                       "num_attention_heads": 2, "image_size": 64, "patch_size": 8,
                       "mlp_dim": 16, "global_attn_indexes": [0], "window_size": 4,
                       "num_pos_feats": 4},
        prompt_encoder_config={"hidden_size": 8, "image_size": 64, "patch_size": 8,
                               "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 8, "mlp_dim": 16, "num_hidden_layers": 2,
                             "num_attention_heads": 2, "iou_head_hidden_dim": 8},
    )  # fmt: skip
    path = tmp_path_factory.mktemp("sam")
    model = transformers.SamModel(config)
    for values in model.mask_decoder.parameters():
        torch.nn.init.normal_(values, std=0.4)  # as initialised, every answer is 0.5
    model.save_pretrained(path)
    images = transformers.SamImageProcessor(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 16}, mask_pad_size={"height": 16, "width": 16},
    )  # fmt: skip
    transformers.SamProcessor(images).save_pretrained(path)
    return path


class TestSam:
    def test_it_answers_at_the_size_of_the_picture(self, folder):
        picture = leaf(np.random.default_rng(0))[0]
        belief = SamSource(folder, "cpu").plant_belief(picture)
        assert belief.shape == picture.shape[:2]
        assert 0 <= belief.min() < belief.max() <= 1

    def test_without_green_it_says_nothing(self, folder):
        grey = np.full((40, 30, 3), 128, np.uint8)
        assert (SamSource(folder, "cpu").plant_belief(grey) == 0.5).all()

    def test_points_lie_on_what_they_are_of(self):
        picture, truth, _ = leaf(np.random.default_rng(0))
        inside, outside = points_of(picture)
        assert 1 <= len(inside) <= 3
        assert all(truth[int(y), int(x)] for x, y in inside)
        assert not any(truth[int(y), int(x)] for x, y in outside)

    def test_a_folder_without_a_model_is_refused(self, tmp_path):
        pytest.importorskip("transformers")
        with pytest.raises(BundleError, match="no SAM model"):
            SamSource(tmp_path / "nowhere")
        with pytest.raises(BundleError, match="no SAM model"):
            SamSource(tmp_path)


def test_signs_are_channels_2_to_4():
    bits = np.array([[1, 2, 4, 8, 16, 24]], np.uint8)
    assert signs(bits).tolist() == [[False, False, True, True, True, True]]
    assert cv2.countNonZero(plant(bits).astype(np.uint8)) == 5
