"""Samples of prompted training: questions, their masks, balance, and order by seed and epoch."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from prompt_samples import write_class_folders

from faultline.config import load_config
from faultline.config.schema import PromptsConfig
from faultline.data.cache import NoCache, RamCache
from faultline.data.prompt_dataset import PromptCrops, PromptPictures, collate_prompts
from faultline.data.prompt_prepare import prepare_prompted
from faultline.data.transforms import build_augmentation
from faultline.data.wordings import Wordings


@pytest.fixture(scope="module")
def parts(prompt_data, tmp_path_factory):
    tiles = tmp_path_factory.mktemp("tiles") / "tiles"
    write_class_folders(tiles, {"MT_Break": "bar", "MT_Free": "none"}, 8, 0)
    sources = f"{prompt_data / 'walls'},{prompt_data / 'boards'}"
    tile = f"{{root:{tiles},mask_rule:threshold,weight:2}}"
    data = load_config([f"data.sources=[{sources},{tile}]"]).data
    return prepare_prompted(data, PromptsConfig(), 0)


def crops(parts, **settings):
    chosen = {"crop": 32, "length": 400, "seed": 0, **settings}
    return PromptCrops(parts, Wordings(parts.table), NoCache(), **chosen)


class TestTraining:
    def test_shapes_and_questions(self, parts):
        sample = crops(parts, questions=3)[0, 5]
        assert sample.image.shape == (3, 32, 32)
        assert sample.mask.shape == (3, 32, 32)
        assert sample.mask.dtype == torch.uint8
        assert len(sample.questions) == 3

    def test_absent_questions_have_empty_masks(self, parts):
        data = crops(parts)
        for number in range(100):
            sample = data[0, number]
            for question, mask in zip(sample.questions, sample.mask, strict=True):
                if not question.shown:
                    assert not mask[mask != 255].any()

    def test_whole_pictures_show_what_is_asked(self, parts):
        data = crops(parts, crop=0)
        for number in range(100):
            sample = data[0, number]
            for question, mask in zip(sample.questions, sample.mask, strict=True):
                assert bool((mask == 1).any()) == question.shown

    @pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
    def test_the_share_of_absent_questions_is_the_setting(self, parts, share):
        data = crops(parts, absent_share=share, questions=2, length=600)
        shown = [
            question.shown
            for number in range(600)
            if data.items[data._draw(np.random.default_rng([0, 0, number]))[0]].parts
            for question in data[0, number].questions
        ]
        assert 1 - np.mean(shown) == pytest.approx(share, abs=0.05)

    def test_unknown_prompts_are_asked_as_often_as_set(self, parts):
        data = crops(parts, absent_share=1.0, unknown_share=0.3)
        asked = [q for number in range(400) for q in data[0, number].questions]
        assert np.mean([q.name is None for q in asked]) == pytest.approx(0.3, abs=0.06)

    def test_what_is_asked_often_is_asked_in_vain_more_often(self, parts):
        data = crops(replace(parts, weights={"walls": 6.0, "boards": 1.0, "tiles": 2.0}))
        assert data._asked == pytest.approx({"crack": 6 / 9, "seam": 1 / 9, "break": 1 / 9})
        nothing = next(item for item in data.items if not item.parts)
        rng = np.random.default_rng(0)
        found = Counter(data._about_absent(nothing, rng).name for _ in range(3000))
        roots = {name: np.sqrt(share) for name, share in data._asked.items()}
        known = sum(found[name] for name in roots)
        for name, root in roots.items():
            assert found[name] / known == pytest.approx(root / sum(roots.values()), abs=0.03)

    def test_sources_are_drawn_by_weight_and_classes_evenly(self, parts):
        data = crops(parts, length=2000)
        drawn = [data._draw(np.random.default_rng([0, 0, n])) for n in range(2000)]
        sources = Counter(data.items[index].source for index, _ in drawn)
        assert sources["tiles"] / 2000 == pytest.approx(0.5, abs=0.05)
        assert sources["walls"] / 2000 == pytest.approx(0.25, abs=0.05)
        own = Counter(name for index, name in drawn if data.items[index].source == "tiles")
        assert own["break"] / own.total() == pytest.approx(0.5, abs=0.06)
        assert own[None] > 0

    def test_a_sample_follows_from_seed_epoch_and_number(self, parts):
        augment = build_augmentation({"flip": {}, "colour": {}})
        first, second = crops(parts, augmentation=augment), crops(parts, augmentation=augment)
        torch.manual_seed(1)
        a = first[2, 7]
        torch.manual_seed(99)
        first[2, 8]
        b = second[2, 7]
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.mask, b.mask)
        assert a.questions == b.questions
        assert [q.prompt for q in second[3, 7].questions] != [q.prompt for q in a.questions]

    def test_the_cache_changes_nothing(self, parts):
        plain = crops(parts)
        kept = PromptCrops(
            parts, Wordings(parts.table), RamCache(2**26), crop=32, length=400, seed=0
        )
        for number in (0, 1, 0):
            assert torch.equal(plain[0, number].mask, kept[0, number].mask)
            assert torch.equal(plain[0, number].image, kept[0, number].image)

    def test_held_out_wordings_are_never_asked(self, parts):
        held = {text for _, text in Wordings(parts.table).held_out()}
        data = crops(parts, crop=0)
        asked = {q.prompt for number in range(400) for q in data[0, number].questions}
        assert not asked & held

    def test_a_batch_keeps_prompts_beside_pictures(self, parts):
        data = crops(parts)
        batch = collate_prompts([data[0, n] for n in range(3)])
        assert batch.image.shape == (3, 3, 32, 32)
        assert batch.mask.shape == (3, 2, 32, 32)
        assert [len(asked) for asked in batch.prompts] == [2, 2, 2]
        assert batch.to(torch.device("cpu")).prompts == batch.prompts

    def test_pictures_of_different_sizes_are_padded_with_ignore(self, parts):
        data = crops(parts, crop=0)
        small, large = data[0, 0], data[0, 1]
        small.image, small.mask = small.image[:, :40], small.mask[:, :40]
        batch = collate_prompts([small, large])
        assert batch.image.shape[-2:] == (64, 64)
        assert (batch.mask[0, :, 40:] == 255).all()


class TestValidation:
    def pictures(self, parts, absent=2):
        wordings = Wordings(parts.table, vary=False)
        return PromptPictures(parts.valid, wordings, NoCache(), absent=absent)

    def test_asks_for_what_is_shown_and_for_some_of_the_rest(self, parts):
        data = self.pictures(parts)
        for index, item in enumerate(parts.valid):
            asked = data.questions(index)
            assert [q.name for q in asked if q.shown] == list(item.parts)
            absent = [q.name for q in asked if not q.shown]
            assert len(absent) == min(2, len(item.absent))
            assert set(absent) <= set(item.absent)

    def test_the_questions_stay_the_same(self, parts):
        data, again = self.pictures(parts), self.pictures(parts)
        assert [data.questions(i) for i in range(5)] == [again.questions(i) for i in range(5)]

    def test_gives_whole_pictures_with_their_masks(self, parts):
        sample = self.pictures(parts)[0]
        assert sample.image.shape == (3, 64, 64)
        for question, mask in zip(sample.questions, sample.mask, strict=True):
            assert bool(mask.any()) == question.shown
