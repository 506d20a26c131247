"""What `faultline profile` does: measure, show, and leave a JSON file and a plot."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from faultline.artifacts.device import resolve_device
from faultline.artifacts.figures import save_figure
from faultline.config import load_config
from faultline.errors import ConfigError
from faultline.files import write_json
from faultline.profiling.backbones import backbone_lines, measure_backbones
from faultline.profiling.plots import backbones_figure, profile_figure
from faultline.profiling.profile import ProfileSettings, profile_subject
from faultline.profiling.subject import MODEL, Subject
from faultline.profiling.tables import profile_lines
from faultline.progress import progress_bar

BACKBONES_WORD = "backbones"
SPEECH_WORD = "task=speech"
_OWN_WORDS = ("device", "precision")


def run_profile(
    words: Sequence[str],
    *,
    size: int | str | None = None,
    batches: str = "",
    names: str = "",
    nano: bool = False,
    device: str = "auto",
    precision: str = "auto",
    save: Path | None = None,
    as_json: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Profile a model, or with the word `backbones` the memory of all backbones.

    Args:
        words: `backbones`, or settings as for training; `device=` and `precision=` too. With
            `task=speech` a recogniser is measured.
        size: Side of the pictures in pixels, or height and width as `256x1600`: 256 for a model,
            224 for backbones.
        batches: Batch sizes, by commas.
        names: Backbones, by commas; all by default.
        nano: Backbones in their nano size instead of the full one.
        device: See `resolve_device`.
        precision: See `resolve_precision`.
        save: Output folder.
        as_json: Print the JSON instead of tables.
        say: Takes lines of text.

    Returns:
        The JSON file that was written.

    Raises:
        ConfigError: A word is not understood, or a number is out of range.
        OutputError: The folder cannot be written.
    """
    pairs = {word: word.partition("=") for word in words}
    own = {key: value for key, equals, value in pairs.values() if equals and key in _OWN_WORDS}
    rest = [word for word, (key, equals, _) in pairs.items() if not equals or key not in _OWN_WORDS]
    device, precision = own.get("device", device), own.get("precision", precision)
    if rest[:1] == [BACKBONES_WORD]:
        if rest[1:]:
            raise ConfigError(
                f"`profile backbones` does not take {' '.join(rest[1:])}",
                remedy="use --names, --size, --batch and --nano",
            )
        return _backbones(size, batches, names, nano, device, precision, save, as_json, say)
    if names or nano:
        raise ConfigError("--names and --nano belong to `faultline profile backbones`")
    if SPEECH_WORD in rest:
        rest.remove(SPEECH_WORD)
        return _recogniser(rest, size, batches, device, precision, save, as_json, say)
    return _model(rest, size, batches, device, precision, save, as_json, say)


def _recogniser(
    words: Sequence[str], size: int | str | None, batches: str, device: str, precision: str,
    save: Path | None, as_json: bool, say: Callable[[str], None],
) -> Path:  # fmt: skip
    from faultline.profiling.recogniser import profile_recogniser, recogniser_lines
    from faultline.speech.settings import load_speech_config

    if size is not None:
        raise ConfigError("--size belongs to pictures; recognisers are measured on clips of 3 s")
    config = load_speech_config(words)
    with progress_bar("measurements") as progress:
        # Recognisers are trained in fp32 unless another format is asked for.
        found = profile_recogniser(
            config, _numbers(batches or "1,2,4,8"), resolve_device(device),
            "fp32" if precision == "auto" else precision, progress,
        )  # fmt: skip
    folder = save or Path("outputs/profile") / found["name"]
    return _written(found, recogniser_lines, folder, as_json, say)


def _model(
    words: Sequence[str], size: int | str | None, batches: str, device: str, precision: str,
    save: Path | None, as_json: bool, say: Callable[[str], None],
) -> Path:  # fmt: skip
    config = load_config(words)
    settings = dict(config.model)
    subject = Subject(MODEL, str(settings.pop("name")), settings, config.loss)
    subject.check()
    wanted = ProfileSettings(
        _height_and_width(size or 256), _numbers(batches or "1,2,4,8"), precision
    )
    with progress_bar("measurements") as progress:
        found = profile_subject(subject, resolve_device(device), wanted, progress)
    folder = save or Path("outputs/profile") / subject.name
    return _written(found, profile_lines, folder, as_json, say)


def _written(
    found: dict[str, object], lines: Callable[[dict[str, object]], list[str]], folder: Path,
    as_json: bool, say: Callable[[str], None],
) -> Path:  # fmt: skip
    """The JSON file of a profile, once it, its plot and its lines are out."""
    file = folder / "profile.json"
    write_json(file, found)
    plot = save_figure(profile_figure(found), folder / "profile")
    _show(found, lines, file, plot, as_json, say)
    return file


def _backbones(
    size: int | str | None, batches: str, names: str, nano: bool, device: str, precision: str,
    save: Path | None, as_json: bool, say: Callable[[str], None],
) -> Path:  # fmt: skip
    wanted = _known(names)
    left_out: list[str] = []
    with progress_bar("measurements") as progress:
        found = measure_backbones(
            wanted, "nano" if nano else "full", _numbers(batches or "1,2,4,8"),
            _height_and_width(size or 224), resolve_device(device), precision, progress,
            left_out.append if as_json else say,
        )  # fmt: skip
    if as_json:  # a line beside it would spoil it
        found["left_out"] = left_out
    folder = save or Path("outputs/profile") / BACKBONES_WORD
    write_json(folder / "backbones.json", found)
    plot = save_figure(backbones_figure(found["rows"]), folder / "backbones")
    _show(found, backbone_lines, folder / "backbones.json", plot, as_json, say)
    return folder / "backbones.json"


def _show(
    found: dict[str, object], lines: Callable[[dict[str, object]], list[str]], file: Path,
    plot: Path, as_json: bool, say: Callable[[str], None],
) -> None:  # fmt: skip
    if as_json:
        say(json.dumps(found, indent=2))
        return
    for line in (*lines(found), "", f"written {file}", f"plot {plot}"):
        say(line)


def _known(names: str) -> list[str]:
    """The backbones asked for, or all."""
    from faultline.models.backbones import BACKBONES

    if not names:
        return BACKBONES.names()
    return [
        name if name.startswith("timm:") else BACKBONES.get(name).name for name in names.split(",")
    ]


def _height_and_width(size: int | str) -> tuple[int, int]:
    parts = str(size).lower().split("x")
    if len(parts) <= 2 and all(part.isdecimal() and int(part) for part in parts):
        return int(parts[0]), int(parts[-1])
    raise ConfigError(
        f"--size {size!r} is not understood",
        remedy="give a side in pixels, such as 256, or height and width, such as 256x1600",
    )


def _numbers(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise ConfigError(
            f"--batch {text!r} is not understood",
            remedy="give whole numbers above 0, comma-separated, such as 1,2,4,8",
        )
    return found
