"""What `faultline infer` does: load, answer, and say what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from faultline.artifacts.bundle import Bundle, check_model, load_bundle
from faultline.errors import BundleError, ConfigError
from faultline.files import check_folder
from faultline.predict.infer import infer
from faultline.predict.options import FORMATS, InferOptions, InferSummary
from faultline.predict.predictor import Predictor
from faultline.predict.request import InferRequest
from faultline.predict.submission import write_submission
from faultline.progress import progress_bar
from faultline.tasks import DUAL_HEAD, PROMPTED, SEGMENTATION, TASKS, task_verb
from faultline.types import LabelKind

_SHOWN = 10


def infer_weights(
    weights: str | Path,
    inputs: Sequence[str],
    save: str | Path,
    options: InferOptions | None = None,
    *,
    threshold: float | None = None,
    tta: bool = False,
    device: str = "auto",
    precision: str = "auto",
    model: str | None = None,
    say: Callable[[str], None] = print,
) -> InferSummary:
    """Answer every picture that `inputs` mean with the bundle at `weights`, as its task does.

    Raises:
        BundleError: The weights cannot be used.
        ConfigError: An option does not go with the task.
        DataError: No picture is found.
        OutputError: `save` cannot be written.
    """
    bundle = load_bundle(weights)
    check_model(bundle, model)
    options = options or InferOptions()
    known_task(bundle)
    check_format(options.format, bundle.task)
    check_prompts(options, bundle)
    check_scale(options, bundle.task)
    check_folder(save)
    request = InferRequest(
        bundle, list(inputs), Path(save), options, threshold, tta, device, precision, say
    )
    summary: InferSummary = task_verb(bundle.task, "infer")(request)
    for line in _lines(summary):
        say(line)
    return summary


def infer_masks(request: InferRequest) -> InferSummary:
    """Outline defects: masks, overlays and a table of measures.

    Raises:
        DataError: No picture is found.
        OutputError: The folder cannot be written.
    """
    bundle = request.bundle
    predictor = Predictor(bundle, request.device, request.precision, request.threshold, request.tta)
    chosen = predictor.threshold
    status = chosen.status.replace("_", " ")
    excluding = bundle.label_space.kind is LabelKind.MULTICLASS
    rule = f"{status} class" if excluding else f"threshold {chosen.value:.3f} ({status})"
    request.say(f"{bundle.model_name} at {rule}")
    with progress_bar("pictures") as progress:
        summary = infer(
            predictor, list(request.inputs), request.save, request.options, progress=progress
        )
    if request.options.format == "severstal":
        failed = {file for file, _ in summary.failed}
        path = write_submission(request.inputs, request.save, bundle.label_space, failed)
        request.say(f"Severstal rows {path}")
    return summary


def known_task(bundle: Bundle) -> None:
    """Make sure that these commands know what the bundle answers.

    Raises:
        BundleError: They do not.
    """
    if bundle.task not in TASKS:
        raise BundleError(
            f"is made for the task {bundle.task!r}, which this command does not do",
            where=bundle.source,
            remedy=f"give weights of {', '.join(TASKS.names())}, or use that task's own command",
        )


def check_scale(options: InferOptions, task: str) -> None:
    """Make sure that a scale has something to measure.

    Raises:
        ConfigError: These weights measure nothing.
    """
    if options.mm_per_px is not None and task not in (SEGMENTATION, DUAL_HEAD):
        raise ConfigError(
            f"--mm-per-px: weights of the task {task!r} measure nothing",
            remedy="leave it out, or give weights of segmentation",
        )


def check_format(name: str, task: str) -> None:
    """Make sure that results of `task` can be written as `name`.

    Raises:
        ConfigError: They cannot.
    """
    allowed = FORMATS.get(task, ("",))
    if name not in allowed:
        named = ", ".join(one for one in allowed if one) or "none"
        pixels = name == "severstal" and task not in (SEGMENTATION, DUAL_HEAD)
        needs = ": it lists pixels, and these weights give no masks" if pixels else ""
        raise ConfigError(
            f"--format {name}{needs}",
            remedy=f"formats of {task}: {named}",
        )


def check_prompts(options: InferOptions, bundle: Bundle) -> None:
    """Make sure that prompts go to weights that answer them.

    Raises:
        ConfigError: They do not.
    """
    asked = options.prompts or options.prompt_file is not None or options.base is not None
    if asked and bundle.task != PROMPTED:
        raise ConfigError(
            f"--prompt, --prompts and --base: weights of {bundle.model_name!r} answer no prompts",
            where=bundle.source,
            remedy="leave them out, or give weights that were trained with task=prompted",
        )


def _lines(summary: InferSummary) -> list[str]:
    lines = [f"{summary.written} of {summary.total} pictures answered in {summary.seconds:.1f} s"]
    if summary.skipped:
        lines.append(f"{summary.skipped} were done before")
    lines += [f"left out {file}: {reason}" for file, reason in summary.failed[:_SHOWN]]
    if len(summary.failed) > _SHOWN:
        lines.append(f"and {len(summary.failed) - _SHOWN} more, listed in {summary.table}")
    return [*lines, f"table {summary.table}"]
