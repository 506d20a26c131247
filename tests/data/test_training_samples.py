"""Crops, augmentation, cache, collation and order of training samples."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from faultline.data.cache import DiskCache, NoCache, RamCache, create_cache
from faultline.data.collate import collate
from faultline.data.cropping import CropWindow, choose_window, cut, foreground_positions
from faultline.data.dataset import Sample, TrainingCrops, WholePictures, crops_to_cover
from faultline.data.manifest import Item, MaskFile
from faultline.data.sampling import EpochSampler
from faultline.data.transforms import AUGMENTATIONS, build_augmentation
from faultline.errors import ConfigError, DataError, UnknownNameError
from faultline.types import IGNORE_INDEX, LabelKind, LabelSpace

SPACE = LabelSpace(LabelKind.BINARY, ("crack",))


@pytest.fixture
def items(tmp_path):
    made = []
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(80, 120), (90, 70), (40, 50)]):
        picture = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        mask = np.zeros((height, width), np.uint8)
        mask[10:13, 5:30] = 255
        path, mask_path = tmp_path / f"{number}.png", tmp_path / f"{number}_mask.png"
        cv2.imwrite(str(path), picture)
        cv2.imwrite(str(mask_path), mask)
        made.append(
            Item(
                id=f"{number}", path=path, split="train", group=f"{number}", sha256=f"{number}",
                width=width, height=height, mask_file=MaskFile(mask_path, "binary0255"),
            )
        )  # fmt: skip
    return made


def crops(items, cache=None, **settings):
    chosen = {"crop": 64, "crops_per_image": 2, "foreground_share": 0.5, **settings}
    return TrainingCrops(items, SPACE, cache or RamCache(2**30), **chosen)


class TestCropping:
    def test_foreground_positions_are_thinned_evenly(self):
        mask = np.ones((200, 100), np.uint8)
        mask[0] = IGNORE_INDEX
        positions = foreground_positions(mask, limit=1000)
        assert 500 < len(positions) <= 1000
        assert positions.view(np.uint8).size == 4 * len(positions)
        assert positions.min() >= 100
        assert positions.max() > 19_900

    def test_several_labels_count_as_foreground_together(self):
        masks = np.zeros((2, 4, 4), np.uint8)
        masks[0, 1, 1] = masks[1, 2, 3] = 1
        masks[1, 0, 0] = IGNORE_INDEX
        assert foreground_positions(masks).tolist() == [5, 11]

    def test_window_holds_foreground_anywhere_inside(self):
        rng = np.random.default_rng(0)
        position = np.array([500 * 1000 + 500], np.int32)
        offsets = []
        for _ in range(400):
            window = choose_window((1000, 1000), 100, position, 1.0, rng)
            assert 0 <= 500 - window.top < 100
            assert 0 <= 500 - window.left < 100
            offsets.append(500 - window.top)
        # No centre bias: the pixel is as often near the border as in the middle.
        counts, _ = np.histogram(offsets, bins=4, range=(0, 100))
        assert counts.min() > 60

    def test_windows_stay_inside(self):
        rng = np.random.default_rng(1)
        for shape in [(64, 64), (65, 200), (30, 500)]:
            window = choose_window(shape, 64, np.array([3], np.int32), 0.5, rng)
            assert 0 <= window.top <= max(0, shape[0] - 64)
            assert 0 <= window.left <= max(0, shape[1] - 64)

    def test_what_lies_outside_is_filled(self):
        piece = cut(np.full((10, 12, 3), 7, np.uint8), CropWindow(4, 4, 16), 255)
        assert piece.shape == (16, 16, 3)
        assert (piece[:6, :8] == 7).all()
        assert (piece[6:] == 255).all()


class TestCaches:
    @pytest.mark.parametrize("kind", ["ram", "disk", "none"])
    def test_second_epoch_does_not_decode(self, items, tmp_path, kind):
        cache = create_cache(kind, 1.0, tmp_path / "cache")
        dataset = crops(items, cache)
        for epoch in range(2):
            for number in range(len(dataset)):
                dataset[(epoch, number)]
        expected = 12 if kind == "none" else 3
        assert cache.counts.misses == expected

    def test_a_full_memory_cache_still_answers(self, items):
        cache = RamCache(40_000)
        dataset = crops(items, cache)
        first = [dataset[(0, n)].image for n in range(6)]
        second = [dataset[(0, n)].image for n in range(6)]
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        assert cache.counts.hits > 0
        assert cache.counts.misses > 3

    def test_disk_cache_tells_data_sets_with_the_same_names_apart(self, items, tmp_path):
        cache = DiskCache(tmp_path / "cache")
        first = crops(items, cache)[(0, 0)]
        other = [dataclasses.replace(item, sha256=f"other-{item.id}") for item in items[::-1]]
        renamed = [dataclasses.replace(item, id=f"{n}") for n, item in enumerate(other)]
        second = crops(renamed, cache)[(0, 0)]
        assert not torch.equal(first.image, second.image)
        whole = WholePictures(items, SPACE, cache)[0]
        assert whole.image.shape == (3, 80, 120)

    def test_disk_cache_returns_what_was_decoded(self, items, tmp_path):
        plain = crops(items, NoCache())
        cached = crops(items, DiskCache(tmp_path / "cache"))
        for _ in range(2):
            for number in range(6):
                a, b = plain[(1, number)], cached[(1, number)]
                assert torch.equal(a.image, b.image)
                assert torch.equal(a.mask, b.mask)


class TestTrainingCrops:
    def test_samples_depend_on_seed_epoch_and_number_only(self, items):
        build = {"augmentation": build_augmentation({"flip": {}, "colour": {"p": 1.0}})}
        first, second = crops(items, seed=3, **build), crops(items, seed=3, **build)
        wanted = [first[(5, n)] for n in range(6)]
        torch.manual_seed(99)
        got = [second[(5, n)] for n in reversed(range(6))][::-1]
        for a, b in zip(wanted, got, strict=True):
            assert torch.equal(a.image, b.image)
            assert torch.equal(a.mask, b.mask)
        assert not torch.equal(wanted[0].image, first[(6, 0)].image)

    def test_the_global_random_state_is_left_alone(self, items):
        dataset = crops(items, augmentation=build_augmentation({"noise": {"p": 1.0}}))
        before = torch.get_rng_state()
        dataset[(0, 0)]
        assert torch.equal(before, torch.get_rng_state())

    def test_small_pictures_are_padded_with_ignore(self, items):
        sample = crops(items[2:], foreground_share=0.0)[(0, 0)]
        assert sample.image.shape == (3, 64, 64)
        assert (sample.mask[40:] == IGNORE_INDEX).all()

    def test_masks_are_decoded_to_classes(self, items):
        values = set(np.unique(crops(items, foreground_share=1.0)[(0, 0)].mask))
        assert values == {0, 1}

    def test_whole_pictures_keep_their_size(self, items):
        sample = WholePictures(items, SPACE, NoCache())[0]
        assert sample.image.shape == (3, 80, 120)
        assert sample.mask.shape == (80, 120)

    def test_resize_uses_nearest_neighbour_for_masks(self, items):
        sample = WholePictures(items, SPACE, NoCache(), resize=60)[0]
        assert sample.image.shape == (3, 40, 60)
        assert set(np.unique(sample.mask)) == {0, 1}

    def test_crops_to_cover(self, items):
        assert crops_to_cover(items, 0) == 1
        assert crops_to_cover(items, 256) == 1
        assert crops_to_cover(items, 32) == 6
        with pytest.raises(DataError, match="no pictures"):
            crops_to_cover([], 64)


class TestAugmentations:
    @pytest.mark.parametrize("name", AUGMENTATIONS.names())
    def test_every_augmentation_keeps_type_range_and_labels(self, name):
        torch.manual_seed(0)
        augmentation = build_augmentation({name: {}})
        image = tv_tensors.Image(torch.randint(0, 256, (3, 48, 48), dtype=torch.uint8))
        mask = tv_tensors.Mask((torch.rand(48, 48) > 0.8).to(torch.uint8))
        for _ in range(10):
            changed, labels = augmentation(image, mask)
            assert changed.dtype == labels.dtype == torch.uint8
            assert changed.shape[-2:] == labels.shape[-2:]
            assert set(labels.unique().tolist()) <= {0, 1, IGNORE_INDEX}

    @pytest.mark.parametrize("name", ["flip", "rotate90", "zoom", "rotate", "shear"])
    def test_geometry_moves_picture_and_mask_together(self, name):
        torch.manual_seed(1)
        settings = {} if name == "rotate90" else {"p": 1.0}
        augmentation = build_augmentation({name: settings})
        mask = torch.zeros(64, 64, dtype=torch.uint8)
        mask[10:30, 20:50] = 1
        image = (mask * 200).expand(3, -1, -1).clone()
        moved = 0
        for _ in range(8):
            changed, labels = augmentation(tv_tensors.Image(image), tv_tensors.Mask(mask))
            inside, known = labels == 1, labels != IGNORE_INDEX
            agree = ((changed[0] > 100) == inside)[known].float().mean()
            assert agree > 0.97
            moved += int(not torch.equal(labels, tv_tensors.Mask(mask)))
        assert moved > 0

    @pytest.mark.parametrize("name", ["colour", "blur", "noise", "gamma", "grey"])
    def test_colour_leaves_the_mask_alone(self, name):
        torch.manual_seed(2)
        augmentation = build_augmentation({name: {"p": 1.0}})
        image = tv_tensors.Image(torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8))
        mask = tv_tensors.Mask(torch.randint(0, 2, (32, 32), dtype=torch.uint8))
        changed, labels = augmentation(image, mask)
        assert torch.equal(labels, mask)
        assert not torch.equal(changed, image)

    def test_unknown_names_and_settings(self):
        with pytest.raises(UnknownNameError, match="did you mean 'rotate90'"):
            build_augmentation({"rotate9": {}})
        with pytest.raises(ConfigError, match="did you mean 'sigma'"):
            build_augmentation({"noise": {"sigm": [1, 2]}})


class TestCollate:
    def test_different_sizes_are_padded_and_ignored(self):
        samples = [
            Sample("a", torch.full((3, 4, 6), 9, dtype=torch.uint8), torch.ones(4, 6).byte()),
            Sample("b", torch.full((3, 5, 3), 9, dtype=torch.uint8), torch.ones(5, 3).byte()),
        ]
        batch = collate(samples)
        assert batch.image.shape == (2, 3, 5, 6)
        assert batch.ids == ["a", "b"]
        assert (batch.mask[0, 4] == IGNORE_INDEX).all()
        assert (batch.mask[1, :, 3:] == IGNORE_INDEX).all()
        assert int((batch.mask == 1).sum()) == 4 * 6 + 5 * 3


class TestEpochSampler:
    def test_order_follows_from_seed_and_epoch(self):
        sampler, other = EpochSampler(20, 1), EpochSampler(20, 1)
        sampler.set_epoch(3)
        other.set_epoch(3)
        assert list(sampler) == list(other)
        other.set_epoch(4)
        assert [n for _, n in sampler] != [n for _, n in other]
        assert sorted(n for _, n in sampler) == list(range(20))

    def test_skip_leaves_out_once(self):
        sampler = EpochSampler(10, 0)
        whole = list(sampler)
        sampler.skip(4)
        assert list(sampler) == whole[4:]
        assert list(sampler) == whole

    def test_processes_share_an_epoch(self):
        parts = [list(EpochSampler(11, 0, rank, 2)) for rank in range(2)]
        assert len(parts[0]) == len(parts[1]) == 5
        assert not set(parts[0]) & set(parts[1])
