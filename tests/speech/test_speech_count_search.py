"""Other numbers of tokens: the surest answer is kept, and only unsure clips are decoded again."""

import itertools

import pytest
import torch

from faultline.errors import ConfigError
from faultline.speech.frontend import FrontEnd
from faultline.speech.other_voices import warp_frequencies
from faultline.speech.paraformer import Paraformer, Recognised
from faultline.speech.paraformer.cif import TAIL, fired
from faultline.speech.paraformer.count_search import (
    SURE,
    is_unsure,
    least_sure,
    lengthened,
    log_surety,
    search_counts,
)


def answers(lengths, surety):
    """Answers whose tokens are all their own length, each of the same probability."""
    lengths = torch.as_tensor(lengths)
    size = int(lengths.max())
    real = torch.arange(size) < lengths[:, None]
    tokens = torch.where(real, lengths[:, None], 0)
    places = torch.where(real, torch.arange(size), -1)
    confidence = real * torch.as_tensor(surety)[:, None]
    return Recognised(tokens, lengths, places, places + real.long(), confidence, lengths.float())


class Decoder:
    """Sure of one number of tokens a clip; keeps what it was asked."""

    def __init__(self, right, surety=0.9):
        self.right, self.surety = torch.as_tensor(right), surety
        self.asked = []

    def __call__(self, rows, number):
        self.asked += list(zip(rows.tolist(), number.tolist(), strict=True))
        sure = torch.where(number == self.right[rows], self.surety, 0.1)
        return answers(number, sure)


def test_unsure_clips_get_their_surest_number_and_sure_ones_are_left():
    decode = Decoder([5, 3, 6, 9])
    found = answers([4, 3, 8, 3], [0.5, SURE + 0.01, 0.5, 0.5])
    searched = search_counts(found, found.lengths, torch.full((4,), 20), decode, reach=2)
    assert searched.lengths.tolist() == [5, 3, 6, 3]
    assert {row for row, _ in decode.asked} == {0, 2, 3}
    for row, number in enumerate(searched.lengths.tolist()):
        assert searched.tokens[row].tolist() == [number] * number + [0] * (10 - number)
    assert searched.starts[0].tolist() == [0, 1, 2, 3, 4, -1, -1, -1, -1, -1]
    assert (searched.confidence[2, 6:] == 0).all()
    assert torch.equal(searched.counts, found.counts)


def test_numbers_stay_within_two_and_the_frames():
    decode = Decoder([1, 6, 4])
    found = answers([2, 5, 0], [0.5, 0.5, 0.5])
    searched = search_counts(found, found.lengths, torch.tensor([9, 5, 9]), decode, reach=3)
    assert searched.lengths.tolist() == [2, 5, 0]
    assert sorted(decode.asked) == [(0, 3), (0, 4), (0, 5), (1, 2), (1, 3), (1, 4)]


def test_surety_is_the_geometric_mean_over_real_tokens():
    found = answers([2, 0], [0.25, 0.5])
    torch.testing.assert_close(log_surety(found).exp(), torch.tensor([0.25, 1.0]))


def test_one_unsure_token_of_a_long_sure_answer_is_enough():
    """The mean of thirty hides one letter too many."""
    found = answers([30, 30], [0.95, 0.95])
    found.confidence[0, 7] = 0.3
    assert log_surety(found).exp().min() > 0.9
    torch.testing.assert_close(least_sure(found), torch.tensor([0.3, 0.95]))
    decode = Decoder([29, 29], 0.95)
    searched = search_counts(found, found.lengths, torch.full((2,), 90), decode, reach=2)
    assert searched.lengths.tolist() == [29, 30]


def test_numbers_are_counted_from_the_places_and_not_from_the_text():
    decode = Decoder([3])
    searched = search_counts(
        answers([2], [0.5]), torch.tensor([6]), torch.tensor([9]), decode, reach=3
    )
    assert sorted(decode.asked) == [(0, 3), (0, 4), (0, 5), (0, 7), (0, 8), (0, 9)]
    assert searched.lengths.tolist() == [3]


def test_an_answer_without_tokens_has_none_to_be_unsure_of():
    assert least_sure(answers([1, 0], [0.4, 0.5])).tolist() == pytest.approx([0.4, 1.0])


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([60, 41, 23, 60])
    features = torch.randn(4, 60, 20, generator=generator)
    for row, length in zip(features, lengths, strict=True):
        row[length:] = 0
    return features, lengths


def network(**settings):
    torch.manual_seed(2)
    sizes = {"dim": 16, "heads": 2, "encoder_depth": 1, "decoder_depth": 1}
    return Paraformer(12, 20, **sizes, **settings).eval()


