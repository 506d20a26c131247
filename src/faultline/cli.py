"""The command `faultline`: thin commands that import what they need when they run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from faultline import __version__

app = typer.Typer(
    name="faultline",
    help="Visual inspection that can be trusted: find, outline and measure defects.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
list_app = typer.Typer(no_args_is_help=True, help="List what is registered, plugins included.")
app.add_typer(list_app, name="list")

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Settings, for example data=photos/ model=unet_mini"
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="YAML of settings (nested, or flat upper-case keys)."),
]
Weights = Annotated[
    Path, typer.Option("--weights", help="A .safetensors bundle, or the run folder that holds it.")
]
Threshold = Annotated[
    float | None, typer.Option("--threshold", help="Use this threshold; recorded as set by hand.")
]
ModelName = Annotated[
    str | None, typer.Option("--model", help="Model name; with weights, what they must hold.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Precision = Annotated[str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def main() -> None:
    """Entry point: every expected failure becomes one line and a non-zero exit code."""
    from faultline.errors import ConfigError, FaultlineError

    try:
        app()
    except FaultlineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe has gone: not our failure
        sys.stderr.close()
        sys.exit(0)


def _show_version(value: bool) -> None:
    if value:
        print(f"faultline {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show version.")
    ] = False,
) -> None:
    pass


@app.command()
def train(
    overrides: Overrides = None,
    config: ConfigFile = None,
    model: ModelName = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Go on with this interrupted run folder.")
    ] = None,
) -> None:
    """Train a model and keep its best weights in a run folder.

    Examples:

      faultline train data=photos/ model=scratch_ed_plus trainer.max_time=15m

      faultline train --config settings.yaml --model scratch_ed data=photos/

      faultline train --resume runs/scratch_ed_plus/latest
    """
    from faultline.config import load_config
    from faultline.training.fit import train as run_training

    # A resumed run is made with its own settings; what is given beside it would be lost.
    _refuse_with_resume(resume, overrides, config, model)
    settings = load_config(overrides or (), file=config, model=model)
    result = run_training(settings, say=_say, resume=resume)
    best = result.results["best"]
    if result.interrupted:
        _say(f"stopped; go on with: faultline train --resume {result.run.path}")
        raise typer.Exit(130)
    if best:
        _say(f"best validation IoU {_number(best['iou'])} at threshold {best['threshold']:.3f}, "
             f"epoch {best['epoch']}")  # fmt: skip
    _say(f"weights {result.run.best}")


@app.command()
def evaluate(
    weights: Weights,
    overrides: Overrides = None,
    config: ConfigFile = None,
    model: ModelName = None,
    threshold: Threshold = None,
    save: Annotated[Path | None, typer.Option("--save", help="Output folder.")] = None,
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
        device=device, precision=precision, model=model, say=_say,
    )  # fmt: skip
    for line in outcome.summary():
        _say(line)


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
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Outline defects on new photographs.

    Writes NAME_mask.png (0/255), NAME_overlay.png and one row a picture in measurements.csv.

    Examples:

      faultline infer --weights runs/scratch_ed_plus/latest --input photos/ --save out/

      faultline infer --weights best.safetensors --input "site/*.jpg" --threshold 0.4
    """
    from faultline.predict.command import infer_weights
    from faultline.predict.options import InferOptions

    if threshold is None and config is not None:
        from faultline.config import asked_threshold

        threshold = asked_threshold(file=config)
    options = InferOptions(overlays=overlays, skip_existing=skip_existing, mm_per_px=mm_per_px)
    summary = infer_weights(
        weights, inputs, save, options, threshold=threshold, tta=tta, device=device,
        precision=precision, model=model, say=_say,
    )  # fmt: skip
    if summary.failed:
        raise typer.Exit(1)


@app.command()
def doctor(
    overrides: Overrides = None,
    config: ConfigFile = None,
    save: Annotated[Path | None, typer.Option("--save", help="Folder for the findings.")] = None,
) -> None:
    """Check this machine and, with data=FOLDER, a data set. Exit code 1 if a result would suffer.

    Examples:

      faultline doctor

      faultline doctor data=photos/ --save doctor/
    """
    from faultline.evaluation.doctor.command import run_doctor

    raise typer.Exit(run_doctor(overrides or (), config, save))


@app.command()
def synthesize(
    folder: Annotated[Path, typer.Argument(help="New folder for the data set.")],
    train_count: Annotated[int, typer.Option("--train", help="Training pictures.")] = 60,
    valid_count: Annotated[int, typer.Option("--valid", help="Validation pictures.")] = 12,
    test_count: Annotated[int, typer.Option("--test", help="Test pictures.")] = 12,
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same files.")] = 0,
    height: Annotated[int, typer.Option(help="Height in pixels.")] = 320,
    width: Annotated[int, typer.Option(help="Width in pixels.")] = 480,
) -> None:
    """Make a data set of drawn cracks, with exact masks, to try things on.

    Example:

      faultline synthesize cracks/ --train 60 --valid 12 --test 12
    """
    from faultline.data.synthetic import write_crack_dataset

    counts = {"train": train_count, "valid": valid_count, "test": test_count}
    write_crack_dataset(folder, counts=counts, seed=seed, size=(height, width))
    _say(f"{sum(counts.values())} pictures in {folder}")


@app.command()
def config(overrides: Overrides = None, file: ConfigFile = None) -> None:
    """Show every setting with its value, as it would be used.

    Example:

      faultline config model=unet_mini trainer.max_time=5m
    """
    from faultline.config import load_config, to_yaml

    print(to_yaml(load_config(overrides or (), file=file)), end="")


@list_app.command("models")
def list_models(as_json: AsJson = False) -> None:
    """Models."""
    from faultline.models import MODELS

    _list(MODELS, as_json)


@list_app.command("losses")
def list_losses(as_json: AsJson = False) -> None:
    """Losses."""
    from faultline.losses import LOSSES

    _list(LOSSES, as_json)


@list_app.command("augmentations")
def list_augmentations(as_json: AsJson = False) -> None:
    """Augmentations."""
    from faultline.data.transforms import AUGMENTATIONS

    _list(AUGMENTATIONS, as_json)


@list_app.command("importers")
def list_importers(as_json: AsJson = False) -> None:
    """Importers of labelled data."""
    from faultline.data.importers import IMPORTERS

    _list(IMPORTERS, as_json)


def _list(registry: Any, as_json: bool) -> None:
    import json

    rows = [entry.describe() for entry in registry]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        print(f"{row['name']:<{width}}  {row['summary']}")
        if row["settings"]:
            shown = ", ".join(f"{key}={value!r}" for key, value in row["settings"].items())
            print(f"{'':<{width}}  {shown}")


def _refuse_with_resume(
    resume: Path | None, overrides: list[str] | None, config: Path | None, model: str | None
) -> None:
    from faultline.errors import ConfigError

    if resume is not None and (overrides or config or model):
        raise ConfigError(
            "--resume takes the settings of the run and no others",
            remedy="leave out the other settings, or start a new run without --resume",
        )


def _number(value: Any) -> str:
    return "not defined" if value is None or value != value else f"{value:.3f}"


def _say(line: str) -> None:
    print(line, flush=True)
