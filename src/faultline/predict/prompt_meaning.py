"""What a prompt means to a bundle: which class, how far from everything known, and what is near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from faultline.artifacts.bundle import Bundle
from faultline.data.prompts import PromptTable, comparable, table_of
from faultline.data.wordings import Wordings
from faultline.errors import BundleError
from faultline.models import PromptedNetwork

_NEAREST = 3


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one prompt was understood as.

    Attributes:
        prompt: As it was asked.
        name: The class whose known prompts lie nearest.
        distance: 1 - cosine to the nearest known prompt.
        known: Whether it is near enough to be answered.
        nearest: Known prompts, nearest first.
    """

    prompt: str
    name: str
    distance: float
    known: bool
    nearest: tuple[str, ...]

    def warning(self) -> str | None:
        """One line for a prompt that is far from everything learned; None for a known one."""
        if self.known:
            return None
        near = ", ".join(f'"{prompt}"' for prompt in self.nearest)
        return (
            f'"{self.prompt}" is far from everything these weights were taught (distance '
            f"{self.distance:.2f}): answered with an empty mask; nearest known prompts: {near}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "prompt": self.prompt,
            "class": self.name,
            "distance": round(self.distance, 4),
            "known": self.known,
            "nearest": list(self.nearest),
        }


class PromptReader:
    """Compares prompts with those that a network was taught.

    Args:
        network: Embeds prompts.
        table: Classes that were trained.
        limit: Distance from which a prompt is far; None takes every prompt.
    """

    def __init__(
        self, network: PromptedNetwork, table: PromptTable, limit: float | None = None
    ) -> None:
        self.network, self.table, self.limit = network, table, limit
        known = Wordings(table).known()
        self.names = [name for name, _ in known]
        self.prompts = [prompt for _, prompt in known]
        self._exact = {comparable(prompt): name for name, prompt in known}
        self._bank = self._embed(self.prompts)

    def read(self, prompts: Sequence[str]) -> list[Meaning]:
        """What each prompt means."""
        if not prompts:
            return []
        cosine = self._embed(prompts) @ self._bank.T
        return [self._meaning(prompt, row) for prompt, row in zip(prompts, cosine, strict=True)]

    def distances(self, prompts: Sequence[str]) -> list[float]:
        """1 - cosine of each prompt to the nearest known one."""
        if not prompts:
            return []
        return (1 - (self._embed(prompts) @ self._bank.T).amax(dim=1)).tolist()

    def _meaning(self, prompt: str, cosine: Tensor) -> Meaning:
        order = cosine.argsort(descending=True).tolist()
        distance = max(0.0, 1 - float(cosine[order[0]]))
        exact = self._exact.get(comparable(prompt))
        known = exact is not None or self.limit is None or distance <= self.limit
        name = exact or self.names[order[0]]
        nearest = tuple(self.prompts[number] for number in order[:_NEAREST])
        return Meaning(prompt, name, distance, known, nearest)

    @torch.inference_mode()
    def _embed(self, prompts: Sequence[str]) -> Tensor:
        was_training = self.network.training
        self.network.eval()
        try:
            return self.network.embed(list(prompts)).float().cpu()
        finally:
            self.network.train(was_training)


def known_prompts(bundle: Bundle) -> list[str]:
    """All wordings that the classes of a bundle are known by.

    Raises:
        BundleError: The bundle answers no prompts.
    """
    return [prompt for _, prompt in Wordings(known_table(bundle)).known()]


def known_table(bundle: Bundle) -> PromptTable:
    """The prompt table that travels with a bundle.

    Raises:
        BundleError: The bundle has none.
    """
    given = bundle.extra.get("prompts", {}).get("table")
    if given is None:
        raise BundleError(
            "answers no prompts",
            where=bundle.source,
            remedy="give weights that were trained with task=prompted, or leave out --prompt",
        )
    return table_of(given)


def far_limit(bundle: Bundle) -> float | None:
    """Distance from which a prompt is far, as calibrated when the bundle was written."""
    limit = bundle.extra.get("prompts", {}).get("distance", {}).get("limit")
    return None if limit is None else float(limit)
