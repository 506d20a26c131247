"""What a false answer costs in training."""

import pytest
import torch

from faultline.training.prompted_loss import false_answer_loss


def answer(share, size=200):
    """Logits (1, size, size) of a sure answer that paints `share` of the picture."""
    logits = torch.full((size * size,), -40.0)
    logits[: round(share * size * size)] = 40.0
    return logits.reshape(1, size, size)


def empty(size=200):
    return torch.zeros(1, size, size, dtype=torch.uint8)


class TestFalseAnswerLoss:
    @pytest.mark.parametrize(("share", "loss"), [(0.005, 0.5), (0.0, 0.0), (0.015, 0.75)])
    def test_has_its_closed_form(self, share, loss):
        assert false_answer_loss(answer(share), empty()).item() == pytest.approx(loss, abs=1e-6)

    def test_questions_about_something_shown_cost_nothing(self):
        mask = empty()
        mask[0, 3, 3] = 1
        assert false_answer_loss(answer(0.3), mask).tolist() == [0.0]

    def test_each_question_counts_by_itself(self):
        masks = torch.cat([empty(), empty()])
        masks[0, 5, 5] = 1
        found = false_answer_loss(torch.cat([answer(0.005), answer(0.005)]), masks)
        assert found.tolist() == pytest.approx([0.0, 0.5])

    def test_ignored_pixels_do_not_count(self):
        mask = empty()
        mask[0, 100:] = 255
        logits = answer(0.0)
        logits[0, 100:] = 40.0
        assert false_answer_loss(logits, mask).item() == pytest.approx(0.0, abs=1e-6)
        logits[0, 0, :100] = 40.0  # 100 of the 20,000 that count
        assert false_answer_loss(logits, mask).item() == pytest.approx(0.5, abs=1e-6)

    def test_a_picture_of_ignored_pixels_alone_is_0_with_a_gradient_of_0(self):
        logits = torch.zeros(1, 4, 4, requires_grad=True)
        loss = false_answer_loss(logits, torch.full((1, 4, 4), 255, dtype=torch.uint8))
        loss.sum().backward()
        assert loss.tolist() == [0.0]
        assert torch.equal(logits.grad, torch.zeros(1, 4, 4))

    def test_minds_little_paint_more_than_cross_entropy_and_dice_do(self):
        """The gradient that takes back one pixel of a false answer of one per cent."""
        logits = torch.full((1, 100, 100), -12.0)
        logits[0, 0] = 0.0
        logits.requires_grad_()
        mask = empty(100)
        mine = torch.autograd.grad(false_answer_loss(logits, mask).sum(), logits)[0][0, 0, 0]
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, mask.float())
        dice = 1 - 1 / (logits.sigmoid().sum() + 1)
        others = torch.autograd.grad(entropy + dice, logits)[0][0, 0, 0]
        assert mine > 5 * others > 0
