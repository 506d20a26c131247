"""Small networks on tables, trained in seconds: minibatches, AdamW, best epoch by validation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultline.ensemble.stage import Arrays
from faultline.ensemble.tables import Inputs
from faultline.metrics.inputs import Bools, Floats
from faultline.predict.probability import to_probability
from faultline.types import LabelKind

Features = npt.NDArray[np.float32]
_BATCH = 128
_EPOCHS = 150
_PATIENCE = 15


class Standardise(nn.Module):
    """Takes the mean of the training rows away and divides by their deviation, feature by feature.

    Args:
        shape: Shape of one row.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(*shape))
        self.register_buffer("scale", torch.ones(*shape))

    def learn(self, rows: Tensor) -> None:
        """Take mean and deviation of `rows` (N, *shape); a constant feature becomes 0."""
        self.mean.copy_(rows.mean(0))
        self.scale.copy_(rows.std(0, correction=0).clamp_min(1e-6).reciprocal())

    def forward(self, x: Tensor) -> Tensor:
        """(B, *shape) -> the same."""
        # A picture unlike all of training may not drown everything else.
        return ((x - self.mean) * self.scale).clamp(-10, 10)


class Head(nn.Module):
    """A body behind `Standardise`; subclasses and callers give the body.

    Args:
        shape: Shape of one row.
        body: (B, *shape) -> (B, K) logits.
    """

    def __init__(self, shape: Sequence[int], body: nn.Module) -> None:
        super().__init__()
        self.standardise = Standardise(shape)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """(B, *shape) -> logits (B, K)."""
        return self.body(self.standardise(x))  # type: ignore[no-any-return]


def mlp(features: int, classes: int, hidden: int = 64, dropout: float = 0.2) -> Head:
    """One hidden layer."""
    body = nn.Sequential(
        nn.Linear(features, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, classes)
    )
    return Head([features], body)


Loss = Callable[[Tensor, Tensor], Tensor]
"""Takes what the head gave and the truth (B, K) of 0 and 1; gives a loss for each row, (B,)."""


def loss_for(kind: LabelKind) -> Loss:
    """Cross-entropy of a softmax, or of one sigmoid a class; one value a row."""
    if kind is LabelKind.MULTICLASS:
        return lambda logits, truth: -(truth * logits.log_softmax(1)).sum(1)
    return lambda logits, truth: F.binary_cross_entropy_with_logits(
        logits, truth, reduction="none"
    ).mean(1)


def fit_head(
    build: Callable[[], Head],
    train: tuple[Features, Bools | Floats],
    valid: tuple[Features, Bools | Floats],
    loss: Loss,
    *,
    seed: int,
    weights: Floats | None = None,
    rate: float = 3e-3,
    decay: float = 1e-2,
    epochs: int = _EPOCHS,
) -> Head:
    """A head of the epoch with the lowest validation loss.

    The same seed gives the same head; the caller's random state is not moved.

    Args:
        build: Makes the head, with random weights.
        train: Rows (N, ...) and truth (N, K) to learn from.
        valid: The same to choose the epoch on.
        loss: See `Loss`.
        seed: Seed of weights, order and dropout.
        weights: (N,) weight of each training row; None weighs all alike.
        rate: Learning rate.
        decay: Weight decay.
        epochs: At most this many.
    """
    x, y = _tensors(train)
    valid_x, valid_y = _tensors(valid)
    w = torch.ones(len(x)) if weights is None else torch.from_numpy(weights).float()
    w = w / w.mean()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = build()
        head.standardise.learn(x)
        optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=decay)
        best, kept, since = float("inf"), copy.deepcopy(head.state_dict()), 0
        for _ in range(epochs):
            head.train()
            for batch in torch.split(torch.randperm(len(x)), _BATCH):
                optimizer.zero_grad()
                (w[batch] * loss(head(x[batch]), y[batch])).mean().backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            value = _mean_loss(head, valid_x, valid_y, loss)
            if value < best - 1e-5:
                best, kept, since = value, copy.deepcopy(head.state_dict()), 0
            else:
                since += 1
                if since >= _PATIENCE:
                    break
    head.load_state_dict(kept)
    return head.eval()


@torch.inference_mode()
def answer(head: nn.Module, rows: Features, kind: LabelKind) -> Floats:
    """(N, K) probabilities of a head that gives logits."""
    found = to_probability(head.eval()(torch.from_numpy(rows)), kind)
    return found.double().numpy()


def kept(head: nn.Module) -> Arrays:
    """The tensors of a head, to be kept."""
    return {name: tensor.detach().numpy() for name, tensor in head.state_dict().items()}


def restored(head: Head, arrays: Arrays) -> Head:
    """`head` with the tensors that `kept` gave."""
    head.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return head.eval()


def flat_logits(inputs: Inputs) -> Features:
    """(N, M K): the logits of all members side by side."""
    return inputs.logits.reshape(len(inputs), -1).astype(np.float32)


def all_features(inputs: Inputs) -> Features:
    """(N, M (K + A)): logits and relative embeddings of all members side by side."""
    relative = inputs.relative.reshape(len(inputs), -1)
    return np.concatenate([flat_logits(inputs), relative], axis=1)


def _tensors(pair: tuple[Features, Bools | Floats]) -> tuple[Tensor, Tensor]:
    rows, truth = pair
    return torch.from_numpy(rows).float(), torch.from_numpy(truth.astype(np.float32))


@torch.inference_mode()
def _mean_loss(head: Head, x: Tensor, y: Tensor, loss: Loss) -> float:
    return float(loss(head.eval()(x), y).mean())
