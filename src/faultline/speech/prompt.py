"""A spoken prompt: what was said, and whether it is sure enough to act on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from faultline.errors import ConfigError, DataError
from faultline.speech.recogniser import Recogniser

SURE_ENOUGH = 0.6


def recognise_prompt(
    wav: str | Path, weights: str | Path, phrases: Sequence[str] = (), device: str = "auto"
) -> tuple[str, float]:
    """What is said in a recording, and how sure its least sure character is.

    Args:
        wav: A sound file.
        weights: Bundle or run folder of a recogniser.
        phrases: What is expected, where the network can be told.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        DataError: The recording cannot be read.
        BundleError: The weights hold no recogniser.
    """
    recogniser = Recogniser.load(weights, device)
    if recogniser.takes_phrases and any(not recogniser.tokenizer.unknown(p) for p in phrases):
        recogniser.expect(phrases)
    transcript = recogniser.transcribe_files([wav])[0]
    return transcript.text, transcript.lowest_confidence


def confirmed_prompt(
    wav: str | Path,
    weights: str | Path | None,
    *,
    phrases: Sequence[str] = (),
    device: str = "auto",
    least: float = SURE_ENOUGH,
    say: Callable[[str], None] = print,
    ask: Callable[[str], str] | None = None,
) -> str:
    """The prompt to act on: shown first, and below `least` confirmed or typed by a person.

    Args:
        wav: A sound file.
        weights: Bundle or run folder of a recogniser.
        phrases: What is expected; other texts are heard as well.
        device: `auto`, `cpu` or `cuda`.
        least: Confidence from which nobody is asked.
        say: Shows what was heard.
        ask: Puts a question to a person; None asks on the terminal, where there is one.

    Raises:
        ConfigError: No recogniser is named.
        DataError: Nothing was heard, or it is unsure and nobody confirms it.
    """
    if weights is None:
        raise ConfigError(
            "--speak needs a recogniser", remedy="give --speech-weights, a bundle or a run folder"
        )
    text, confidence = recognise_prompt(wav, weights, phrases, device)
    say(f"heard {text!r} (confidence {confidence:.2f})")
    if text and confidence >= least:
        return text
    ask = ask or _terminal()
    if ask is None:
        what = "nothing was heard" if not text else f"{text!r} is not sure enough to act on"
        raise DataError(
            f"{what} (confidence {confidence:.2f}, needed {least:.2f})",
            where=wav,
            remedy="record it again, or type the prompt with --prompt",
        )
    try:
        answer = ask(f"Not sure. Press Enter for {text!r}, or type the prompt: ").strip() or text
    except EOFError:  # Ctrl-D, or the end of what was piped in
        what = f"{text!r} was not confirmed" if text else "nothing was heard and nothing typed"
        raise DataError(what, where=wav, remedy="type the prompt with --prompt") from None
    if not answer:
        raise DataError("nothing was heard and nothing typed", where=wav)
    return answer


def _terminal() -> Callable[[str], str] | None:
    return input if sys.stdin is not None and sys.stdin.isatty() else None
