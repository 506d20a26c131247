"""The steps between a picture and its results, as `infer` runs them in its threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faultline.artifacts.device import is_out_of_memory
from faultline.data.images import read_image
from faultline.errors import DataError
from faultline.predict.inputs import (
    MASK_SUFFIX,
    OVERLAY_SUFFIX,
    PANEL_SUFFIX,
    Job,
    class_mask_name,
)
from faultline.predict.measure import measure, measure_classes
from faultline.predict.options import InferOptions
from faultline.predict.overlay import draw_overlay, four_panel
from faultline.predict.pictures import write_picture
from faultline.predict.predictor import Predictor
from faultline.predict.probability import Prediction
from faultline.predict.stream import Outbox, mapped
from faultline.predict.table import Row
from faultline.types import LabelKind, LabelSpace

_GPU_BATCH = 8
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Done:
    """The row of one picture, and the seconds that each step took."""

    row: Row
    decode: float
    predict: float = 0.0
    finish: float = 0.0


@dataclass(frozen=True, slots=True)
class _Decoded:
    job: Job
    seconds: float
    picture: Pixels | None = None
    error: str = ""

    @property
    def shape(self) -> tuple[int, ...] | None:
        return None if self.picture is None else self.picture.shape


def answer_all(
    predictor: Predictor,
    jobs: Iterable[Job],
    save: Path,
    options: InferOptions,
    take: Callable[[Done], None],
) -> None:
    """Answer `jobs`; call `take` with each result, in order, in the caller's thread.

    When it is stopped by an error or by Ctrl-C, what is being written is finished and taken.

    Raises:
        OutputError: A result cannot be written.
    """
    window = options.workers + 1
    finish = partial(_finish, save, predictor.bundle.label_space, options)
    with (
        ThreadPoolExecutor(options.workers) as readers,
        ThreadPoolExecutor(options.workers) as writers,
    ):
        outbox: Outbox[Done] = Outbox(writers, window, take)
        try:
            decoded = mapped(readers, _decode, jobs, window)
            for batch in _batches(decoded, options.batch_size or _batch_size(predictor)):
                for one, answer in zip(batch, _answers(predictor, batch), strict=True):
                    outbox.put(partial(finish, one, answer))
            outbox.finish()
        except BaseException:
            outbox.rescue()
            raise


def _batch_size(predictor: Predictor) -> int:
    return 1 if predictor.device.type == "cpu" else _GPU_BATCH


def _decode(job: Job) -> _Decoded:
    """Read one picture; what goes wrong is kept for the table."""
    start = time.perf_counter()
    picture, error = None, ""
    try:
        picture = read_image(job.source)
    except DataError as failure:
        error = f"{failure.what} -> {failure.remedy}" if failure.remedy else failure.what
    except MemoryError:
        error = "not enough memory to decode it"
    return _Decoded(job, time.perf_counter() - start, picture, error)


def _batches(pictures: Iterable[_Decoded], size: int) -> Iterator[list[_Decoded]]:
    """Neighbours of one size, at most `size` of them; failures stay among themselves."""
    batch: list[_Decoded] = []
    for decoded in pictures:
        if batch and (len(batch) == size or batch[0].shape != decoded.shape):
            yield batch
            batch = []
        batch.append(decoded)
    if batch:
        yield batch


def _answers(predictor: Predictor, batch: Sequence[_Decoded]) -> list[Prediction | str]:
    """For each picture of a batch its prediction, or why there is none."""
    pictures = [decoded.picture for decoded in batch if decoded.picture is not None]
    if not pictures:
        return [decoded.error for decoded in batch]
    try:
        return list(predictor.predict_batch(pictures))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        if len(batch) > 1:
            return [answer for decoded in batch for answer in _answers(predictor, [decoded])]
        height, width = pictures[0].shape[:2]
        return [f"not enough memory for {width}x{height} pixels -> set a smaller tile"]


def _finish(
    save: Path,
    space: LabelSpace,
    options: InferOptions,
    decoded: _Decoded,
    answer: Prediction | str,
) -> Done:
    """Measure, draw and write one picture."""
    if isinstance(answer, str) or decoded.picture is None:
        return Done(Row(str(decoded.job.source), error=str(answer)), decoded.seconds)
    start = time.perf_counter()
    row = measured(str(decoded.job.source), answer, space, options)
    mask = _write(save, space, options, decoded.job.name, decoded.picture, answer)
    finish = time.perf_counter() - start
    time_ms = 1e3 * (decoded.seconds + answer.seconds + finish)
    row = replace(row, mask=mask, time_ms=time_ms)
    return Done(row, decoded.seconds, answer.seconds, finish)


def measured(file: str, answer: Prediction, space: LabelSpace, options: InferOptions) -> Row:
    """What is measured on one answer; `file` names the picture."""
    scale = options.mm_per_px
    measures = measure(answer.foreground, min_size=options.min_size, mm_per_px=scale)
    classes = measure_classes(answer.mask, space, min_size=options.min_size)
    return Row(file, measures=measures, threshold=answer.threshold, classes=classes)


def mask_picture(answer: Prediction, space: LabelSpace) -> Pixels:
    """The mask (H, W) of all classes: indices where they exclude each other, else 0 and 255."""
    indices = space.kind is LabelKind.MULTICLASS
    return answer.mask if indices else answer.foreground * np.uint8(255)


def class_masks(answer: Prediction, space: LabelSpace) -> dict[str, Pixels]:
    """Class -> mask (H, W) of 0 and 255, where classes may overlap; else nothing."""
    if space.kind is not LabelKind.MULTILABEL:
        return {}
    return {
        name: layer * np.uint8(255) for name, layer in zip(space.names, answer.mask, strict=True)
    }


def _write(
    save: Path,
    space: LabelSpace,
    options: InferOptions,
    name: Path,
    picture: Pixels,
    answer: Prediction,
) -> str:
    """Write the result pictures; return the mask's path below the output folder."""
    if options.overlays:
        overlay = draw_overlay(picture, answer.mask, space)
        write_picture(save / f"{name}{OVERLAY_SUFFIX}", overlay)
    if options.panels:
        write_picture(save / f"{name}{PANEL_SUFFIX}", four_panel(picture, answer, space))
    for label, layer in class_masks(answer, space).items():
        write_picture(save / class_mask_name(name, label), layer)
    # The mask comes last: where it stands, the picture is finished.
    relative = name.as_posix() + MASK_SUFFIX
    write_picture(save / relative, mask_picture(answer, space))
    return relative
