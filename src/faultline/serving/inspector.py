"""Everything that is done to one picture, in one thread: decode, gate, predict, describe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from starlette.exceptions import HTTPException

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.device import is_out_of_memory
from faultline.data.prompts import unique_prompts
from faultline.errors import DataError
from faultline.http.refusals import Refusal
from faultline.http.upload import Form
from faultline.predict.overlay import draw_overlay
from faultline.predict.pictures import encode_picture
from faultline.predict.prompt_command import draw_answers
from faultline.pseudolabel.gate.ask import Gate
from faultline.serving.answers import Values, class_answer, mask_answer, prompt_answer
from faultline.serving.heads import Heads
from faultline.serving.options import Limits
from faultline.serving.pictures import Pixels, as_base64, picture_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wish:
    """How an answer is wanted.

    Attributes:
        png: The overlay itself, and nothing else.
        overlay: With the overlay.
        mm_per_px: Scale of the picture.
    """

    png: bool = False
    overlay: bool = True
    mm_per_px: float | None = None


class Inspector:
    """Answers about one picture at a time; not to be called by two threads at once.

    Args:
        bundle: What is served.
        heads: Its predictors.
        gate: Asked first; None lets every picture pass.
        limits: What a request may ask for.
    """

    def __init__(self, bundle: Bundle, heads: Heads, gate: Gate | None, limits: Limits) -> None:
        self.bundle, self.heads, self.gate, self.limits = bundle, heads, gate, limits

    def segment(self, form: Form, wish: Wish) -> Values | bytes:
        """What is outlined.

        Raises:
            HTTPException: The picture cannot be used, or does not pass the gate.
        """
        predictor = self.heads.masks
        assert predictor is not None
        space = predictor.bundle.label_space
        return self._outlined(
            form,
            wish,
            predictor.predict,
            lambda found: mask_answer(found, space, predictor.threshold, wish.mm_per_px),
            lambda picture, found: draw_overlay(picture, found.mask, space),
        )

    def prompt(self, form: Form, wish: Wish) -> Values | bytes:
        """What the prompts of the form find; raises as `segment`, 422 for prompts too."""
        predictor = self.heads.prompts
        assert predictor is not None
        prompts = self._prompts(form.fields.get("prompt", ()))
        return self._outlined(
            form,
            wish,
            lambda picture: predictor.answer(picture, prompts),
            prompt_answer,
            draw_answers,
        )

    def classify(self, form: Form) -> Values:
        """What a picture shows; raises as `segment`."""
        predictor = self.heads.classes
        assert predictor is not None
        start = time.perf_counter()
        picture = picture_of(form.data, self.limits.pixels)
        passed = self._gate(picture)
        with _memory_for(picture):
            found = predictor.predict(picture)
        return self._framed(form, picture, passed, class_answer(found, predictor), start)

    def _outlined(
        self,
        form: Form,
        wish: Wish,
        predict: Callable[[Pixels], T],
        describe: Callable[[T], Values],
        draw: Callable[[Pixels, T], Pixels],
    ) -> Values | bytes:
        start = time.perf_counter()
        picture = picture_of(form.data, self.limits.pixels)
        passed = self._gate(picture)
        with _memory_for(picture):
            found = predict(picture)
            if wish.png:
                return encode_picture(draw(picture, found))
            values = describe(found)
            if wish.overlay:
                values["overlay"] = as_base64(draw(picture, found))
        return self._framed(form, picture, passed, values, start)

    def _framed(
        self, form: Form, picture: Pixels, passed: Values | None, values: Values, start: float
    ) -> Values:
        height, width = picture.shape[:2]
        return {
            "file": form.name,
            "width": width,
            "height": height,
            "model": self.bundle.model_name,
            "fingerprint": self.bundle.fingerprint,
            "gate": passed,
            **values,
            "time_ms": round(1e3 * (time.perf_counter() - start), 1),
        }

    def _gate(self, picture: Pixels) -> Values | None:
        """What the gate says of a picture that passes; None without a gate."""
        if self.gate is None:
            return None
        with _memory_for(picture):
            decision = self.gate.ask(picture)
        if not decision.passed:
            reason = f"the gate rejects the picture: {decision.reason}"
            raise Refusal(422, reason, gate=decision.to_dict())
        return decision.to_dict()

    def _prompts(self, given: Sequence[str]) -> list[str]:
        """Prompts, each once.

        Raises:
            HTTPException: 422: there are none or too many, or one cannot be used.
        """
        known = self.heads.prompts.reader.prompts if self.heads.prompts else [""]
        if not given:
            raise HTTPException(
                422, f'the form has no field `prompt` -> ask for example "{known[0]}"'
            )
        try:
            prompts = unique_prompts(given)
        except DataError as error:
            raise HTTPException(422, str(error)) from error
        if len(prompts) > self.limits.prompts:
            raise HTTPException(
                422, f"{len(prompts)} prompts, more than {self.limits.prompts} are not taken"
            )
        return prompts


@contextmanager
def _memory_for(picture: Pixels) -> Iterator[None]:
    """Memory that runs out is the picture's fault, and told so."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        height, width = picture.shape[:2]
        raise HTTPException(
            413, f"not enough memory for {width}x{height} pixels -> send a smaller picture"
        ) from error
