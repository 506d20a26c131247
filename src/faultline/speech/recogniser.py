"""The one path from sound or features to a transcript, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from faultline.artifacts.bundle import Bundle
from faultline.artifacts.device import resolve_device
from faultline.artifacts.precision import resolve_precision
from faultline.errors import ConfigError
from faultline.speech.audio.reading import check_samples, stream_audio
from faultline.speech.audio.resampling import Wave
from faultline.speech.audio.segments import Segment, cut_at_silence, cut_features
from faultline.speech.bundle import build_recogniser, load_speech_bundle, parts_of
from faultline.speech.data.samples import pad_features
from faultline.speech.frontend import Features, check_features
from faultline.speech.paraformer import Paraformer, Recognised
from faultline.speech.tokenizer import SPECIAL, normalise_text
from faultline.speech.transcript import TokenSpan, Transcript, joined, trimmed

BATCH_SECONDS = 60.0


@dataclass(frozen=True)
class Piece:
    """A segment on its way: which recording it is of, where in it, and its features.

    Attributes:
        recording: Number of the recording.
        start: Seconds from its start.
        features: (T, M); None for silence, which needs no network.
        seconds: Its duration.
    """

    recording: int
    start: float
    features: Features | None
    seconds: float


class Recogniser:
    """A bundle ready to write down what is said.

    Args:
        bundle: See `load_speech_bundle`.
        device: `auto`, `cpu` or `cuda`.
        precision: `fp32` by default: the networks are small.
        batch_seconds: Sound, filling included, that is recognised at once.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: str = "auto",
        precision: str = "fp32",
        batch_seconds: float = BATCH_SECONDS,
    ) -> None:
        self.bundle = bundle
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        self.batch_seconds = batch_seconds
        self.tokenizer, self.frontend, self.skip, self.longest = parts_of(bundle)
        self.network = build_recogniser(bundle).to(self.device)
        self.phrases: tuple[str, ...] = ()
        self._told: dict[str, Any] = {}

    @classmethod
    def load(cls, weights: str | Path, device: str = "auto") -> Recogniser:
        """From a bundle's file or a run folder.

        Raises:
            BundleError: It holds no recogniser.
        """
        return cls(load_speech_bundle(weights), device)

    @property
    def takes_phrases(self) -> bool:
        """Whether the network can be told what is expected."""
        return isinstance(self.network, Paraformer)

    def expect(self, phrases: Iterable[str]) -> list[str]:
        """Take these phrases from now on where a piece sounds like one; see `prefer_phrases`.

        Returns:
            Phrases left out, which hold characters that the recogniser cannot write.

        Raises:
            ConfigError: The network takes none, or all are left out.
        """
        if not isinstance(self.network, Paraformer):
            raise ConfigError(
                f"{self.bundle.model_name} does not support expected phrases",
                remedy="use a paraformer, or leave out the phrases",
            )
        given = list(dict.fromkeys(filter(None, map(normalise_text, phrases))))
        self.phrases = tuple(text for text in given if not self.tokenizer.unknown(text))
        left = [text for text in given if self.tokenizer.unknown(text)]
        if not self.phrases:
            raise ConfigError(
                "none of the phrases can be written by this recogniser",
                where=", ".join(map(repr, left[:3])) or None,
                remedy=f"its characters are {''.join(self.tokenizer.tokens[len(SPECIAL) :])!r}",
            )
        self._told = {"phrases": [self.tokenizer.encode(text) for text in self.phrases]}
        return left

    @property
    def frame_seconds(self) -> float:
        """From one frame of the encoder to the next."""
        return self.frontend.hop_ms * self.skip / 1000

    def transcribe_files(self, paths: Sequence[str | Path]) -> list[Transcript]:
        """Transcripts of sound files of any length.

        Raises:
            DataError: A file cannot be read; use one call per file where others have to go on.
        """
        streams = [stream_audio(path, self.frontend.sample_rate) for path in paths]
        return self._transcribe(streams)

    def transcribe_waves(self, waves: Sequence[Wave]) -> list[Transcript]:
        """Transcripts of samples (S,) at the front end's rate, of size 1 at full scale.

        Raises:
            DataError: Samples are not finite, or of a size that is no sound.
        """
        for wave in waves:
            check_samples(wave)
        return self._transcribe([iter([wave]) for wave in waves])

    def transcribe_features(
        self, items: Sequence[Features], *, whole: bool = False
    ) -> list[Transcript]:
        """Transcripts of log-mel features (T, M) of any length.

        Args:
            items: Features of each recording.
            whole: Recognise each in one piece, even if it is longer than training has shown.

        Raises:
            DataError: Their shape or a value is wrong.
        """
        checked = [check_features(item, self.frontend.mels) for item in items]
        hop = self.frontend.hop_ms / 1000
        most = max(map(len, checked), default=0) if whole else int(self.longest / hop)
        pieces = (
            Piece(number, first * hop, part, len(part) * hop)
            for number, item in enumerate(checked)
            for first, part in cut_features(item, self.frontend.hop_ms, most, self.skip)
        )
        return self._answers(pieces, len(items))

    def spoken_features(self, path: str | Path) -> list[Features]:
        """Features (T, M) of the pieces of a sound file that are recognised; none for silence.

        Raises:
            DataError: It cannot be read.
        """
        pieces = self._pieces([stream_audio(path, self.frontend.sample_rate)])
        return [piece.features for piece in pieces if piece.features is not None]

    def _transcribe(self, streams: Sequence[Iterable[Wave]]) -> list[Transcript]:
        return self._answers(self._pieces(streams), len(streams))

    def _pieces(self, streams: Sequence[Iterable[Wave]]) -> Iterator[Piece]:
        rate = self.frontend.sample_rate
        for number, stream in enumerate(streams):
            for segment in cut_at_silence(stream, rate, self.longest):
                yield Piece(number, segment.start, self._features(segment),
                            len(segment.wave) / rate)  # fmt: skip

    def _features(self, segment: Segment) -> Features | None:
        """None for silence, and for clips shorter than one window."""
        too_short = len(segment.wave) < self.frontend.window
        return None if segment.silent or too_short else self.frontend.features(segment.wave)

    def _answers(self, pieces: Iterator[Piece], count: int) -> list[Transcript]:
        """Recognise pieces as they come, a batch at a time, and join them by recording."""
        parts: list[list[tuple[float, Transcript]]] = [[] for _ in range(count)]
        seconds = [0.0] * count
        for batch in self._batches(pieces):
            for piece, answer in zip(batch, self._recognise(batch), strict=True):
                parts[piece.recording].append((piece.start, answer))
                seconds[piece.recording] = max(
                    seconds[piece.recording], piece.start + piece.seconds
                )
        return [joined(sorted(found, key=lambda part: part[0]), duration)
                for found, duration in zip(parts, seconds, strict=True)]  # fmt: skip

    def _batches(self, pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
        """As many pieces as fit `batch_seconds`, those filled up to the longest counted."""
        batch: list[Piece] = []
        longest = 0.0
        for piece in pieces:
            longest = max(longest, piece.seconds)
            if batch and longest * (len(batch) + 1) > self.batch_seconds:
                yield batch
                batch, longest = [], piece.seconds
            batch.append(piece)
        if batch:
            yield batch

    def _recognise(self, batch: Sequence[Piece]) -> list[Transcript]:
        silent = Transcript((), 0.0)
        answers = [silent] * len(batch)
        spoken = [i for i, piece in enumerate(batch) if piece.features is not None]
        if not spoken:
            return answers
        features, lengths = pad_features([f for p in batch if (f := p.features) is not None])
        with torch.inference_mode(), self.precision.autocast(self.device):
            given = features.to(self.device), lengths.to(self.device)
            recognised = self.network.recognise(*given, **self._told)
        for place, index in enumerate(spoken):
            answers[index] = self._transcript(recognised, place, batch[index].seconds)
        return answers

    def _transcript(self, recognised: Recognised, row: int, seconds: float) -> Transcript:
        length = int(recognised.lengths[row])
        pieces = self.tokenizer.pieces(recognised.tokens[row, :length].tolist())
        starts, ends = recognised.starts[row].tolist(), recognised.ends[row].tolist()
        surety = recognised.confidence[row].tolist()
        tokens = [
            TokenSpan(text, self._seconds(starts[i]), self._seconds(ends[i]), surety[i])
            for i, text in enumerate(pieces) if text
        ]  # fmt: skip
        silence = max(0.0, 1.0 - float(recognised.counts[row]))
        return Transcript(trimmed(tokens), seconds, silence)

    def _seconds(self, frame: int) -> float | None:
        return None if frame < 0 else frame * self.frame_seconds
