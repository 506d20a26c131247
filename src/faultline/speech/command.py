"""The commands `faultline speech ...`; each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from faultline.predict.inputs import Job
    from faultline.speech.recogniser import Recogniser

speech_app = typer.Typer(
    no_args_is_help=True,
    help="Recognise speech: train, score and use a recogniser.",
    rich_markup_mode=None,
)

Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings, for example data=digits/"),
]
Weights = Annotated[
    Path, typer.Option("--weights", help="A .safetensors bundle, or the run folder that holds it.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Phrases = Annotated[
    Path | None,
    typer.Option("--phrases", help="Text file of expected phrases, one per line."),
]
Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="INPUT", help="Sound files, .npy features, folders, globs."),
]


@speech_app.command()
def train(
    settings: Settings = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML of settings, such as a run's config.yaml.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Resume the interrupted run in this folder.")
    ] = None,
) -> None:
    """Train a recogniser and keep its best weights in a run folder.

    Examples:

      faultline speech train data=toy trainer.max_time=3m

      faultline speech train data=digits/ data.test=index:0-4 trainer.max_time=15m
    """
    from faultline.speech.fit import train_speech
    from faultline.speech.settings import load_speech_config
    from faultline.training.terminal import refuse_beside_resume, tell_end

    refuse_beside_resume(resume, settings, config)
    result = train_speech(load_speech_config(settings or (), file=config), say=_say, resume=resume)
    raise typer.Exit(tell_end(result, "faultline speech train", _say))


@speech_app.command()
def evaluate(
    weights: Weights,
    settings: Settings = None,
    save: Annotated[Path | None, typer.Option("--save", help="Output folder.")] = None,
    phrases: Phrases = None,
    device: Device = "auto",
) -> None:
    """Score a recogniser on recordings that it has not seen.

    Examples:

      faultline speech evaluate --weights runs/paraformer/latest

      faultline speech evaluate --weights runs/paraformer/latest --phrases prompts/phrases.txt
    """
    from faultline.speech.evaluate import evaluate_speech
    from faultline.speech.phrases import read_phrases

    expected = read_phrases(phrases) if phrases is not None else ()
    outcome = evaluate_speech(
        weights, settings or (), save=save, phrases=expected, device=device, say=_say
    )
    for line in outcome.summary():
        _say(line)


@speech_app.command()
def transcribe(
    inputs: Inputs,
    weights: Weights,
    output_format: Annotated[str, typer.Option("--format", help="text, json or srt.")] = "text",
    save: Annotated[
        Path | None, typer.Option("--save", help="Output folder, one file per recording.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Folder for a plot of each short recording.")
    ] = None,
    phrases: Phrases = None,
    device: Device = "auto",
) -> None:
    """Transcribe recordings. Exits with 1 if one of them cannot be read.

    Examples:

      faultline speech transcribe a.wav b.flac notes/ --weights runs/paraformer/latest

      faultline speech transcribe notes/ --weights best.safetensors --format srt --save out/

      faultline speech transcribe notes/ --weights best.safetensors --phrases commands.txt
    """
    from faultline.progress import progress_bar
    from faultline.speech.recogniser import Recogniser
    from faultline.speech.transcribe import (
        check_format,
        find_recordings,
        save_all,
        shown,
        transcribe_paths,
    )

    check_format(output_format)
    jobs = find_recordings(inputs)
    recogniser = Recogniser.load(weights, device)
    _expect(recogniser, phrases)
    with progress_bar("recordings") as progress:
        results = transcribe_paths(recogniser, [job.source for job in jobs], progress)
    if save is not None:
        save_all(results, jobs, save, output_format)
        _say(f"{sum(not r.error for r in results)} of {len(results)} transcripts in {save}")
    else:
        print(shown(results, output_format), flush=True)
    if plot is not None:
        good = [job for job, result in zip(jobs, results, strict=True) if not result.error]
        _plot(recogniser, good, plot)
    failed = [result for result in results if result.error]
    for result in failed:
        typer.echo(f"left out {result.error}", err=True)
    if failed:
        raise typer.Exit(1)


@speech_app.command()
def manifest(
    folder: Annotated[Path, typer.Argument(help="Folder of recordings.")],
    save: Annotated[
        Path | None,
        typer.Option(
            "--save", help="Output file, .jsonl or .csv (default: FOLDER/manifest.jsonl)."
        ),
    ] = None,
    pattern: Annotated[
        str, typer.Option(help="Pattern of the file names: {text}, {speaker}, {number}, {split}.")
    ] = "{text}_{speaker}_{number}",
) -> None:
    """Make a manifest from recordings whose file names tell text and speaker.

    A file that is there already is not overwritten.

    Example:

      faultline speech manifest recordings/ --pattern "{text}_{speaker}_{number}"
    """
    from faultline.speech.data.folders import utterances_from_folder
    from faultline.speech.data.manifest import NAME, check_new, write_manifest

    path = check_new(save or folder / NAME)
    found, problems = utterances_from_folder(folder, pattern)
    write_manifest(path, found)
    for problem in problems:
        typer.echo(f"left out {problem}", err=True)
    speakers = len({utterance.speaker for utterance in found})
    _say(f"{len(found)} recordings of {speakers} speakers in {path}")


@speech_app.command()
def synthesize(
    folder: Annotated[Path, typer.Argument(help="New folder for the recordings.")],
    phrases: Annotated[
        Path | None,
        typer.Option(help="Text file, one phrase per line (default: built-in inspection prompts)."),
    ] = None,
    train_count: Annotated[int, typer.Option("--train", help="Training sentences.")] = 2000,
    valid_count: Annotated[int, typer.Option("--valid", help="Validation sentences.")] = 100,
    test_count: Annotated[int, typer.Option("--test", help="Test sentences.")] = 120,
    unseen: Annotated[float, typer.Option(help="Share of phrases kept out of training.")] = 0.1,
    noise_db: Annotated[
        float, typer.Option(help="Signal-to-noise ratio of the noisy test, in dB.")
    ] = 15.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same sentences.")] = 0,
    trim: Annotated[bool, typer.Option("--trim", help="Cut silence off both ends.")] = False,
) -> None:
    """Make spoken sentences with espeak-ng; training and test use different voices.

    Examples:

      faultline speech synthesize prompts/ --train 2000 --test 120

      faultline speech synthesize voices/ --phrases words.txt --unseen 0 --trim
    """
    from faultline.progress import progress_bar
    from faultline.speech.phrases import PHRASES, read_phrases
    from faultline.speech.synthesis import Recipe, synthesize_speech

    spoken = PHRASES if phrases is None else read_phrases(phrases)
    recipe = Recipe(spoken, train_count, valid_count, test_count, unseen, noise_db, seed, trim)
    with progress_bar("sentences") as progress:
        path = synthesize_speech(folder, recipe, progress)
    _say(f"manifest {path}")


@speech_app.command()
def serve(
    weights: Weights,
    host: Annotated[
        str, typer.Option(help="Address to listen on (default: this machine only).")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port.")] = 8200,
    max_mb: Annotated[float, typer.Option(help="Largest request in MiB.")] = 20.0,
    max_seconds: Annotated[float, typer.Option(help="Longest recording in seconds.")] = 120.0,
    phrases: Phrases = None,
    device: Device = "auto",
) -> None:
    """Answer HTTP requests: POST /features (JSON) and POST /transcribe (sound file).

    Example:

      faultline speech serve --weights runs/paraformer/latest --port 8200
    """
    from faultline.http.server import check_extras, listen, run_server

    check_extras()
    from faultline.speech.recogniser import Recogniser
    from faultline.speech.service import Limits, create_app

    bound = listen(host, port)
    recogniser = Recogniser.load(weights, device)
    _expect(recogniser, phrases)
    app = create_app(recogniser, Limits(max_mb, max_seconds))
    run_server(app, bound, host, _say)


@speech_app.command()
def export(
    weights: Weights,
    save: Annotated[Path, typer.Option("--save", help="The .onnx file.")] = Path("recogniser.onnx"),
    clips: Annotated[
        list[Path] | None,
        typer.Option("--clips", help="Recordings to compare on: file or folder; may be repeated."),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Quantize weights to 8 bits: smaller and faster, but answers can change.",
        ),
    ] = False,
) -> None:
    """Export a recogniser to ONNX, and check that it gives the same answers.

    Examples:

      faultline speech export --weights runs/paraformer/latest --save recogniser.onnx

      faultline speech export --weights runs/paraformer/latest --clips recordings/ --int8
    """
    from faultline.speech.export import export_onnx
    from faultline.speech.recogniser import Recogniser
    from faultline.speech.transcribe import spoken_clips

    recogniser = Recogniser.load(weights, "cpu")
    spoken = spoken_clips(recogniser, clips) if clips else []
    done = export_onnx(recogniser, save, spoken, int8)
    found = done.agreement
    _say(f"{done.path}: same text on {found.same} of {found.clips} clips, {found.tokens} characters"
         f" and ends, confidence {found.difference:.1e} off")  # fmt: skip
    if found.tokens == 0:
        _say("  none of these clips says anything: compare on recordings with --clips")
    _say(f"a batch takes {done.onnx_ms:.1f} ms, in torch {done.eager_ms:.1f} ms")


def _expect(recogniser: Recogniser, file: Path | None) -> None:
    """Tell the recogniser what is expected, and the user what it cannot write."""
    from faultline.speech.phrases import left_out_line, read_phrases

    if file is not None and (left := recogniser.expect(read_phrases(file))):
        typer.echo(left_out_line(left), err=True)


def _plot(recogniser: Recogniser, jobs: list[Job], folder: Path) -> None:
    from faultline.errors import DataError
    from faultline.speech.plots import plot_firing

    for job in jobs:
        if job.source.suffix.lower() == ".npy":
            continue
        try:
            _say(f"picture {plot_firing(recogniser, job.source, folder / job.name)}")
        except DataError as error:
            typer.echo(f"no picture: {error}", err=True)


def _say(line: str) -> None:
    print(line, flush=True)
