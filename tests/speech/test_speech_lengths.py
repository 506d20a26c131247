"""Batches of similar length: every clip once, by chance, able to start in the middle."""

import numpy as np
import pytest
from speech_samples import SMALL

from faultline.speech.data.lengths import LengthSampler
from faultline.speech.data.prepare import prepare_speech
from faultline.speech.kind import SpeechKind
from faultline.speech.settings import load_speech_config

COUNT, BATCH = 103, 8


def length(address):
    """Unrelated to the order of numbers, and new each epoch."""
    return int(np.random.default_rng(address).integers(10, 500))


@pytest.fixture
def sampler():
    return LengthSampler(COUNT, 3, BATCH, length)


def test_every_clip_comes_once(sampler):
    assert sorted(sampler) == [(0, number) for number in range(COUNT)]
    assert len(sampler) == COUNT


def test_order_depends_on_seed_and_epoch_alone(sampler):
    first = list(sampler)
    assert first == list(sampler)
    assert first != list(LengthSampler(COUNT, 4, BATCH, length))
    sampler.set_epoch(1)
    second = list(sampler)
    assert [number for _, number in first] != [number for _, number in second]
    assert {epoch for epoch, _ in second} == {1}


def test_batches_hold_clips_of_similar_length(sampler):
    def padded(addresses):
        whole = COUNT - COUNT % BATCH
        sizes = np.array([length(address) for address in list(addresses)[:whole]])
        return sizes.reshape(-1, BATCH).max(1).sum() * BATCH / sizes.sum()

    assert padded(sampler) < 1.15 < 1.4 < padded(sorted(sampler))


def test_long_and_short_batches_are_mixed(sampler):
    sizes = [length(address) for address in list(sampler)[: COUNT - COUNT % BATCH]]
    means = np.array(sizes).reshape(-1, BATCH).mean(1)
    assert not (np.diff(means) > 0).all()


def test_it_goes_on_where_it_stopped(sampler):
    whole = list(sampler)
    sampler.skip(3 * BATCH)
    assert list(sampler) == whole[3 * BATCH :]
    assert list(sampler) == whole, "only the interrupted epoch is cut"


def test_processes_share_an_epoch():
    parts = []
    for rank in range(2):
        sampler = LengthSampler(COUNT, 3, BATCH, length)
        sampler.share(rank, 2)
        parts.append([number for _, number in sampler])
    assert not set(parts[0]) & set(parts[1])
    assert len(parts[0]) == len(parts[1]) == COUNT // 2


@pytest.mark.parametrize("words", [[], ["data.join=0.9"], ["data.silence=0.9"]])
def test_planned_length_is_that_of_the_clip(tones, words):
    config = load_speech_config([f"data={tones}", *SMALL, *words])
    prepared = prepare_speech(config)
    made = prepared.training_set
    for number in range(min(12, len(made))):
        windows = prepared.frontend.frames(made.size((2, number)))
        assert abs(windows - len(made[2, number].features)) <= 2


def test_training_batches_have_little_padding(tones):
    config = load_speech_config([f"data={tones}", *SMALL, "data.batch_size=4"])
    kind = SpeechKind()
    loader = kind.training_loader(config, kind.prepare(config))
    filled = [(int(b.lengths.sum()), b.features.shape[0] * b.features.shape[1]) for b in loader]
    assert sum(real for real, _ in filled) > 0.75 * sum(size for _, size in filled)
