"""The command `faultline`: thin commands that import what they need when they run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from faultline import __version__
from faultline.speech.command import speech_app

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
app.add_typer(speech_app, name="speech")

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


class _DocumentFlags(TyperCommand):
    """Understands the flags of the prompted-segmentation document (`--use_weighted_loss`)."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from faultline.config.document_flags import from_document_flags

        return super().parse_args(ctx, from_document_flags(args))


@app.command(cls=_DocumentFlags)
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
    from faultline.training.fit import train as run_training
    from faultline.training.kinds import training_config

    # A resumed run is made with its own settings; what is given beside it would be lost.
    _refuse_with_resume(resume, overrides, config, model)
    settings = training_config(overrides or (), file=config, model=model)
    result = run_training(settings, say=_say, resume=resume)
    if result.interrupted:
        _say(f"stopped; go on with: faultline train --resume {result.run.path}")
        raise typer.Exit(130)
    if result.verdict:
        _say(result.verdict)
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
    form: Annotated[
        str, typer.Option("--format", help="severstal (masks), csv or json (classes).")
    ] = "",
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", help="What to outline; may be repeated.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", help="Text file of prompts, one a line.")
    ] = None,
    base: Annotated[
        Path | None, typer.Option("--base", help="Local copy of the model that weights rest on.")
    ] = None,
    speak: Annotated[
        Path | None, typer.Option("--speak", help="Recording of a spoken prompt.")
    ] = None,
    speech_weights: Annotated[
        Path | None, typer.Option("--speech-weights", help="Recogniser that hears --speak.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Outline or name defects on new photographs, as the weights can.

    Outlining writes NAME_mask.png (0/255), NAME_overlay.png and one row a picture in
    measurements.csv; naming writes predictions.csv and predictions.json.

    Examples:

      faultline infer --weights runs/scratch_ed_plus/latest --input photos/ --save out/

      faultline infer --weights best.safetensors --input "site/*.jpg" --threshold 0.4

      faultline infer --weights runs/prompt_ed/latest --input photos/ --prompt "segment crack"

      faultline infer --weights prompted.safetensors --input photos/ --speak prompt.wav \
--speech-weights runs/paraformer/latest
    """
    from faultline.predict.command import infer_weights
    from faultline.predict.options import InferOptions

    if threshold is None and config is not None:
        from faultline.config import asked_threshold

        threshold = asked_threshold(file=config)
    if speak is not None:
        from faultline.speech.prompt import confirmed_prompt

        prompt = [*(prompt or ()), confirmed_prompt(speak, speech_weights, say=_say)]
    options = InferOptions(
        overlays=overlays, skip_existing=skip_existing, mm_per_px=mm_per_px, format=form,
        prompts=tuple(prompt or ()), prompt_file=prompts, base=base,
    )  # fmt: skip
    summary = infer_weights(
        weights, inputs, save, options, threshold=threshold, tta=tta, device=device,
        precision=precision, model=model, say=_say,
    )  # fmt: skip
    if summary.failed:
        raise typer.Exit(1)


@app.command()
def crossvalidate(
    overrides: Overrides = None,
    config: ConfigFile = None,
    model: ModelName = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Output folder; the same one goes on.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Compare with this other cross-validation.")
    ] = None,
) -> None:
    """Train a classifier on every fold and score it on what each fold held out.

    The same call goes on where an interrupted one stopped.

    Examples:

      faultline crossvalidate data=steel/ data.folds=5 model.name=conv_next

      faultline crossvalidate data=steel/ data.folds=5 loss=bce --against runs/first/
    """
    from faultline.evaluation.classification.folds_command import run_folds

    if not run_folds(overrides or (), config, model, save, against, _say):
        raise typer.Exit(130)


@app.command()
def diagnose(
    weights: Weights,
    overrides: Overrides = None,
    config: ConfigFile = None,
    threshold: Threshold = None,
    save: Annotated[Path | None, typer.Option("--save", help="Output folder.")] = None,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Say in words what is wrong with the answers of weights, with tables and pictures.

    Without data=FOLDER the pictures are those that the training validated on.

    Examples:

      faultline diagnose --weights runs/prompt_ed/latest

      faultline diagnose --weights best.safetensors data=photos/ --save diagnosis/
    """
    from faultline.evaluation.diagnosis.command import diagnose_weights

    outcome = diagnose_weights(
        weights, overrides or (), config_file=config, threshold=threshold, save=save,
        device=device, precision=precision, say=_say,
    )  # fmt: skip
    for line in outcome.lines:
        _say(line)


@app.command()
def doctor(
    overrides: Overrides = None,
    config: ConfigFile = None,
    save: Annotated[Path | None, typer.Option("--save", help="Folder for the findings.")] = None,
    system: Annotated[
        bool | None,
        typer.Option(
            "--system/--no-system",
            help="Run every model, loss, split, ... once, and tell of each; done in brief "
            "where no data set is given.",
        ),
    ] = None,
) -> None:
    """Check this machine and, with data=FOLDER, a data set. Exit code 1 if a result would suffer.

    Without a data set every part of the package runs once.

    Examples:

      faultline doctor

      faultline doctor --system

      faultline doctor data=photos/ --save doctor/
    """
    from faultline.evaluation.doctor.command import run_doctor

    raise typer.Exit(run_doctor(overrides or (), config, save, system=system))


@app.command()
def profile(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[backbones] [KEY=VALUE]...",
            help="model=NAME and its settings, device=, precision=; or the word backbones.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Side of the pictures, or 256x1600; 256, for backbones 224."),
    ] = None,
    batch: Annotated[str, typer.Option(help="Batch sizes, by commas.")] = "1,2,4,8",
    names: Annotated[str, typer.Option(help="Backbones, by commas; all by default.")] = "",
    nano: Annotated[bool, typer.Option("--nano", help="Backbones in their nano size.")] = False,
    save: Annotated[Path | None, typer.Option("--save", help="Output folder.")] = None,
    as_json: AsJson = False,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Measure what a model costs: operations, memory by batch size, speed, time by layer.

    Examples:

      faultline profile model=unet model.base_channels=32 --size 256

      faultline profile model=convnext_cbam model.size=full --size 256x1600 --batch 1

      faultline profile backbones --names swin,conv_next --size 224

      faultline profile task=speech model=paraformer --batch 1,8
    """
    from faultline.profiling.command import run_profile

    run_profile(
        words or (), size=size, batches=batch, names=names, nano=nano, device=device,
        precision=precision, save=save, as_json=as_json, say=_say,
    )  # fmt: skip


@app.command()
def synthesize(
    folder: Annotated[Path, typer.Argument(help="New folder for the data set.")],
    kind: Annotated[
        str, typer.Option(help="cracks, shapes or counted-shapes (lone or repeated).")
    ] = "cracks",
    train_count: Annotated[
        int | None, typer.Option("--train", help="Training pictures: 60 cracks, 1600 shapes.")
    ] = None,
    valid_count: Annotated[
        int | None, typer.Option("--valid", help="Validation pictures: 12 or 100.")
    ] = None,
    test_count: Annotated[
        int | None, typer.Option("--test", help="Test pictures: 12 or 200.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same files.")] = 0,
    height: Annotated[int | None, typer.Option(help="Height in pixels: 320 or 128.")] = None,
    width: Annotated[int | None, typer.Option(help="Width in pixels: 480 or 128.")] = None,
    shapes: Annotated[
        str | None, typer.Option(help="Shapes, by commas: circle,ring,...; all by default.")
    ] = None,
    noise: Annotated[float | None, typer.Option(help="Grain of shapes, in grey levels.")] = None,
    blur: Annotated[float | None, typer.Option(help="Blur of shapes, in pixels.")] = None,
    occlusion: Annotated[
        float | None, typer.Option(help="Largest share of a shape that others cover.")
    ] = None,
    imbalance: Annotated[
        float | None, typer.Option(help="The first shape over the last, in frequency.")
    ] = None,
) -> None:
    """Make a data set of drawn cracks or shapes, with exact masks, to try things on.

    Examples:

      faultline synthesize cracks/ --train 60 --valid 12 --test 12

      faultline synthesize shapes/ --kind shapes --imbalance 10
    """
    from faultline.data.synthetic.command import synthesize as make

    counts = {"train": train_count, "valid": valid_count, "test": test_count}
    own = {"kinds": shapes and tuple(shapes.split(",")), "noise": noise, "blur": blur,
           "occlusion": occlusion, "imbalance": imbalance}  # fmt: skip
    make(folder, kind, counts, seed, (height, width), own, _say)


@app.command()
def split(
    overrides: Overrides = None,
    config: ConfigFile = None,
    save: Annotated[Path | None, typer.Option("--save", help="JSON file for the split.")] = None,
) -> None:
    """Divide a data set, groups kept whole, and show how often each class occurs in each part.

    Examples:

      faultline split data=steel/ data.split_strategy=stratified_70_15_15 --save split.json

      faultline split data=tiles/ data.folds=5 data.fold=0 data.group_by=near_duplicates
    """
    from faultline.data.split_command import make_split

    make_split(overrides or (), config, save, _say)


@app.command()
def ablate(
    grid: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[GRID] [KEY=VALUE,VALUE...]...",
            help="Name or YAML file of a grid, and settings; lists of values are swept over.",
        ),
    ] = None,
    config: ConfigFile = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Go on with the ablation in this folder.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show the plan; run nothing.")
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", help="Runs side by side, by Ray, each its own process.")
    ] = 1,
    ray: Annotated[
        str | None,
        typer.Option("--ray", help="Address of a Ray cluster that shares the disk, or auto."),
    ] = None,
) -> None:
    """Train and evaluate every point of a grid over seeds, and tabulate what came of it.

    Finished runs are not repeated: the same command goes on where it was stopped.

    Examples:

      faultline ablate models data=photos/ trainer.max_time=10m

      faultline ablate data=photos/ model.name=unet,unet_mini seed=0,1,2 --dry-run
    """
    from faultline.experiments.command import run_ablation

    code = run_ablation(
        grid or (), file=config, resume=resume, dry_run=dry_run, jobs=jobs, address=ray, say=_say
    )
    if code:
        raise typer.Exit(code)


@app.command()
def summarize(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or above them.")],
    save: Annotated[
        Path | None, typer.Option("--save", help="Output folder; the first of the runs' folders.")
    ] = None,
    curves: Annotated[
        str, typer.Option("--curves", help="Runs to plot, by commas: names, folders or all.")
    ] = "",
    group_by: Annotated[
        str, typer.Option("--group-by", help="Settings to average by; all but the seed.")
    ] = "",
) -> None:
    """Tabulate runs of any kind: scores over seeds, what they cost, and which is best.

    Writes summary.csv, summary.md, summary.html and groups.csv. Reads unfinished runs too.

    Examples:

      faultline summarize runs/ --curves all

      faultline summarize runs/ --group-by model.name,loss.name --save tables/
    """
    from faultline.experiments.summarize import summarize as tabulate

    summary = tabulate(
        runs, save=save, curves=[name for name in curves.split(",") if name],
        group_by=[key for key in group_by.split(",") if key], say=_say,
    )  # fmt: skip
    _say(f"{summary.counts}; tables in {(save or runs[0]) / 'summary.html'}")


@app.command()
def reproduce(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    save: Annotated[
        Path | None, typer.Option("--save", help="Folder of runs for the second training.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Compare with this run; train nothing.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Of the score, where bits cannot repeat.")
    ] = 0.02,
) -> None:
    """Train a run's settings again and compare weights, history, scores, data and machine.

    Exit code 0 if it came out again, else 1.

    Examples:

      faultline reproduce runs/scratch_ed_plus/latest

      faultline reproduce runs/a/latest --against runs/b/latest
    """
    from faultline.experiments.reproduce import reproduce as train_again

    found = train_again(run, save=save, against=against, tolerance=tolerance, say=_say)
    for line in found.lines():
        _say(line)
    if not found.reproduced:
        raise typer.Exit(1)


@app.command()
def config(overrides: Overrides = None, file: ConfigFile = None) -> None:
    """Show every setting with its value, as it would be used.

    Example:

      faultline config model=unet_mini trainer.max_time=5m
    """
    from faultline.config import load_config, to_yaml

    print(to_yaml(load_config(overrides or (), file=file)), end="")


@app.command()
def contracts(
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Page whose generated parts are brought up to date."),
    ] = None,
) -> None:
    """Show what crosses the borders of the package: records, losses, every stage of every model.

    Examples:

      faultline contracts

      faultline contracts --save docs/contracts.md
    """
    from faultline.evaluation.contract_page import new_page, renewed, save_page

    if save is None:
        print(renewed(new_page()), end="")
        return
    save_page(save)
    _say(f"tables in {save}")


@list_app.command("models")
def list_models(as_json: AsJson = False) -> None:
    """Models."""
    from faultline.models import MODELS

    _list(MODELS, as_json)


@list_app.command("backbones")
def list_backbones(as_json: AsJson = False) -> None:
    """Backbones."""
    from faultline.models.backbones import BACKBONES

    _list(BACKBONES, as_json)


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


@list_app.command("grids")
def list_grids(as_json: AsJson = False) -> None:
    """Grids of `faultline ablate`."""
    import json

    from faultline.experiments.grid import grid_rows

    rows = grid_rows()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        print(f"{row['name']:<{width}}  {row['about']}")
        print(f"{'':<{width}}  {' '.join(row['words'])}")
        if row["variants"]:
            print(f"{'':<{width}}  {', '.join(row['variants'])}")


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


def _say(line: str) -> None:
    print(line, flush=True)
