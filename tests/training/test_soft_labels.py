"""A teacher's soft labels: the loss against its definition, and a student that follows."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from faultline.errors import ConfigError, DataError
from faultline.training.soft_labels import SoftLabels
from faultline.types import LabelKind


def soft(kind=LabelKind.MULTICLASS, **settings):
    rows = {"a": np.array([0.7, 0.2, 0.1]), "b": np.array([0.1, 0.1, 0.8])}
    return SoftLabels(rows, kind, **settings)


def test_the_table_is_in_the_order_that_is_asked_for():
    assert soft().table(["b", "a"])[0].tolist() == pytest.approx([0.1, 0.1, 0.8])
    with pytest.raises(DataError, match="no answer to 1 pictures: c"):
        soft().table(["a", "c"])


def test_the_loss_is_the_divergence_at_a_temperature():
    logits, heat = np.array([[1.0, 0.0, -2.0], [0.5, 0.5, 0.0]]), 3.0
    teacher = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    hot = softmax(np.log(teacher) / heat, axis=1)
    student = softmax(logits / heat, axis=1)
    expected = heat**2 * (hot * np.log(hot / student)).sum(axis=1).mean()
    found = soft(temperature=heat).loss(torch.tensor(logits), torch.tensor(teacher))
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize("kind", [LabelKind.MULTICLASS, LabelKind.MULTILABEL])
def test_a_student_that_agrees_has_no_loss(kind):
    teacher = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
    same = teacher.log() if kind is LabelKind.MULTICLASS else teacher.logit()
    assert float(soft(kind).loss(same, teacher)) == pytest.approx(0, abs=1e-9)
    assert float(soft(kind).loss(same + torch.tensor([[1.0, 0, -1]]), teacher)) > 0.01


def test_gradients_do_not_shrink_with_the_temperature():
    teacher, sizes = torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64), []
    for heat in (20.0, 40.0):
        logits = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
        soft(temperature=heat).loss(logits, teacher).backward()
        sizes.append(float(logits.grad.norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"share": 1.5}])
def test_settings_are_checked(settings):
    with pytest.raises(ConfigError):
        soft(**settings)


def test_the_step_mixes_labels_and_teacher():
    from faultline.config.schema import OptimizerConfig, SchedulerConfig
    from faultline.data.classification import ClassBatch
    from faultline.training.classification_task import ClassificationTask
    from faultline.types import LabelSpace

    space = LabelSpace(LabelKind.MULTICLASS, ("x", "y", "z"))
    labels = soft(share=0.25)

    def step(soft_labels):
        torch.manual_seed(0)
        task = ClassificationTask(
            {"name": "conv_next"}, {"name": "cross_entropy"}, space, np.eye(3, dtype=np.uint8),
            OptimizerConfig(), SchedulerConfig(), soft=soft_labels,
        ).eval()  # fmt: skip
        task.log = lambda *args, **kwargs: None
        image = torch.arange(2 * 3 * 32 * 32).reshape(2, 3, 32, 32).to(torch.uint8)
        batch = ClassBatch(["b", "a"], image, torch.tensor([0, 2]), torch.tensor([1, 0]))
        return float(task.training_step(batch, 0).detach()), task(image).float().detach()

    plain, logits = step(None)
    mixed, _ = step((labels, labels.table(["a", "b"])))
    taught = float(labels.loss(logits, labels.table(["b", "a"])))
    assert mixed == pytest.approx(0.75 * plain + 0.25 * taught, rel=1e-4)