@torch.no_grad()
def test_a_network_gets_surer_and_answers_a_batch_as_it_answers_one_by_one(clips):
    net = network(search=2, spare=0)
    plain, searched = net(*clips), net.recognise(*clips)
    assert (log_surety(searched) >= log_surety(plain)).all()
    assert (searched.lengths != plain.lengths).any()
    assert (searched.lengths - plain.lengths).abs().max() <= 2
    torch.testing.assert_close(searched.counts, plain.counts)
    for row, length in enumerate(clips[1].tolist()):
        alone = net.recognise(clips[0][row : row + 1, :length], clips[1][row : row + 1])
        number = int(alone.lengths)
        assert number == int(searched.lengths[row])
        assert torch.equal(alone.tokens[0, :number], searched.tokens[row, :number])
        assert (alone.ends[0, :number] >= alone.starts[0, :number]).all()


@torch.no_grad()
@pytest.mark.parametrize("unsure", [0, 2, 4])
@pytest.mark.parametrize(("spare", "warps"), [(0, ()), (4, ()), (4, (0.8, 1.25))])
def test_without_a_branch_the_answers_are_the_same(clips, monkeypatch, unsure, spare, warps):
    net = network(search=3, spare=spare, warps=warps, sample_rate=8000)
    order = least_sure(net(*clips)).sort().values.tolist()
    edges = [0.0, *[(low + high) / 2 for low, high in itertools.pairwise(order)], 1.1]
    monkeypatch.setattr("faultline.speech.paraformer.count_search.SURE", edges[unsure])
    plain = net(*clips)
    assert int(is_unsure(plain, plain.lengths + 1).sum()) == unsure
    wanted, found = net.recognise(*clips), net.recognise_at_once(*clips)
    longer = lengthened(wanted, found.tokens.shape[1] - wanted.tokens.shape[1])
    for ours, theirs in zip(longer, found, strict=True):
        torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_switched_off_it_is_the_plain_answer(clips):
    net = network(search=0)
    for answer in (net.recognise, net.recognise_at_once):
        for ours, theirs in zip(net(*clips), answer(*clips), strict=True):
            torch.testing.assert_close(ours, theirs)
    with pytest.raises(ConfigError, match="search=9"):
        network(search=9)


def heard(features, lengths, warps):
    return network(search=0, sample_rate=8000, warps=warps).recognise(features, lengths)


@torch.no_grad()
@pytest.mark.parametrize("factor", [0.8, 0.9, 1.1, 1.25])
def test_an_unsure_clip_is_heard_with_other_throats_and_the_surest_answer_stays(clips, factor):
    features, lengths = clips
    centres = FrontEnd(8000, 20).centres()
    moved = torch.from_numpy(warp_frequencies(features.numpy(), factor, centres))
    plain, other = heard(*clips, warps=()), heard(moved, lengths, warps=())
    found = heard(*clips, warps=(factor,))
    torch.testing.assert_close(found.counts, plain.counts)
    assert (log_surety(found) >= log_surety(plain)).all()
    # Not more places are filled than were counted, and `search` of them more.
    fits = fired(other.counts[:, None], TAIL) <= fired(plain.counts[:, None], TAIL)
    assert fits.any()
    for row in fits.nonzero()[:, 0].tolist():
        surer = log_surety(other)[row] > log_surety(plain)[row]
        wanted, number = (other, plain)[not surer], int(found.lengths[row])
        assert number == int(wanted.lengths[row])
        assert torch.equal(found.tokens[row, :number], wanted.tokens[row, :number])


@torch.no_grad()
def test_other_throats_hear_a_batch_as_they_hear_one_by_one(clips):
    together = heard(*clips, warps=(0.8, 1.25))
    for row, length in enumerate(clips[1].tolist()):
        alone = heard(clips[0][row : row + 1, :length], clips[1][row : row + 1], (0.8, 1.25))
        number = int(alone.lengths)
        assert number == int(together.lengths[row])
        assert torch.equal(alone.tokens[0, :number], together.tokens[row, :number])


@torch.no_grad()
def test_sure_clips_are_encoded_once(clips, monkeypatch):
    net = network(sample_rate=8000, warps=(0.9, 1.1))
    monkeypatch.setattr("faultline.speech.paraformer.count_search.SURE", 0.0)
    seen = []
    net.encoder.register_forward_hook(lambda module, given, found: seen.append(given[1].tolist()))
    net.recognise(*clips)
    assert seen == [clips[1].tolist()]


def test_features_that_are_not_of_sound_have_no_throats():
    assert network(sample_rate=0, warps=(0.9, 1.1)).throats.shape == (0, 20, 20)
    assert network(sample_rate=8000, warps=(0.9, 1.1)).throats.shape == (2, 20, 20)
    with pytest.raises(ConfigError, match="warps"):
        network(warps=(0.1,))
