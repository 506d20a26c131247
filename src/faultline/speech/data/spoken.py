"""Training samples from recordings: faster, joined, noisier, masked; the same for a given seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faultline.speech.audio.disturbing import add_noise, apply_gain, coloured_noise
from faultline.speech.audio.reading import read_audio
from faultline.speech.audio.resampling import Wave, change_speed
from faultline.speech.config import AugmentConfig, SpeechDataConfig
from faultline.speech.data.feasibility import frames_needed, subsampled
from faultline.speech.data.manifest import SPEECH, Utterance
from faultline.speech.data.samples import Sample
from faultline.speech.frontend import FrontEnd
from faultline.speech.other_voices import another_voice
from faultline.speech.spec_augment import spec_augment
from faultline.speech.tokenizer import CharacterTokenizer

_SNR_DB = (10.0, 30.0)
_NOISE_DB = (-70.0, -20.0)
_PAUSE_SECONDS = (0.02, 0.4)
_MARGIN_SECONDS = 0.25
_SILENCE_SECONDS = (0.05, 2.0)


class WaveStore:
    """Decoded recordings at the front end's rate, kept in memory.

    Args:
        rate: Hertz.
        gibibytes: Memory that may be taken; later recordings are decoded each time.
    """

    def __init__(self, rate: int, gibibytes: float = 2.0) -> None:
        self.rate = rate
        self._left = int(gibibytes * 2**30)
        self._kept: dict[tuple[str, float], Wave] = {}

    def get(self, utterance: Utterance, speed: float = 1.0) -> Wave:
        """Samples (S,) of a recording, played `speed` times as fast.

        Raises:
            DataError: It cannot be read.
        """
        key = (str(utterance.path), speed)
        if key in self._kept:
            return self._kept[key]
        wave = read_audio(utterance.path, self.rate) if speed == 1.0 else change_speed(
            self.get(utterance), speed)  # fmt: skip
        if wave.nbytes <= self._left:
            self._left -= wave.nbytes
            self._kept[key] = wave
        return wave


class WholeUtterances:
    """Recordings as they are: for validation, statistics and tests."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
        store: WaveStore,
        frontend: FrontEnd,
        tokenizer: CharacterTokenizer,
    ) -> None:
        self.utterances = utterances
        self.store = store
        self.frontend = frontend
        self.tokenizer = tokenizer

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, number: int) -> Sample:
        utterance = self.utterances[number]
        features = self.frontend.features(self.store.get(utterance))
        tokens = tuple(self.tokenizer.encode(utterance.text))
        return Sample(utterance.path.name, features, tokens, utterance.text)


@dataclass(frozen=True)
class _Plan:
    """What a clip is made of.

    Attributes:
        name: Of its first recording.
        utterances: In a row; none for a clip of silence.
        speed: Factor that all are played at.
        silences: Samples before, between and behind them; one more than `utterances`.
    """

    name: str
    utterances: tuple[Utterance, ...]
    speed: float
    silences: tuple[int, ...]


