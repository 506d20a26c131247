"""The conditional random field: closed forms, brute force over all pairs, and what it is for."""

import itertools
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.errors import ConfigError, ContractError
from faultline.predict.clean_up import CleanUp, cleaned
from faultline.predict.crf import SIDE, FieldSettings, PictureField


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def window_sum(radius, distance):
    span = np.arange(-radius, radius + 1)
    near = np.exp(-(span[:, None] ** 2 + span**2) / (2 * distance**2))
    return near.sum() - 1


def brute_force(picture, unary, given):
    """Mean field by the definition: every pair of pixels, every label, in float64."""
    height, width = unary.shape
    places = list(itertools.product(range(height), range(width)))
    whole = window_sum(given.radius, given.distance)
    weights = np.zeros((len(places), len(places)))
    for i, (r, c) in enumerate(places):
        for j, (s, d) in enumerate(places):
            if i == j or max(abs(r - s), abs(c - d)) > given.radius:
                continue
            near = np.exp(-((r - s) ** 2 + (c - d) ** 2) / (2 * given.distance**2)) / whole
            apart = ((picture[r, c].astype(float) - picture[s, d]) ** 2).sum()
            alike = np.exp(-apart / (2 * given.colour**2))
            weights[i, j] = near * (given.appearance * alike + given.smoothness)
    energy = np.stack([np.zeros(len(places)), -unary.ravel().astype(float)], 1)  # label 0, 1
    q = np.stack([1 - sigmoid(unary.ravel()), sigmoid(unary.ravel())], 1)
    for _ in range(given.iterations):
        other = weights @ q[:, ::-1]  # weight of neighbours with the other label
        scores = np.exp(-energy - other)
        q = scores / scores.sum(1, keepdims=True)
    return q[:, 1].reshape(height, width)


class TestMeanField:
    @pytest.mark.parametrize("radius", [1, 2, 5])
    @pytest.mark.parametrize("shape", [(5, 6), (1, 7), (4, 1)])
    def test_equals_brute_force_over_all_pairs(self, radius, shape):
        rng = np.random.default_rng(radius)
        picture = rng.integers(0, 60, (*shape, 3)).astype(np.uint8)
        unary = rng.normal(0, 2, shape).astype(np.float32)
        given_ = FieldSettings(radius=radius, iterations=4, distance=1.5, colour=20.0)
        found = sigmoid(PictureField(picture, given_).mean_field(unary))
        assert found == pytest.approx(brute_force(picture, unary, given_), abs=1e-5)

    def test_a_pixel_inside_one_colour_gets_what_neighbours_of_one_mind_say(self):
        given_ = FieldSettings(appearance=3.0, smoothness=0.5, radius=2, iterations=1)
        picture = np.full((9, 9, 3), 90, np.uint8)
        unary = np.full((9, 9), 50, np.float32)  # every neighbour is sure
        found = PictureField(picture, given_).mean_field(unary)
        assert found[4, 4] == pytest.approx(50 + 3.0 + 0.5, rel=1e-6)

    def test_pixels_of_other_colours_say_only_the_smooth_part(self):
        given_ = FieldSettings(appearance=3.0, smoothness=0.5, radius=1, iterations=1, colour=5)
        picture = np.zeros((3, 3, 3), np.uint8)
        picture[1, 1] = 255
        found = PictureField(picture, given_).mean_field(np.full((3, 3), 50, np.float32))
        assert found[1, 1] == pytest.approx(50.5, rel=1e-6)

    def test_no_update_changes_nothing(self):
        unary = np.array([[1.5, -2.0]], np.float32)
        field = PictureField(np.zeros((1, 2, 3), np.uint8), FieldSettings(iterations=0))
        assert np.array_equal(field.mean_field(unary), unary)


class TestRefine:
    @given(st.integers(0, 99), st.sampled_from([0.2, 0.5, 0.9]))
    @settings(max_examples=20, deadline=None)
    def test_without_neighbours_it_is_the_threshold(self, seed, threshold):
        probability = np.random.default_rng(seed).random((12, 9)).astype(np.float32)
        alone = FieldSettings(appearance=0, smoothness=0)
        found = PictureField(np.zeros((12, 9, 3), np.uint8), alone).refine(probability, threshold)
        assert np.array_equal(found, probability >= np.float32(threshold))

    def test_edges_of_the_picture_decide_where_probabilities_blur(self):
        picture = np.full((40, 40, 3), 200, np.uint8)
        picture[:, 20:] = 60
        ramp = 1 / (1 + np.exp(-(np.arange(40) - 16.5) / 3))  # its own edge is at 16.5, not 20
        probability = np.tile(ramp, (40, 1)).astype(np.float32)
        truth = np.zeros((40, 40), np.uint8)
        truth[:, 20:] = 1
        plain = (probability >= 0.5).astype(np.uint8)
        refined = PictureField(picture).refine(probability, 0.5)
        assert (refined != truth).sum() < (plain != truth).sum() / 2

    def test_a_speck_in_plain_ground_goes_and_a_hole_fills(self):
        picture = np.full((30, 30, 3), 120, np.uint8)
        probability = np.full((30, 30), 0.1, np.float32)
        probability[15:, :] = 0.9
        probability[5, 5], probability[22, 22] = 0.7, 0.3
        refined = PictureField(picture).refine(probability, 0.5)
        assert refined[5, 5] == 0
        assert refined[22, 22] == 1

    def test_nothing_painted_stays_nothing(self):
        field = PictureField(np.zeros((8, 8, 3), np.uint8))
        assert not field.refine(np.full((8, 8), 0.49, np.float32), 0.5).any()

    def test_large_pictures_work_at_a_smaller_size_and_come_back(self):
        rng = np.random.default_rng(0)
        picture = rng.integers(0, 9, (2 * SIDE, SIDE + 1, 3)).astype(np.uint8)
        picture[SIDE:] += 200
        probability = np.where(picture[..., 0] > 99, 0.8, 0.2).astype(np.float32)
        field = PictureField(picture)
        assert field.shape == (SIDE, round((SIDE + 1) / 2))
        refined = field.refine(probability, 0.5)
        assert refined.shape == probability.shape
        assert (refined != (probability >= 0.5)).mean() < 0.005

    def test_another_size_is_refused(self):
        with pytest.raises(ContractError, match=r"probability \(3, 4\) and picture \(4, 4\)"):
            PictureField(np.zeros((4, 4, 3), np.uint8)).refine(np.zeros((3, 4), np.float32), 0.5)

    @pytest.mark.parametrize(("name", "value"), [("appearance", -1.0), ("radius", 0)])
    def test_settings_out_of_range_are_refused(self, name, value):
        with pytest.raises(ConfigError, match=name):
            FieldSettings(**{name: value})


class TestAsACleanUp:
    def test_a_class_with_the_step_gets_the_field(self):
        picture = np.full((30, 30, 3), 120, np.uint8)
        probability = np.full((30, 30), 0.1, np.float32)
        probability[15:, :] = 0.9
        probability[5, 5] = 0.7
        mask = (probability >= 0.5).astype(np.uint8)
        refine = partial(PictureField(picture).refine, probability, 0.5)
        steps = CleanUp({"crack": "crf"})
        assert steps.apply(mask, "crack", refine)[5, 5] == 0
        assert steps.apply(mask, "seam", refine)[5, 5] == 1

    def test_without_a_picture_the_mask_stays(self):
        mask = np.eye(4, dtype=np.uint8)
        assert np.array_equal(cleaned(mask, "crf"), mask)
