"""The command `faultline serve`; it imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faultline.cli.app import app
from faultline.cli.options import Device, ModelName, Precision, Threshold, Weights, say


@app.command()
def serve(
    weights: Weights,
    host: Annotated[
        str, typer.Option(help="Address to listen on (default: this machine only).")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8100,
    gate: Annotated[
        list[Path] | None,
        typer.Option("--gate", help="A segmenter that rejects other pictures; up to three vote."),
    ] = None,
    thresholds: Annotated[
        Path | None, typer.Option("--thresholds", help="Calibration report of the gate.")
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Class of the pictures, for the gate.")
    ] = None,
    max_mb: Annotated[float, typer.Option(help="Largest request in MiB.")] = 32.0,
    max_megapixels: Annotated[float, typer.Option(help="Largest picture.")] = 50.0,
    max_waiting: Annotated[
        int, typer.Option(help="Requests that may wait while one is answered.")
    ] = 8,
    model: ModelName = None,
    threshold: Threshold = None,
    tta: Annotated[bool, typer.Option("--tta", help="Average over mirrored copies.")] = False,
    mm_per_px: Annotated[
        float | None, typer.Option("--mm-per-px", help="Scale, to measure in millimetres.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option("--base", help="Local copy of the CLIPSeg that the weights build on."),
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Answer pictures over HTTP, and show a page to try it.

    POST /segment, /classify or /prompt, whichever the weights can; GET /health says which.

    Examples:

      faultline serve --weights runs/scratch_ed_plus/latest

      faultline serve --weights runs/dual_head/latest --gate runs/segmenter/latest \
--thresholds gate/calibration_report.json
    """
    from faultline.http.server import check_extras

    check_extras()
    from faultline.serving.command import serve_weights
    from faultline.serving.options import Limits, ServeOptions

    limits = Limits(max_mb, max_megapixels, max_waiting)
    options = ServeOptions(
        weights, tuple(gate or ()), thresholds, class_name, limits, threshold, tta, mm_per_px,
        base, model, device, precision,
    )  # fmt: skip
    serve_weights(options, host, port, say)
