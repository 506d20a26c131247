"""A member's answers to pictures: probabilities by the class predictor, and embeddings beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from faultline.data.images import read_image
from faultline.ensemble.tables import Singles
from faultline.errors import ContractError
from faultline.predict.class_predictor import ClassPredictor
from faultline.predict.stream import mapped
from faultline.progress import Progress

_BATCH = 16


def answer_files(
    predictor: ClassPredictor, paths: Sequence[Path], progress: Progress | None = None
) -> tuple[Singles, Singles]:
    """Probabilities (N, K) and embeddings (N, D) of picture files, in order.

    Raises:
        ImageError: A picture cannot be read.
        ContractError: The network does not end in a linear layer.
    """
    probability, embedding = [], []
    with ThreadPoolExecutor(2) as readers, penultimate(predictor) as taken:
        read = mapped(readers, lambda path: predictor.fit(read_image(path)), paths, _BATCH + 4)
        done = 0
        for batch in _batches(read):
            probability += [one.probability for one in predictor.predict_batch(batch)]
            embedding.append(taken())
            done += len(batch)
            if progress is not None:
                progress(done, len(paths))
    return np.stack(probability), np.concatenate(embedding)


@contextmanager
def penultimate(predictor: ClassPredictor) -> Iterator[Any]:
    """Give a function that returns what the last linear layer was given in the last call, (B, D).

    Raises:
        ContractError: The network has no linear layer that gives its K logits.
    """
    layers = [one for one in predictor.model.modules() if isinstance(one, nn.Linear)]
    classes = len(predictor.names)
    if not layers or layers[-1].out_features != classes:
        raise ContractError(
            f"model {predictor.bundle.model_name!r} does not end in a linear layer of {classes} "
            "outputs, so it has no embedding",
            where=predictor.bundle.source,
            remedy="give a classifier that ends in one, as all of `faultline list models` do",
        )
    seen: list[Tensor] = []

    def take(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen[:] = [given[0].detach()]

    def last() -> Singles:
        found = seen[0].float().flatten(1).cpu().numpy()
        return np.asarray(found, np.float32)

    handle = layers[-1].register_forward_pre_hook(take)
    try:
        yield last
    finally:
        handle.remove()


def _batches(pictures: Iterator[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for picture in pictures:
        # Of one size each: a network that takes any size must not be given two at once.
        if batch and (len(batch) == _BATCH or picture.shape != batch[0].shape):
            yield batch
            batch = []
        batch.append(picture)
    if batch:
        yield batch


def release() -> None:
    """Give back what the last network held on the GPU."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
