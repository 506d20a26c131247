"""Answers prompts about pictures, by the same path as every other answer.

A network that has been asked Q prompts gives Q logit channels, so the bundle is used with a
multilabel space of the prompts, and tiling, padding, precision and averaging are those of
`Predictor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.contents import Threshold
from faultline.errors import BundleError, DataError
from faultline.models import PromptedNetwork
from faultline.predict.clean_up import CleanUp
from faultline.predict.crf import PictureField
from faultline.predict.predictor import Pixels, Predictor
from faultline.predict.prompt_meaning import Meaning, PromptReader, far_limit, known_table
from faultline.types import LabelKind, LabelSpace


@dataclass(frozen=True, slots=True)
class PromptAnswer:
    """The answer to one prompt about one picture.

    Attributes:
        meaning: What the prompt was understood as.
        probability: (H, W) float32.
        mask: (H, W) of 0 and 1; empty for a prompt that is far from everything learned.
        threshold: Probability from which a pixel counts.
        seconds: Time taken; a prompt asked among others counts its share.
    """

    meaning: Meaning
    probability: NDArray[np.float32]
    mask: Pixels
    threshold: float
    seconds: float

    @property
    def share(self) -> float:
        """Share of the picture that is painted."""
        return float(self.mask.mean())


class PromptPredictor:
    """Answers prompts, from a bundle of a promptable network.

    Args:
        bundle: The model and all that belongs to it.
        device: See `Predictor`.
        precision: See `Predictor`.
        threshold: Wins over the bundle's for every prompt, and is recorded as set by hand.
        tta: Average over mirrored copies.
        tile: See `Predictor`.

    Raises:
        BundleError: The bundle answers no prompts, or its weights do not fit.
        ConfigError: A setting is out of range or not available on this machine.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: str | torch.device = "auto",
        precision: str = "auto",
        threshold: float | None = None,
        tta: bool = False,
        tile: int | None = None,
    ) -> None:
        self.bundle = bundle
        self.table = known_table(bundle)
        self.predictor = Predictor(bundle, device, precision, threshold, tta, tile)
        network = self.predictor.model
        if not isinstance(network, PromptedNetwork):
            raise BundleError(
                f"its model {bundle.model_name!r} answers no prompts", where=bundle.source
            )
        self.network = network
        self.reader = PromptReader(network, self.table, far_limit(bundle))
        self.clean_up = CleanUp.of(bundle)
        self._meanings: list[Meaning] = []

    @property
    def threshold(self) -> Threshold:
        """The shared threshold, with those of single classes."""
        return self.predictor.threshold

    def ask(self, prompts: Sequence[str]) -> list[Meaning]:
        """Choose the prompts of the answers that follow.

        Raises:
            DataError: There is none.
        """
        if not prompts:
            raise DataError(
                "no prompt was given", remedy=f'ask for example "{self.reader.prompts[0]}"'
            )
        if [meaning.prompt for meaning in self._meanings] == list(prompts):
            return self._meanings
        with torch.inference_mode():
            self.network.ask(list(prompts))
        space = LabelSpace(LabelKind.MULTILABEL, tuple(prompts))
        asked = replace(self.bundle, label_space=space)
        # Who answers stays the same, whatever is asked; hashing the weights anew takes its time.
        vars(asked)["fingerprint"] = self.bundle.fingerprint
        self.predictor.bundle = asked
        self._meanings = self.reader.read(prompts)
        return self._meanings

    def answer(
        self, image: Pixels, prompts: Sequence[str], *, clean: bool = True
    ) -> list[PromptAnswer]:
        """The answers to `prompts` about one RGB picture (H, W, 3) uint8, in their order.

        Args:
            image: The picture.
            prompts: What is asked.
            clean: Apply the clean-up that the bundle found to help.

        Raises:
            ContractError: `image` is of another shape or type.
            DataError: Nothing is asked.
        """
        meanings = self.ask(prompts)
        found = self.predictor.predict(image)
        field = PictureField(image)
        answers = []
        for meaning, probability in zip(meanings, found.probability, strict=True):
            threshold = self.threshold.of(meaning.name)
            mask = self.decide(probability, meaning, threshold, field if clean else None)
            seconds = found.seconds / len(meanings)
            answers.append(PromptAnswer(meaning, probability, mask, threshold, seconds))
        return answers

    def decide(
        self,
        probability: NDArray[np.float32],
        meaning: Meaning,
        threshold: float,
        field: PictureField | None = None,
    ) -> Pixels:
        """Mask (H, W) of 0 and 1 for one prompt; with the picture's `field` it is cleaned up."""
        if not meaning.known:
            return np.zeros(probability.shape, np.uint8)
        mask = (probability >= np.float32(threshold)).astype(np.uint8)
        if field is None:
            return mask
        return self.clean_up.apply(
            mask, meaning.name, partial(field.refine, probability, threshold)
        )
