"""Spoken sentences made with espeak-ng: many voices, and the noise and echo of a site."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from faultline.errors import ConfigError, DataError, MissingExtraError
from faultline.extras import import_extra
from faultline.files import atomic_path, write_text
from faultline.progress import Progress
from faultline.speech.audio.disturbing import add_noise, apply_gain, reverberate
from faultline.speech.audio.reading import read_audio
from faultline.speech.audio.resampling import Wave
from faultline.speech.audio.segments import trim_silence
from faultline.speech.data.manifest import NAME, Utterance, write_manifest
from faultline.speech.phrases import PHRASES, PHRASES_NAME
from faultline.speech.tokenizer import normalise_text

RATE = 16_000
_ACCENTS = ("en-us", "en-gb")
VOICES: dict[str, tuple[str, ...]] = {
    part: tuple(f"{accent}+{variant}" for accent in _ACCENTS for variant in variants)
    for part, variants in {
        "train": (
            "m1", "m2", "m3", "m4", "f1", "f2", "f5", "adam", "Alex", "Alicia", "Andrea", "Andy",
            "anika", "Annie", "antonio", "aunty", "belinda", "boris", "david", "Denis", "ed",
            "edward", "Gene", "grandma", "grandpa", "gustave", "Hugo", "john", "Lee", "linda",
            "Marco", "michel", "miguel", "Mike", "paul", "pedro", "quincy", "rob", "shelby",
            "steph", "travis", "victor",
        ),
        "valid": ("m5", "f3"),
        "test": ("m6", "m7", "f4"),
    }.items()
}  # fmt: skip
"""Voices of each part; no variant is in two of them, in no accent."""

_PROGRAM = "espeak-ng"
_SECONDS = 30
_SPEEDS, _PITCHES = (130, 190), (30, 70)


@dataclass(frozen=True)
class Recipe:
    """How many sentences are made, and how.

    Attributes:
        phrases: What is said.
        train: Sentences to train on.
        valid: Sentences to validate on.
        test: Sentences of known wording in voices that training does not have.
        unseen: Share of the phrases that no training sentence has; they are spoken as `unseen`.
        noise_db: Ratio of speech to noise of `test_noisy`, the test sentences once more.
        seed: The same seed gives the same sentences.
        trim: Cut silence off both ends, as recordings of single words often are.
    """

    phrases: Sequence[str] = PHRASES
    train: int = 2000
    valid: int = 100
    test: int = 120
    unseen: float = 0.1
    noise_db: float = 15.0
    seed: int = 0
    trim: bool = False


@dataclass(frozen=True)
class _Line:
    """One sentence to speak."""

    name: str
    split: str
    text: str
    voice: str
    speed: int
    pitch: int


def synthesize_speech(
    folder: str | Path, recipe: Recipe | None = None, progress: Progress | None = None
) -> Path:
    """Write recordings, `manifest.jsonl` and the known wordings to a new folder.

    Returns the manifest.

    The parts are `train`, `valid`, `test` (known wording, unknown voices), `test_noisy` (the same
    in noise) and `unseen` (unknown wording and voices).

    Raises:
        MissingExtraError: espeak-ng is not installed, or the extra `speech` is not.
        ConfigError: Too few phrases, or a share that cannot be.
        DataError: The folder holds a manifest or phrases already, or espeak-ng fails.
        OutputError: It cannot be written.
    """
    recipe = recipe or Recipe()
    folder = Path(folder)
    if shutil.which(_PROGRAM) is None:
        raise MissingExtraError(
            "the program espeak-ng is not installed", remedy="apt-get install espeak-ng"
        )
    import_extra("soundfile", "speech")
    for name in (NAME, PHRASES_NAME):
        if (folder / name).exists():
            raise DataError(f"holds a {name} already", where=folder, remedy="give a new folder")
    rng = np.random.default_rng(recipe.seed)
    lines = _lines(recipe, rng)
    made: list[Utterance] = []
    for number, line in enumerate(lines):
        made += _speak(folder, line, recipe, rng)
        if progress is not None:
            progress(number + 1, len(lines))
    known = sorted({utterance.text for utterance in made if utterance.split == "train"})
    write_text(folder / PHRASES_NAME, "".join(f"{phrase}\n" for phrase in known))
    write_manifest(folder / NAME, made)
    return folder / NAME


def _lines(recipe: Recipe, rng: np.random.Generator) -> list[_Line]:
    phrases = [normalise_text(phrase) for phrase in recipe.phrases]
    if not 0 <= recipe.unseen < 1:
        raise ConfigError(f"unseen={recipe.unseen} is not a share of the phrases (0 to 1)")
    apart = round(recipe.unseen * len(phrases))
    if len(phrases) - apart < 2:
        raise ConfigError(f"{len(phrases)} phrases are too few", remedy="give 3 or more")
    order = rng.permutation(len(phrases))
    unseen = [phrases[i] for i in order[:apart]]
    known = [phrases[i] for i in order[apart:]]
    lines = []
    for split, count, texts in (
        ("train", recipe.train, known), ("valid", recipe.valid, known),
        ("test", recipe.test, known), ("unseen", len(unseen) * 2, unseen),
    ):  # fmt: skip
        voices = VOICES["test" if split == "unseen" else split]
        lines += [_line(split, number, texts, voices, rng) for number in range(count)]
    return lines


def _line(
    split: str, number: int, texts: Sequence[str], voices: Sequence[str], rng: np.random.Generator
) -> _Line:
    # Phrases in turn rather than by chance: every one comes equally often.
    return _Line(
        name=f"{split}-{number:05}",
        split=split,
        text=texts[number % len(texts)],
        voice=str(voices[int(rng.integers(len(voices)))]),
        speed=int(rng.integers(*_SPEEDS)),
        pitch=int(rng.integers(*_PITCHES)),
    )


def _speak(folder: Path, line: _Line, recipe: Recipe, rng: np.random.Generator) -> list[Utterance]:
    clean = trim_silence(_spoken(line), RATE) if recipe.trim else _spoken(line)
    if line.split in ("train", "valid"):
        return [_written(folder, line, _on_site(clean, rng))]
    made = [_written(folder, line, clean)]
    if line.split == "test":
        noisy = replace(line, name=f"noisy-{line.name}", split="test_noisy")
        made.append(_written(folder, noisy, add_noise(clean, recipe.noise_db, rng)))
    return made


def _on_site(wave: Wave, rng: np.random.Generator) -> Wave:
    """Sometimes echo, sometimes noise, always another loudness."""
    if rng.random() < 0.4:
        wave = reverberate(wave, rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.5), RATE, rng)
    if rng.random() < 0.5:
        wave = add_noise(wave, rng.uniform(8, 30), rng)
    return apply_gain(wave, rng.uniform(-10, 3))


def _spoken(line: _Line) -> Wave:
    """What espeak-ng says, at `RATE`."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "spoken.wav"
        command = [_PROGRAM, "-v", line.voice, "-s", str(line.speed), "-p", str(line.pitch),
                   "-w", str(path), "--stdin"]  # fmt: skip
        try:
            subprocess.run(command, input=line.text, text=True, capture_output=True, check=True,
                           timeout=_SECONDS)  # fmt: skip
            return read_audio(path, RATE)
        except (subprocess.SubprocessError, OSError, DataError) as error:
            raise DataError(
                f"espeak-ng cannot say {line.text!r} as {line.voice}: {error}"
            ) from error


def _written(folder: Path, line: _Line, wave: Wave) -> Utterance:
    soundfile: Any = import_extra("soundfile", "speech")
    path = folder / "recordings" / f"{line.name}.wav"
    with atomic_path(path) as temporary:
        soundfile.write(temporary, np.clip(wave, -1, 1), RATE, subtype="PCM_16")
    return Utterance(path, line.text, line.voice, len(wave) / RATE, split=line.split)
