"""What `faultline infer` does: load, answer, and say what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from faultline.artifacts.bundle import check_model, load_bundle
from faultline.predict.infer import infer
from faultline.predict.options import InferOptions, InferSummary
from faultline.predict.predictor import Predictor
from faultline.progress import progress_bar

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
    """Answer every picture that `inputs` mean with the bundle at `weights`.

    Raises:
        BundleError: The weights cannot be used.
        DataError: No picture is found.
        OutputError: `save` cannot be written.
    """
    bundle = load_bundle(weights)
    check_model(bundle, model)
    predictor = Predictor(bundle, device, precision, threshold, tta)
    chosen = predictor.threshold
    say(f"{bundle.model_name} at threshold {chosen.value:.3f} ({chosen.status.replace('_', ' ')})")
    with progress_bar("pictures") as progress:
        summary = infer(predictor, list(inputs), save, options, progress=progress)
    for line in _lines(summary):
        say(line)
    return summary


def _lines(summary: InferSummary) -> list[str]:
    lines = [f"{summary.written} of {summary.total} pictures answered in {summary.seconds:.1f} s"]
    if summary.skipped:
        lines.append(f"{summary.skipped} were done before")
    lines += [f"left out {file}: {reason}" for file, reason in summary.failed[:_SHOWN]]
    if len(summary.failed) > _SHOWN:
        lines.append(f"and {len(summary.failed) - _SHOWN} more, listed in {summary.table}")
    return [*lines, f"measures {summary.table}"]
