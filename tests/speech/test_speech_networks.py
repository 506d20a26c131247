"""Recognisers: batches against single clips, caches, samplers, gradients, settings."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.errors import ConfigError, UnknownNameError
from faultline.speech.paraformer import RECOGNISERS, Paraformer, create_recogniser
from faultline.speech.paraformer.blocks import BLOCKS
from faultline.speech.paraformer.ctc import best_path
from faultline.speech.paraformer.encoder import FrameStack, real_frames
from faultline.speech.paraformer.network import append_token
from faultline.speech.paraformer.sampler import glance
from faultline.speech.tokenizer import END_ID, START_ID

SMALL = {"vocabulary": 9, "mels": 6, "dim": 16, "heads": 2, "encoder_depth": 2, "dropout": 0.0}
NAMES = [entry.name for entry in RECOGNISERS]


def small(name, **more):
    torch.manual_seed(0)
    decoder = {} if name == "ctc" else {"decoder_depth": 2}
    return create_recogniser(name, **{**SMALL, **decoder, **more})


def clips(*lengths):
    generator = torch.Generator().manual_seed(1)
    features = torch.zeros(len(lengths), max(lengths), 6)
    for row, length in zip(features, lengths, strict=True):
        row[:length] = torch.randn(length, 6, generator=generator)
    return features, torch.tensor(lengths)


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("name", NAMES)
def test_a_clip_gives_the_same_alone_and_in_a_batch(name, blocks):
    network = small(name, blocks=blocks).eval()
    features, lengths = clips(41, 18, 5, 1)
    with torch.inference_mode():
        together = network(features, lengths)
        for row, length in enumerate(lengths.tolist()):
            alone = network(features[row : row + 1, :length], lengths[row : row + 1])
            size = int(alone.lengths[0])
            assert size == int(together.lengths[row])
            assert alone.tokens[0, :size].tolist() == together.tokens[row, :size].tolist()
            assert alone.starts[0, :size].tolist() == together.starts[row, :size].tolist()
            assert alone.ends[0, :size].tolist() == together.ends[row, :size].tolist()
            assert torch.allclose(
                alone.confidence[0, :size], together.confidence[row, :size], atol=1e-5
            )
            assert torch.allclose(alone.counts[0], together.counts[row], atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_losses_of_a_batch_are_those_of_its_clips(name):
    network = small(name).eval()
    features, lengths = clips(40, 17)
    tokens, counts = torch.tensor([[5, 6, 7], [8, 0, 0]]), torch.tensor([3, 1])
    together = network.outputs(features, lengths, tokens, counts)
    alone = network.outputs(features[1:, :17], lengths[1:], tokens[1:, :1], counts[1:])
    assert torch.allclose(alone.ctc_logits[0], together.ctc_logits[1, :9], atol=1e-5)
    if alone.logits is not None:
        assert torch.allclose(alone.logits[0, :2], together.logits[1, :2], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_learns(name):
    network = small(name).train()
    features, lengths = clips(40, 30)
    tokens, counts = torch.tensor([[5, 6, 7], [8, 5, 0]]), torch.tensor([3, 2])
    if isinstance(network, Paraformer):
        network.sampling = 0.5
    outputs = network.outputs(features, lengths, tokens, counts)
    total = outputs.ctc_logits.square().sum()
    if outputs.logits is not None:
        total = total + outputs.logits.square().sum()
    if outputs.counts is not None:
        total = total + outputs.counts.sum()
    total.backward()
    lost = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not lost


def test_what_stands_behind_a_clip_does_not_reach_it():
    network = small("paraformer").eval()
    features, lengths = clips(40, 17)
    noisy = features.clone()
    noisy[1, 17:] = 99.0
    assert torch.equal(network.weights(features, lengths), network.weights(noisy, lengths))


@pytest.mark.parametrize(("stack", "skip"), [(1, 1), (4, 2), (7, 6), (3, 2)])
def test_frames_are_stacks_of_normalised_windows(stack, skip):
    frames = FrameStack(3, 5, stack, skip)
    frames.set_statistics([1.0, 2.0, 3.0], [2.0, 2.0, 4.0])
    features = torch.randn(2, 20, 3)
    hidden, lengths = frames(features, torch.tensor([20, 13]))
    assert lengths.tolist() == [-(-20 // skip), -(-13 // skip)]
    assert hidden.shape == (2, -(-20 // skip), 5)
    normalised = (features[1] - torch.tensor([1.0, 2.0, 3.0])) / torch.tensor([2.0, 2.0, 4.0])
    normalised[13:] = 0
    padded = torch.cat([torch.zeros((stack - skip) // 2, 3), normalised, torch.zeros(stack, 3)])
    window = padded[skip : skip + stack]  # the second frame's
    weight = frames.projection.weight
    wanted = (weight * window.T[None]).sum((1, 2)) + frames.projection.bias
    assert torch.allclose(hidden[1, 1], wanted, atol=1e-5)


def test_always_as_many_vectors_as_tokens_while_training():
    network = small("paraformer", spare=0).train()
    features, lengths = clips(40, 30, 9)
    tokens = torch.tensor([[5, 6, 7, 8], [8, 5, 0, 0], [0, 0, 0, 0]])
    outputs = network.outputs(features, lengths, tokens, torch.tensor([4, 2, 0]))
    assert outputs.logits.shape == (3, 5, 9)
    assert outputs.targets.tolist() == [
        [5, 6, 7, 8, END_ID], [8, 5, END_ID, 0, 0], [0, 0, 0, 0, 0]
    ]  # fmt: skip
    assert outputs.target_lengths.tolist() == outputs.counted.tolist() == [5, 3, 0]
    assert torch.isfinite(outputs.logits).all()


def test_a_batch_of_silence_has_no_tokens_and_no_nan():
    for name in NAMES:
        network = small(name).train()
        features, lengths = clips(12, 5)
        outputs = network.outputs(
            features, lengths, torch.zeros(2, 0, dtype=torch.long), torch.tensor([0, 0])
        )
        assert torch.isfinite(outputs.ctc_logits).all()
        assert outputs.logits is None or torch.isfinite(outputs.logits).all()


def test_no_token_fires_in_silence():
    network = small("paraformer", tokens_per_frame=0.01).eval()
    features, lengths = clips(10, 4)
    with torch.inference_mode():
        found = network(features, lengths)
    assert found.lengths.tolist() == [0, 0]
    assert found.tokens.tolist() == [[0], [0]]
    assert torch.isfinite(found.confidence).all()


def test_the_cache_writes_what_the_whole_decoder_says():
    network = small("autoregressive").eval()
    features, lengths = clips(40, 21)
    with torch.inference_mode():
        found = network(features, lengths)
        for row in range(2):
            size = int(found.lengths[row])
            text = found.tokens[row : row + 1, :size]
            ended = int(text[0, -1]) == END_ID
            given = text[:, :-1] if ended else text
            length = int(lengths[row])
            outputs = network.outputs(
                features[row : row + 1, :length], lengths[row : row + 1], given,
                torch.tensor([given.shape[1]]),
            )  # fmt: skip
            assert outputs.first_pass[0, :size].tolist() == text[0].tolist()


def test_the_decoder_of_the_baseline_sees_no_future():
    network = small("autoregressive").eval()
    features, lengths = clips(30)
    first, second = torch.tensor([[5, 6, 7]]), torch.tensor([[5, 6, 8]])
    count = torch.tensor([3])
    a = network.outputs(features, lengths, first, count).logits
    b = network.outputs(features, lengths, second, count).logits
    assert torch.equal(a[:, :3], b[:, :3])
    assert not torch.allclose(a[:, 3], b[:, 3])


def test_the_best_path_joins_repeats_and_drops_blanks():
    labels = torch.tensor([[4, 4, 0, 4, 5, 0, 0], [0, 0, 6, 6, 6, 6, 6]])
    logits = torch.nn.functional.one_hot(labels, 7).float() * 9
    found = best_path(logits, torch.tensor([7, 4]))
    assert found.lengths.tolist() == [3, 1]
    assert found.tokens.tolist() == [[4, 4, 5], [6, 0, 0]]
    assert found.starts.tolist() == [[0, 3, 4], [2, -1, -1]]
    assert found.ends.tolist() == [[2, 4, 5], [4, -1, -1]]
    assert found.confidence[1].tolist()[1:] == [0.0, 0.0]
    silent = best_path(logits[:, :1] * 0 + torch.tensor([9.0] + [0.0] * 6), torch.tensor([1, 1]))
    assert silent.lengths.tolist() == [0, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_the_sampler_shows_a_share_of_the_wrong_tokens(seed, share):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, 9, (4,), generator=generator)
    mask = real_frames(lengths, 8)
    targets = torch.randint(4, 9, (4, 8), generator=generator)
    guess = torch.randint(4, 9, (4, 8), generator=generator)
    vectors, shown = torch.zeros(4, 8, 3), torch.ones(4, 8, 3)
    mixed = glance(vectors, shown, guess, targets, mask, share)
    replaced = mixed[..., 0] == 1
    wrong = ((guess != targets) & mask).sum(1)
    assert replaced.sum(1).tolist() == [int(share * n) for n in wrong.tolist()]
    assert not (replaced & ~mask).any()


def test_the_end_comes_behind_each_text():
    tokens = torch.tensor([[5, 6], [7, 0]])
    assert append_token(tokens, torch.tensor([2, 1]), END_ID).tolist() == [[5, 6, 3], [7, 3, 0]]


def test_answers_hold_neither_blank_nor_start():
    network = small("paraformer", tokens_per_frame=0.9).eval()
    with torch.no_grad():
        network.decoder.output.bias[[0, START_ID]] = 1e4
        found = network(*clips(40))
    real = found.tokens[0, : int(found.lengths[0])]
    assert len(real) > 5
    assert not ((real == 0) | (real == START_ID)).any()


def test_wrong_names_and_settings_are_explained():
    with pytest.raises(UnknownNameError, match="did you mean 'paraformer'"):
        create_recogniser("parafomer", vocabulary=9)
    with pytest.raises(ConfigError, match="blocks='sann' is not known, did you mean 'sanm'"):
        small("paraformer", blocks="sann")
    with pytest.raises(ConfigError, match="heads=3"):
        small("paraformer", heads=3)
    with pytest.raises(ConfigError, match="kernel=4"):
        small("ctc", kernel=4)
    with pytest.raises(ConfigError, match="has no setting 'sampling'"):
        small("ctc", sampling=0.3)


def test_parallel_and_causal_decoder_are_of_one_size():
    def size(network):
        return sum(p.numel() for n, p in network.named_parameters() if "encoder" not in n)

    parallel = size(create_recogniser("paraformer", vocabulary=30))
    causal = size(create_recogniser("autoregressive", vocabulary=30))
    assert 0.75 < parallel / causal < 1.33
