"""Losses against references, and error rates."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from faultline.speech.config import SpeechLossConfig
from faultline.speech.losses import (
    ctc_loss,
    masked_cross_entropy,
    quantity_loss,
    speech_losses,
    token_accuracy,
)
from faultline.speech.metrics import error_rates
from faultline.speech.paraformer import TrainingOutputs


def test_cross_entropy_is_torchs_on_real_tokens():
    logits, targets = torch.randn(3, 5, 7), torch.randint(0, 7, (3, 5))
    lengths = torch.tensor([5, 2, 0])
    real = torch.cat([logits[0], logits[1, :2]]), torch.cat([targets[0], targets[1, :2]])
    for smoothing in (0.0, 0.1):
        wanted = F.cross_entropy(*real, label_smoothing=smoothing)
        found = masked_cross_entropy(logits, targets, lengths, smoothing)
        assert torch.allclose(found, wanted, atol=1e-6)
    assert float(masked_cross_entropy(logits, targets, torch.zeros(3, dtype=torch.long))) == 0


def test_ctc_sums_over_all_paths():
    torch.manual_seed(0)
    logits = torch.randn(1, 4, 3)
    probability = logits[0].softmax(-1)
    total = 0.0
    for path in itertools.product(range(3), repeat=4):
        joined = [label for label, _ in itertools.groupby(path) if label]
        if joined == [2, 1]:
            total += math.prod(float(probability[t, label]) for t, label in enumerate(path))
    found = ctc_loss(logits, torch.tensor([4]), torch.tensor([[2, 1]]), torch.tensor([2]))
    assert float(found) == pytest.approx(-math.log(total) / 2, rel=1e-5)


def test_ctc_of_a_text_that_does_not_fit_or_of_silence_is_finite():
    logits = torch.randn(2, 3, 5)
    tokens = torch.tensor([[4, 4, 4], [0, 0, 0]])
    found = ctc_loss(logits, torch.tensor([3, 3]), tokens, torch.tensor([3, 0]))
    assert torch.isfinite(found)
    empty = torch.zeros(2, 0, dtype=torch.long)
    assert torch.isfinite(ctc_loss(logits, torch.tensor([3, 3]), empty, torch.tensor([0, 0])))


def test_ctc_of_silence_is_that_of_blanks():
    """A network with nothing but CTC learns from it that silence has no text."""
    logits = torch.randn(2, 4, 5, requires_grad=True)
    frames, tokens, lengths = torch.tensor([4, 3]), torch.tensor([[4], [0]]), torch.tensor([1, 0])
    both = ctc_loss(logits, frames, tokens, lengths)
    spoken = ctc_loss(logits[:1], frames[:1], tokens[:1], lengths[:1])
    blanks = -logits[1, :3].log_softmax(-1)[:, 0].sum()
    assert torch.allclose(both - spoken, blanks, atol=1e-5)
    both.backward()
    assert (logits.grad[1, :3, 0] < 0).all(), "blanks become likelier"
    assert not logits.grad[1, 3].any()


def test_quantity_is_the_error_of_the_count_by_token():
    found = quantity_loss(torch.tensor([3.5, 1.0, 0.25]), torch.tensor([3, 2, 0]))
    assert float(found) == pytest.approx((0.5 + 1.0 + 0.25) / 5)
    assert float(quantity_loss(torch.tensor([0.25]), torch.tensor([0]))) == 0.25


def outputs(**more):
    values = {
        "ctc_logits": torch.randn(1, 6, 5), "frames": torch.tensor([6]),
        "logits": torch.randn(1, 3, 5), "targets": torch.tensor([[4, 4, 3]]),
        "target_lengths": torch.tensor([3]), "first_pass": torch.tensor([[4, 1, 3]]),
        "counts": torch.tensor([2.5]), "counted": torch.tensor([2]),
    }  # fmt: skip
    return TrainingOutputs(**{**values, **more})


def test_the_loss_is_the_weighted_sum_of_its_parts():
    config = SpeechLossConfig(ctc=0.3, quantity=2.0)
    parts = speech_losses(outputs(), torch.tensor([[4, 4]]), torch.tensor([2]), config)
    wanted = 0.3 * parts["ctc"] + 0.7 * parts["ce"] + 2.0 * parts["quantity"]
    assert torch.allclose(parts["loss"], wanted)
    assert float(parts["quantity"]) == pytest.approx(0.25), "of what is counted, not of the targets"
    assert set(parts) == {"loss", "ctc", "ce", "quantity"}
    causal = speech_losses(outputs(counts=None), torch.tensor([[4, 4]]), torch.tensor([2]), config)
    assert set(causal) == {"loss", "ctc", "ce"}
    alone = speech_losses(outputs(logits=None), torch.tensor([[4, 4]]), torch.tensor([2]), config)
    assert torch.equal(alone["loss"], alone["ctc"])


def test_accuracy_is_that_of_the_first_pass():
    assert token_accuracy(outputs()) == (2, 3)
    assert token_accuracy(outputs(target_lengths=torch.tensor([1]))) == (1, 1)
    assert token_accuracy(outputs(first_pass=None)) == (0, 0)


def test_error_rates_by_hand():
    rates = error_rates(["one two", "six", "", ""], ["one too", "sixx", "", "a"])
    assert rates.characters == 10
    assert (rates.substitutions, rates.deletions, rates.insertions) == (1, 0, 2)
    assert rates.cer == pytest.approx(3 / 10)
    assert rates.wer == pytest.approx(3 / 3)
    assert rates.exact_match == 0.25
    assert (rates.silent_clips, rates.silent_right) == (2, 1)


def test_rates_of_nothing_said_are_not_defined():
    assert math.isnan(error_rates([""], ["a"]).cer)