class AugmentedUtterances:
    """What a training sees. A sample depends on seed, epoch and number alone.

    Args:
        utterances: Training recordings.
        store: Where their samples come from.
        frontend: Makes features.
        tokenizer: Makes tokens.
        config: Speeds and shares; see SpeechDataConfig.
        augment: Other voices and SpecAugment.
        mean: M channel means, which masked stripes are set to.
        skip: Windows from one frame to the next.
        seed: Of the run.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        store: WaveStore,
        frontend: FrontEnd,
        tokenizer: CharacterTokenizer,
        config: SpeechDataConfig,
        augment: AugmentConfig,
        mean: Sequence[float],
        skip: int,
        seed: int,
    ) -> None:
        self.utterances, self.store = utterances, store
        self.frontend, self.tokenizer = frontend, tokenizer
        self.config, self.augment = config, augment
        self.mean, self.skip, self.seed = mean, skip, seed
        self.spoken = [u for u in utterances if u.kind == SPEECH]

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, address: tuple[int, int]) -> Sample:
        plan, rng = self._planned(address)
        wave = self._disturbed(self._played(plan, rng), rng)
        features = another_voice(self.frontend.features(wave), self.frontend, self.augment, rng)
        features = spec_augment(features, self.mean, self.augment, rng)
        text = " ".join(utterance.text for utterance in plan.utterances)
        return Sample(plan.name, features, tuple(self.tokenizer.encode(text)), text)

    def size(self, address: tuple[int, int]) -> int:
        """About how many samples (S) the clip at `address` will have; nothing is decoded."""
        plan, _ = self._planned(address)
        spoken = sum(self._count(utterance, plan.speed) for utterance in plan.utterances)
        return spoken + sum(plan.silences)

    def _planned(self, address: tuple[int, int]) -> tuple[_Plan, np.random.Generator]:
        """What the clip at `address` is made of, and the generator of what follows."""
        epoch, number = address
        rng = np.random.default_rng([self.seed, epoch, number])
        if rng.random() < self.config.silence:
            count = int(rng.uniform(*_SILENCE_SECONDS) * self.store.rate)
            return _Plan("silence", (), 1.0, (count,)), rng
        return self._spoken(self.utterances[number], rng), rng

    def _spoken(self, first: Utterance, rng: np.random.Generator) -> _Plan:
        chosen = [first]
        if first.kind == SPEECH and rng.random() < self.config.join:
            extra = int(rng.integers(1, max(2, self.config.join_count)))
            chosen += [self.spoken[i] for i in rng.integers(0, len(self.spoken), extra)]
        speed = float(rng.choice(self.config.speeds))
        limit = int(self.config.max_seconds * self.store.rate)
        total = 0
        kept: list[Utterance] = []
        pauses: list[int] = []
        for utterance in chosen:
            count = self._count(utterance, speed)
            if kept and total + count + self.store.rate > limit:
                break
            if kept:
                pauses.append(int(rng.uniform(*_PAUSE_SECONDS) * self.store.rate))
            total += count + sum(pauses[-1:])
            kept.append(utterance)
        before, behind = self._margins(rng)
        return _Plan(first.path.name, tuple(kept), speed, (before, *pauses, behind))

    def _margins(self, rng: np.random.Generator) -> tuple[int, int]:
        """Half of the time some silence before and behind, as a microphone records it."""
        longest = int(_MARGIN_SECONDS * self.store.rate)
        before, behind = rng.integers(0, longest, 2) * (rng.random(2) < 0.5)
        return int(before), int(behind)

    def _played(self, plan: _Plan, rng: np.random.Generator) -> Wave:
        """Utterances with silence before, between and behind; without any, silence or noise."""
        if not plan.utterances:
            return self._silence(plan.silences[0], rng)
        pieces = [np.zeros(plan.silences[0], np.float32)]
        for utterance, behind in zip(plan.utterances, plan.silences[1:], strict=True):
            pieces += [self._at_speed(utterance, plan.speed), np.zeros(behind, np.float32)]
        return np.concatenate(pieces)

    def _count(self, utterance: Utterance, speed: float) -> int:
        return int(utterance.duration * self.store.rate / speed)

    def _at_speed(self, utterance: Utterance, speed: float) -> Wave:
        """Played faster only where enough frames are left for the text."""
        wave = self.store.get(utterance, speed)
        frames = subsampled(self.frontend.frames(len(wave)), self.skip)
        enough = frames >= frames_needed(self.tokenizer.encode(utterance.text))
        return wave if enough else self.store.get(utterance)

    def _silence(self, count: int, rng: np.random.Generator) -> Wave:
        if rng.random() < 0.3:
            return np.zeros(count, np.float32)
        level = np.float32(10 ** (rng.uniform(*_NOISE_DB) / 20))
        return level * coloured_noise(count, rng.uniform(0, 0.95), rng)

    def _disturbed(self, wave: Wave, rng: np.random.Generator) -> Wave:
        gain = rng.uniform(-self.config.gain_db, self.config.gain_db)
        if rng.random() < self.config.noise:
            wave = add_noise(wave, rng.uniform(*_SNR_DB), rng)
        return apply_gain(wave, gain)
