"""Commands that put weights to use: score them, answer with them, say what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faultline.cli.app import app
from faultline.cli.options import (
    ConfigFile,
    Device,
    ModelName,
    Overrides,
    Precision,
    Threshold,
    Weights,
    say,
)


@app.command()
def evaluate(
    weights: Weights,
    overrides: Overrides = None,
    config: ConfigFile = None,
    model: ModelName = None,
    threshold: Threshold = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save", help="Output folder (default: the run; for other data a folder in it)."
        ),
    ] = None,
    tta: Annotated[bool, typer.Option("--tta", help="Average over mirrored copies.")] = False,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Score weights on pictures that they have not seen, and write a report.

    Examples:

      faultline evaluate --weights runs/scratch_ed_plus/latest

      faultline evaluate --weights best.safetensors data=other-photos/
    """
    from faultline.evaluation.command import evaluate_weights

    outcome = evaluate_weights(
        weights, overrides or (), config_file=config, threshold=threshold, save=save, tta=tta,
        device=device, precision=precision, model=model, say=say,
    )  # fmt: skip
    for line in outcome.summary():
        say(line)


@app.command()
def infer(
    weights: Weights,
    inputs: Annotated[
        list[str], typer.Option("--input", help="Picture, folder or glob; may be repeated.")
    ],
    save: Annotated[Path, typer.Option("--save", help="Output folder.")] = Path("outputs/infer"),
    config: ConfigFile = None,
    model: ModelName = None,
    threshold: Threshold = None,
    overlays: Annotated[bool, typer.Option(help="Write overlays too.")] = True,
    tta: Annotated[bool, typer.Option("--tta", help="Average over mirrored copies.")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out pictures that are done.")
    ] = False,
    mm_per_px: Annotated[
        float | None, typer.Option("--mm-per-px", help="Scale, to measure in millimetres.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="severstal (for masks); csv or json (for classes).")
    ] = "",
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", help="What to outline; may be repeated.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", help="Text file of prompts, one per line.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option("--base", help="Local copy of the CLIPSeg that the weights build on."),
    ] = None,
    speak: Annotated[
        Path | None, typer.Option("--speak", help="Recording of a spoken prompt.")
    ] = None,
    speech_weights: Annotated[
        Path | None,
        typer.Option("--speech-weights", help="Weights of the speech recogniser for --speak."),
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Outline or name defects on new photographs, depending on the weights.

    Outlining writes NAME_mask.png (0/255), NAME_overlay.png and one row per picture in
    measurements.csv; naming writes predictions.csv and predictions.json.

    Examples:

      faultline infer --weights runs/scratch_ed_plus/latest --input photos/ --save out/

      faultline infer --weights best.safetensors --input "site/*.jpg" --threshold 0.4

      faultline infer --weights runs/prompt_ed/latest --input photos/ --prompt "segment crack"

      faultline infer --weights prompted.safetensors --input photos/ --speak prompt.wav \
--speech-weights runs/paraformer/latest
    """
    from faultline.errors import ConfigError
    from faultline.predict.command import infer_weights
    from faultline.predict.options import InferOptions

    if threshold is None and config is not None:
        from faultline.config import asked_threshold

        threshold = asked_threshold(file=config)
    if speech_weights is not None and speak is None:
        raise ConfigError("--speech-weights has nothing to recognise", remedy="add --speak FILE")
    if speak is not None:
        from faultline.artifacts.bundle import load_bundle
        from faultline.predict.prompt_meaning import known_prompts
        from faultline.speech.prompt import confirmed_prompt

        known = known_prompts(load_bundle(weights))
        heard = confirmed_prompt(speak, speech_weights, phrases=known, device=device, say=say)
        prompt = [*(prompt or ()), heard]
    options = InferOptions(
        overlays=overlays, skip_existing=skip_existing, mm_per_px=mm_per_px, format=form,
        prompts=tuple(prompt or ()), prompt_file=prompts, base=base,
    )  # fmt: skip
    summary = infer_weights(
        weights, inputs, save, options, threshold=threshold, tta=tta, device=device,
        precision=precision, model=model, say=say,
    )  # fmt: skip
    if summary.failed:
        raise typer.Exit(1)


@app.command()
def diagnose(
    weights: Weights,
    overrides: Overrides = None,
    config: ConfigFile = None,
    threshold: Threshold = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Output folder (default: diagnosis/ in the run).")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Explain in words why a model's predictions are poor.

    Without data=FOLDER it looks at the pictures that the training validated on.

    Examples:

      faultline diagnose --weights runs/prompt_ed/latest

      faultline diagnose --weights best.safetensors data=photos/ --save diagnosis/
    """
    from faultline.evaluation.diagnosis.command import diagnose_weights

    outcome = diagnose_weights(
        weights, overrides or (), config_file=config, threshold=threshold, save=save,
        device=device, precision=precision, say=say,
    )  # fmt: skip
    for line in outcome.lines:
        say(line)
