"""Places beyond the end of a text: trained to say the end, decoded, and cut off."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.errors import ConfigError
from faultline.speech.paraformer import Paraformer
from faultline.speech.paraformer.cif import fired
from faultline.speech.paraformer.spare_places import (
    SHARE,
    filled_with_ends,
    up_to_first_end,
    with_spare_places,
)
from faultline.speech.tokenizer import END_ID

CLIPS = torch.randn(3, 60, 20, generator=torch.Generator().manual_seed(1))
LENGTHS = torch.tensor([60, 60, 60])


def network(**settings):
    torch.manual_seed(2)
    sizes = {"dim": 16, "heads": 2, "encoder_depth": 1, "decoder_depth": 1, "dropout": 0.0}
    return Paraformer(12, 20, **sizes, **settings)


@given(
    counted=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    frames=st.integers(1, 12),
    most=st.integers(1, 5),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_spare_places_fit_the_frames_and_silence_gets_none(counted, frames, most, seed):
    torch.manual_seed(seed)
    counted = torch.tensor(counted)
    places = with_spare_places(counted, torch.full_like(counted, frames), most)
    spare = places - counted
    assert (spare >= 0).all()
    assert (spare <= most).all()
    assert (spare[counted == 0] == 0).all()
    assert (places <= torch.maximum(counted, torch.tensor(frames))).all()


def test_every_number_of_spare_places_is_drawn_and_some_clips_have_none():
    torch.manual_seed(0)
    counted = torch.full((20_000,), 6)
    spare = with_spare_places(counted, counted + 50, 4) - 6
    shares = torch.bincount(spare, minlength=5) / len(spare)
    wanted = torch.tensor([1 - SHARE + SHARE / 5, *[SHARE / 5] * 4])
    torch.testing.assert_close(shares, wanted, atol=0.015, rtol=0)


def test_every_further_place_says_the_end():
    tokens = torch.tensor([[5, 6, 7], [8, 0, 0], [0, 0, 0]])
    targets = filled_with_ends(tokens, torch.tensor([3, 1, 0]), torch.tensor([4, 5, 0]))
    assert targets.tolist() == [
        [5, 6, 7, END_ID, 0], [8, END_ID, END_ID, END_ID, END_ID], [0, 0, 0, 0, 0]
    ]  # fmt: skip
    none = filled_with_ends(torch.zeros(2, 0, dtype=torch.long), *torch.zeros(2, 2).long())
    assert none.tolist() == [[0], [0]]


def test_an_answer_ends_at_its_first_end():
    tokens = torch.tensor([[5, END_ID, 6, END_ID], [5, 6, 7, 8], [END_ID, 0, 0, 0], [0, 0, 0, 0]])
    found = up_to_first_end(tokens, torch.tensor([4, 4, 1, 0]))
    assert found.tolist() == [2, 4, 1, 0]


def test_training_adds_places_that_the_count_does_not_learn():
    torch.manual_seed(0)
    net = network(spare=4).train()
    tokens = torch.tensor([[5, 6, 7], [8, 5, 0], [0, 0, 0]])
    counts = torch.tensor([3, 2, 0])
    seen = set()
    for _ in range(30):
        outputs = net.outputs(CLIPS, LENGTHS, tokens, counts)
        assert outputs.counted.tolist() == [4, 3, 0]
        assert outputs.target_lengths[2] == 0
        for row in range(2):
            said = outputs.targets[row, : outputs.target_lengths[row]].tolist()
            text = tokens[row, : counts[row]].tolist()
            assert said[: len(text)] == text
            assert set(said[len(text) :]) == {END_ID}
        seen.add(int(outputs.target_lengths[0]))
    assert seen == {4, 5, 6, 7, 8}
    with torch.no_grad():
        net.eval()
        assert net.outputs(CLIPS, LENGTHS, tokens, counts).target_lengths.tolist() == [4, 3, 0]


@torch.no_grad()
def test_half_of_them_are_decoded_and_what_follows_the_end_is_cut_off():
    plain, spare = network(spare=0).eval(), network(spare=6).eval()
    counted = fired(plain.weights(CLIPS, LENGTHS), plain.tail)
    assert (counted > 3).all()
    never_ends = torch.full_like(spare.decoder.output.bias, 0.0)
    never_ends[END_ID] = -1e9
    spare.decoder.output.bias.copy_(never_ends)
    found = spare(CLIPS, LENGTHS)
    assert found.lengths.tolist() == (counted + 3).tolist()
    never_ends[END_ID] = 1e9
    spare.decoder.output.bias.copy_(never_ends)
    found = spare(CLIPS, LENGTHS)
    assert found.lengths.tolist() == [1, 1, 1]
    assert (found.tokens[:, 1:] == 0).all()
    assert (found.confidence[:, 1:] == 0).all()
    assert (found.starts[:, 1:] == -1).all()
    assert (found.ends[:, 0] > 20).all(), "spare places take no time: one token fills the clip"


@torch.no_grad()
def test_a_wrong_count_no_longer_cuts_the_text():
    """A network that learnt one clip writes all of it, though the count is made two too low."""
    torch.manual_seed(3)
    net = network(spare=4, search=0, tail=0.0).train()
    tokens, counts = torch.tensor([[5, 6, 7, 8, 9]]), torch.tensor([5])
    clip, length = CLIPS[:1], LENGTHS[:1]
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    with torch.enable_grad():
        for _ in range(150):
            outputs = net.outputs(clip, length, tokens, counts)
            loss = (
                torch.nn.functional.cross_entropy(
                    outputs.logits.flatten(0, 1), outputs.targets.flatten()
                )
                + (outputs.counts - outputs.counted).abs().sum()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    net.eval()
    text = [5, 6, 7, 8, 9, END_ID]
    assert net(clip, length).tokens[0].tolist()[:6] == text
    predictor = net.predictor.forward
    net.predictor.forward = lambda *given: predictor(*given) * 4.5 / 6
    assert fired(net.weights(clip, length), net.tail).tolist() == [4]
    found = net(clip, length)
    assert found.tokens[0].tolist() == text
    assert found.lengths.tolist() == [6]


def test_more_than_sixteen_are_refused():
    with pytest.raises(ConfigError, match="spare=17"):
        network(spare=17)
