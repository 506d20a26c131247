"""Statistics of features, stage by stage, over the pictures of a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from faultline.analysis.stages import EMBEDDING, FirstAxis, activations_of, head_of, taps_of
from faultline.predict.class_predictor import ClassPredictor

Pixels = NDArray[np.uint8]
Pooled = NDArray[np.float32]


@dataclass(frozen=True)
class StageFacts:
    """One stage of one network.

    Attributes:
        name: Its name.
        channels: C of its output.
        mean: Of its output over all pictures, places and channels.
        spread: Standard deviation, likewise.
        magnitude: Mean of the absolute values.
        by_channel: (C,) mean of the absolute values of each channel.
        units: Channels behind the activation functions of this stage.
        dead: Those of them that were never above zero, in any place of any picture.
    """

    name: str
    channels: int
    mean: float
    spread: float
    magnitude: float
    by_channel: NDArray[np.float64]
    units: int
    dead: int

    @property
    def dead_share(self) -> float:
        """Share of dead channels; NaN where the stage has no activation function of its own."""
        return self.dead / self.units if self.units else float("nan")


@dataclass
class _Sums:
    count: int = 0
    total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    square: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    absolute: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))

    def add(self, values: Tensor) -> None:
        """Add (B, places, C)."""
        flat = values.reshape(-1, values.shape[-1]).double()
        self.count += len(flat)
        self.total = self.total + flat.sum(0).cpu().numpy()
        self.square = self.square + (flat**2).sum(0).cpu().numpy()
        self.absolute = self.absolute + flat.abs().sum(0).cpu().numpy()


class FeatureMeter:
    """Watches the forward passes of one network.

    Features of a picture are the means of a stage's channels over all places. They are read where
    answers are made: from the predictor's own forward pass.

    Args:
        predictor: What gives the answers.
    """

    def __init__(self, predictor: ClassPredictor) -> None:
        self.predictor = predictor
        self._taps = taps_of(predictor.model)
        self._sums: dict[str, _Sums] = {}
        self._highest: dict[str, dict[tuple[int, int], Tensor]] = {}
        self._pooled: dict[str, list[NDArray[np.float32]]] = {}
        self._calls: dict[int, int] = {}
        self._before: list[tuple[tuple[int, int], Tensor]] = []
        self._stage = ""

    def add(self, fitted: Pixels) -> NDArray[np.float32]:
        """Run one fitted picture (H, W, 3); its probabilities (K,)."""
        pixels = torch.from_numpy(fitted).permute(2, 0, 1)[None]
        self._calls, self._stage = {}, ""
        with self._watched():
            probability = self.predictor.probabilities(pixels)
        # Functions behind the last stage belong to it.
        self._assign(self._stage)
        return np.asarray(probability[0], np.float32)

    def stages(self) -> list[StageFacts]:
        """What was seen, in the order of the stages."""
        return [self._facts(tap.name) for tap in self._taps if tap.name in self._sums]

    def pooled(self) -> dict[str, Pooled]:
        """Stage, or "embedding" -> (N, C) features of the pictures, in the order of `add`."""
        return {name: np.concatenate(rows) for name, rows in self._pooled.items()}

    def _facts(self, name: str) -> StageFacts:
        sums = self._sums[name]
        values = sums.count * len(sums.total)
        mean = float(sums.total.sum() / values)
        spread = float(np.sqrt(max(0.0, sums.square.sum() / values - mean**2)))
        highest = list(self._highest.get(name, {}).values())
        return StageFacts(
            name, len(sums.total), mean, spread, float(sums.absolute.sum() / values),
            sums.absolute / sums.count, sum(len(one) for one in highest),
            sum(int((one <= 0).sum()) for one in highest),
        )  # fmt: skip

    @contextmanager
    def _watched(self) -> Iterator[None]:
        model = self.predictor.model
        hooks = [
            module.register_forward_hook(self._on_activation(number, flat))
            for number, (module, flat) in enumerate(activations_of(model))
        ]
        # After those of the functions: where one is a tap itself, it belongs to its own stage.
        hooks += [tap.module.register_forward_hook(self._on_tap(tap.name, tap.flat))
                  for tap in self._taps]  # fmt: skip
        head = head_of(model)
        if head is not None:
            hooks.append(head.register_forward_pre_hook(self._on_head))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _on_activation(self, number: int, flat: FirstAxis) -> Callable[..., None]:
        def note(module: nn.Module, given: Any, output: Tensor) -> None:
            call = self._calls.get(number, 0)
            self._calls[number] = call + 1
            self._before.append(((number, call), flat(output).float().amax((0, 1)).cpu()))

        return note

    def _on_tap(self, name: str, flat: FirstAxis) -> Callable[..., None]:
        def note(module: nn.Module, given: Any, output: Tensor) -> None:
            values = flat(output).float()
            self._sums.setdefault(name, _Sums()).add(values)
            self._keep(name, values.mean(1))
            self._stage = name
            self._assign(name)

        return note

    def _on_head(self, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        self._keep(EMBEDDING, given[0].float())

    def _keep(self, name: str, features: Tensor) -> None:
        self._pooled.setdefault(name, []).append(features.cpu().numpy().astype(np.float32))

    def _assign(self, stage: str) -> None:
        known = self._highest.setdefault(stage, {})
        for key, highest in self._before:
            known[key] = torch.maximum(known[key], highest) if key in known else highest
        self._before = []
