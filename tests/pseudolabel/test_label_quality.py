"""Vote, quality, tiers and rules, against closed form."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultline.errors import ConfigError, ContractError, MaskError
from faultline.pseudolabel.channels import (
    CHANNELS,
    DEGRADATION,
    HEALTHY,
    STRUCTURAL,
    SURFACE,
    bit,
    check_bits,
    plant,
    to_bits,
    to_layers,
)
from faultline.pseudolabel.class_table import Rule, load_class_table
from faultline.pseudolabel.fusion import ACTIVATION, GRABCUT, SAM, vote
from faultline.pseudolabel.quality import downgraded, judge, quality_score, shares_of, tier_of

TABLE = load_class_table()
unit = st.floats(0, 1)


def field(value):
    return np.full((1, 1), value, np.float32)


class TestVote:
    @given(unit, unit, unit)
    def test_it_is_the_weighted_share_of_the_winning_side(self, grabcut, activation, sam):
        beliefs = {GRABCUT: field(grabcut), ACTIVATION: field(activation), SAM: field(sam)}
        yes = 0.3 * np.float32(grabcut) + 0.5 * np.float32(activation) + 0.2 * np.float32(sam)
        found = vote(beliefs)
        assert found.confidence[0, 0] == pytest.approx(max(yes, 1 - yes), abs=1e-6)
        if abs(yes - 0.5) > 1e-6:
            assert found.winner[0, 0] == (yes > 0.5)

    def test_without_sam_the_others_grow(self):
        found = vote({GRABCUT: field(1), ACTIVATION: field(0)})
        assert not found.winner[0, 0]
        assert found.confidence[0, 0] == pytest.approx(0.5 / 0.8)

    def test_one_voice_with_a_silent_one_is_less_sure_than_two(self):
        alone = vote({GRABCUT: field(1), ACTIVATION: field(0.5)}).confidence[0, 0]
        assert alone == pytest.approx((0.3 + 0.25) / 0.8)
        assert alone < vote({GRABCUT: field(1), ACTIVATION: field(1)}).confidence[0, 0] == 1

    def test_no_source_and_unknown_ones_are_refused(self):
        with pytest.raises(ContractError):
            vote({})
        with pytest.raises(ContractError, match="elsewhere"):
            vote({"elsewhere": field(1)})


class TestChannels:
    @given(st.lists(st.integers(1, 15), min_size=4, max_size=4))
    def test_bits_and_layers_are_inverse(self, plants):
        bits = np.array(plants, np.uint8).reshape(2, 2) << 1
        np.testing.assert_array_equal(to_bits(to_layers(bits)), bits)

    def test_a_pixel_that_nobody_claims_is_background(self):
        assert to_bits(np.zeros((5, 1, 1)))[0, 0] == 1
        assert not plant(np.ones((1, 1), np.uint8)).any()

    def test_the_bits_are_those_of_the_form_on_disk(self):
        assert [int(bit(c)) for c in range(5)] == [1, 2, 4, 8, 16]
        assert CHANNELS.names[HEALTHY] == "healthy"

    def test_what_is_no_mask_is_refused_with_its_values(self):
        with pytest.raises(MaskError, match="0, 255"):
            check_bits(np.array([[0, 255]], np.uint8))


class TestScore:
    @given(unit, unit, unit, st.floats(1, 1e6))
    def test_it_is_the_formula(self, largest, uncertain, plants, smoothness):
        expected = (
            0.4 * largest + 0.3 * (1 - uncertain) + 0.2 * min(1.0, plants / 0.2)
            + 0.1 * (1 - (1 - 1 / smoothness))
        )  # fmt: skip
        found = quality_score(largest, uncertain, plants, smoothness)
        assert found == pytest.approx(expected)
        assert 0 <= found <= 1 + 1e-9

    @pytest.mark.parametrize(("score", "tier"), [(1, "A"), (0.8, "A"), (0.79, "B"), (0.5, "B"),
                                                 (0.499, "C"), (0, "C")])  # fmt: skip
    def test_tiers(self, score, tier):
        assert tier_of(score) == tier

    def test_a_disc_is_smooth_and_a_comb_is_not(self):
        y, x = np.mgrid[:201, :201]
        disc = np.where((x - 100) ** 2 + (y - 100) ** 2 <= 80**2, 2, 1).astype(np.uint8)
        comb = np.where((x % 4 < 2) | (y < 3), 2, 1).astype(np.uint8)
        sure = np.ones((201, 201))
        healthy = TABLE.of("Healthy")
        assert judge(disc, sure, healthy).smoothness == pytest.approx(1, abs=0.03)
        assert judge(comb, sure, healthy).smoothness > 20

    def test_a_picture_by_hand(self):
        bits = np.ones((100, 100), np.uint8)
        bits[10:40, 10:40] = 2
        bits[60:70, 60:70] = 2
        confidence = np.ones((100, 100))
        confidence[:25] = 0.55
        found = judge(bits, confidence, TABLE.of("Healthy"), TABLE.universal)
        assert found.components == 2
        assert found.largest_component == pytest.approx(0.9)
        assert found.uncertain == pytest.approx(0.25)
        assert found.shares["plant"] == pytest.approx(0.1)
        expected = 0.4 * 0.9 + 0.3 * 0.75 + 0.2 * 0.5 + 0.1 / found.smoothness
        assert found.score == pytest.approx(expected)
        assert found.score_tier == "B"
        assert found.tier == "C"
        assert found.broken == ("plant > 0.40",)

    def test_no_plant_at_all(self):
        found = judge(np.ones((20, 20), np.uint8), np.ones((20, 20)), TABLE.of("Rust"))
        assert (found.components, found.largest_component) == (0, 0)
        assert math.isinf(found.smoothness)
        assert found.score == pytest.approx(0.3)
        assert found.tier == "C"

    def test_an_uncertain_pixel_is_below_0_6(self):
        confidence = np.array([[0.59, 0.6, 0.61, 1.0]])
        found = judge(np.full((1, 4), 2, np.uint8), confidence, TABLE.of("Healthy"))
        assert found.uncertain == pytest.approx(0.25)


CASES = [
    ("Healthy", {HEALTHY: 0.41}, True), ("Healthy", {HEALTHY: 0.39}, False),
    ("Red_rot", {HEALTHY: 0.3, DEGRADATION: 0.04}, True),
    ("Red_rot", {HEALTHY: 0.3, SURFACE: 0.04}, True),
    ("Red_rot", {HEALTHY: 0.3, SURFACE: 0.02, DEGRADATION: 0.02}, False),
    ("Brown_spot", {HEALTHY: 0.3, SURFACE: 0.04}, True),
    ("Brown_spot", {HEALTHY: 0.3, DEGRADATION: 0.2}, False),
    ("Mosaic", {HEALTHY: 0.3, SURFACE: 0.03}, False),
    ("Smut", {STRUCTURAL: 0.09}, True), ("Smut", {HEALTHY: 0.5, STRUCTURAL: 0.01}, False),
    ("Grassy_shoot_disease", {STRUCTURAL: 0.09}, True),
    ("Wilt", {HEALTHY: 0.05, DEGRADATION: 0.06}, True),
    ("Wilt", {HEALTHY: 0.01, DEGRADATION: 0.08}, False),
    ("Pokkah_boeng", {HEALTHY: 0.1, DEGRADATION: 0.03}, True),
    ("Pokkah_boeng", {HEALTHY: 0.1, STRUCTURAL: 0.03}, True),
    ("Leaf_flecking", {HEALTHY: 0.1, SURFACE: 0.03}, True),
    ("Leaf_scorching", {HEALTHY: 0.1, DEGRADATION: 0.03}, False),
    ("Ring_spot", {HEALTHY: 0.1, SURFACE: 0.04}, True),
    ("Yellow_leaf_Disease", {HEALTHY: 0.1, DEGRADATION: 0.04}, True),
    ("Black_stripe", {HEALTHY: 0.1, SURFACE: 0.04}, True),
    ("Black_stripe", {SURFACE: 0.07}, False),
]  # fmt: skip


class TestRules:
    @pytest.mark.parametrize(("name", "channels", "kept"), CASES)
    def test_each_class(self, name, channels, kept):
        bits = np.ones(1000, np.uint8)
        at = 0
        for channel, share in channels.items():
            count = round(share * 1000)
            bits[at : at + count] = bit(channel)
            at += count
        found = judge(bits.reshape(20, 50), np.ones((20, 50)), TABLE.of(name), TABLE.universal)
        assert (found.broken == ()) is kept, found.broken
        assert found.tier == (found.score_tier if kept else downgraded(found.score_tier))

    def test_every_class_of_the_document_is_known(self):
        names = {name for name, _, _ in CASES}
        assert len(names) == 13
        assert names <= set(TABLE.classes)

    def test_downgrade_is_by_one(self):
        assert [downgraded(tier) for tier in "ABC"] == ["B", "C", "C"]

    @given(st.lists(st.integers(0, 15), min_size=1, max_size=60))
    def test_shares_are_shares(self, values):
        bits = (np.array(values, np.uint8) << 1).reshape(1, -1)
        bits[bits == 0] = 1
        shares = shares_of(bits)
        parts = [shares[name] for name in ("healthy", "anomaly", "surface", "degradation")]
        assert max(parts) <= shares["plant"] + 1e-12
        assert shares["plant"] <= sum(parts) + 1e-12
        assert shares["signs"] == pytest.approx(sum(parts[1:]))

    def test_a_rule_that_says_nothing_known_is_refused(self):
        for text in ("leaf > 0.3", "plant > x", "plant 0.3", "plant > 0.1 and signs > 0"):
            with pytest.raises(ConfigError, match="measures: plant"):
                Rule.parse(text)


class TestTable:
    @pytest.mark.parametrize("name", ["RedRot", "red rot", "RED-ROT", "Red_rot"])
    def test_names_in_any_spelling(self, name):
        assert TABLE.of(name).channels == (DEGRADATION, SURFACE)

    def test_the_map_of_the_document(self):
        found = {name: TABLE.of(name).channels for name, _, _ in CASES}
        assert found["Healthy"] == (HEALTHY,)
        assert found["Pokkah_boeng"] == (STRUCTURAL, DEGRADATION)
        assert found["Smut"] == found["Grassy_shoot_disease"] == (STRUCTURAL,)
        assert found["Wilt"] == found["Leaf_scorching"] == (DEGRADATION,)
        assert found["Yellow_leaf_Disease"] == (DEGRADATION, SURFACE)
        surface = ("Brown_spot", "Mosaic", "Ring_spot", "Leaf_flecking", "Black_stripe")
        assert {found[name] for name in surface} == {(SURFACE,)}

    def test_the_classes_of_the_sugarcane_pictures(self):
        found = TABLE.of_all(["Healthy", "Mosaic", "RedRot", "Rust", "Yellow"])
        assert found["Yellow"].name == "Yellow_leaf_Disease"

    def test_unknown_classes_are_told_together_with_those_known(self):
        with pytest.raises(ConfigError) as error:
            TABLE.of_all(["Rust", "Blight", "Mosiac"])
        assert "'Blight'" in str(error.value)
        assert "'Mosiac', did you mean 'Mosaic'?" in str(error.value)
        assert "Grassy_shoot_disease" in str(error.value)

    def test_a_file_adds_and_replaces(self, tmp_path):
        path = tmp_path / "map.yaml"
        path.write_text(
            "classes:\n  Blight: {channels: [degradation]}\n"
            "  red rot: {channels: [surface_sign], rules: ['surface > 0.01']}\n"
        )
        table = load_class_table(path)
        assert table.of("Blight").primary == DEGRADATION
        assert table.of("RedRot").channels == (SURFACE,)
        assert table.universal == TABLE.universal

    def test_mistakes_in_a_file_are_told_all_at_once(self, tmp_path):
        path = tmp_path / "map.yaml"
        path.write_text(
            "classes:\n  A: {channels: [degradatoin]}\n  B: {chanels: [healthy]}\n"
            "  C: {channels: [healthy, degradation]}\n  D: {channels: healthy, gold: no}\n"
        )
        with pytest.raises(ConfigError) as error:
            load_class_table(path)
        for part in ("A: no channel 'degradatoin', did you mean", "B: unknown chanels",
                     "C: channels healthy, degradation do not go together", "D: gold"):  # fmt: skip
            assert part in str(error.value)
