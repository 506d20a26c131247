"""From settings to everything that a training needs of its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from faultline.data.manifest import Problem
from faultline.errors import ConfigError, DataError
from faultline.speech.audio.reading import AudioInfo, audio_info
from faultline.speech.config import FrontEndConfig, SpeechConfig
from faultline.speech.data import toy
from faultline.speech.data.feasibility import check_frames, subsampled
from faultline.speech.data.manifest import Utterance, fingerprint, located, read_manifest
from faultline.speech.data.samples import Sample
from faultline.speech.data.splits import add_training, split_utterances
from faultline.speech.data.spoken import AugmentedUtterances, WaveStore, WholeUtterances
from faultline.speech.frontend import FrontEnd
from faultline.speech.normalisation import ChannelStatistics
from faultline.speech.tokenizer import CharacterTokenizer

if TYPE_CHECKING:
    from faultline.training.kinds import Known

TOY = "toy"
_TOY_PARTS = 4  # a quarter as many items validate and test as train
_STATISTICS_OF = 2000
_RATE_LIMIT = 16_000
_TELEPHONE_RATE = 8_000


class SampleSet(Protocol):
    """A sized collection of samples; training sets are addressed by (epoch, number)."""

    def __len__(self) -> int: ...

    def __getitem__(self, address: Any) -> Sample: ...


class TrainingSet(SampleSet, Protocol):
    """Samples of a training, and about how long each will be."""

    def size(self, address: tuple[int, int]) -> int:
        """Of the sample at `address`, in any unit, without making it."""
        ...


@dataclass(frozen=True)
class PreparedSpeech:
    """Data of one training.

    Attributes:
        train: Recordings that weights are fitted on.
        valid: Recordings that the epoch is chosen on.
        test: Recordings set aside for testing; empty for the toy task.
        training_set: Training samples, by (epoch, number).
        validation_set: Validation samples, by number.
        tokenizer: Made from the training texts.
        frontend: Makes features.
        mean: M channel means over training recordings.
        std: M standard deviations, likewise.
        tokens_per_frame: Mean over training recordings, by which CIF starts.
        longest: Seconds of the longest sample that training can show.
        fingerprint: Of all recordings and texts.
        problems: What was left out, and why.
        notes: What else a person should know.
    """

    train: Sequence[Known]
    valid: Sequence[Known]
    test: Sequence[Utterance]
    training_set: TrainingSet
    validation_set: SampleSet
    tokenizer: CharacterTokenizer
    frontend: FrontEnd
    mean: list[float]
    std: list[float]
    tokens_per_frame: float
    longest: float
    fingerprint: str
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def prepare_speech(config: SpeechConfig) -> PreparedSpeech:
    """Read the data that `config` names. Rates and channels left open are settled in it.

    Raises:
        ConfigError: No data is named, or a split rule cannot be followed.
        DataError: It cannot be used.
        LeakageError: A recording is in two parts.
    """
    check_source(config)
    return _toy(config) if config.data.manifest == TOY else _recordings(config)


def check_source(config: SpeechConfig) -> None:
    """Make sure that data is named, and that its manifest is there; nothing of it is read.

    Raises:
        ConfigError: No data is named.
        DataError: There is no such manifest.
    """
    if not config.data.manifest:
        raise ConfigError(
            "data.manifest is not set",
            remedy="give data=MANIFEST.jsonl, a folder that holds one, or data=toy",
        )
    if config.data.manifest != TOY:
        located(config.data.manifest)


def _toy(config: SpeechConfig) -> PreparedSpeech:
    data = config.data
    task = toy.ToyTask(data.toy_tokens, data.toy_length, data.toy_noise, seed=config.seed)
    config.frontend.mels = toy.MELS
    config.frontend.sample_rate = config.frontend.sample_rate or _RATE_LIMIT
    train = toy.ToySet(task, 0, data.toy_count)
    valid = toy.ToySet(task, 1, max(1, data.toy_count // _TOY_PARTS))
    clips = [(s.id, len(s.features), s.tokens) for s in train.samples]
    fits, problems = check_frames(clips, config.frontend.skip)
    train.samples = [s for s, fit in zip(train.samples, fits, strict=True) if fit]
    frontend = FrontEnd.from_config(config.frontend)
    mean, std = _statistics(train.samples)
    longest = max(len(s.features) for s in train.samples) * frontend.hop_ms / 1000
    return PreparedSpeech(
        train=train.items(), valid=valid.items(), test=(), training_set=train,
        validation_set=valid, tokenizer=task.tokenizer(), frontend=frontend,
        mean=mean, std=std, longest=longest, fingerprint=f"toy-{task}",
        tokens_per_frame=_density(train.samples, config.frontend.skip),
        problems=tuple(problems),
    )  # fmt: skip


def _recordings(config: SpeechConfig) -> PreparedSpeech:
    manifest = read_manifest(str(config.data.manifest))
    parts = split_utterances(manifest.utterances, config.data.test, config.data.valid, config.seed)
    problems = list(manifest.problems)
    for name in config.data.more:
        more = read_manifest(str(name))
        parts = add_training(parts, more.utterances)
        problems += more.problems
    infos = _headers([*parts.train, *parts.valid], problems)
    settle_front_end(config.frontend, [infos[u].rate for u in parts.train if u in infos])
    frontend = FrontEnd.from_config(config.frontend)
    texts = [u.text for u in parts.train if u in infos]
    # Joined utterances have a space between them, which single words would not bring.
    tokenizer = CharacterTokenizer.from_texts([*texts, " ".join(texts[:2])])
    store = WaveStore(config.frontend.sample_rate)
    train = _usable(parts.train, infos, config, store, tokenizer, problems)
    valid = _usable(parts.valid, infos, config, store, tokenizer, problems)
    plain = WholeUtterances(train, store, frontend, tokenizer)
    order = np.random.default_rng(config.seed).permutation(len(train))[:_STATISTICS_OF]
    samples = [plain[int(number)] for number in order]
    mean, std = _statistics(samples)
    skip = config.frontend.skip
    return PreparedSpeech(
        train=train,
        valid=valid,
        test=parts.test,
        training_set=AugmentedUtterances(
            train, store, frontend, tokenizer, config.data, config.augment, mean, skip, config.seed
        ),
        validation_set=WholeUtterances(valid, store, frontend, tokenizer),
        tokenizer=tokenizer,
        frontend=frontend,
        mean=mean,
        std=std,
        tokens_per_frame=_density(samples, skip),
        longest=_longest(train, infos, config),
        fingerprint=fingerprint([*train, *valid, *parts.test]),
        problems=tuple(problems),
        notes=tuple(_unknown_characters(valid, tokenizer)),
    )


def settle_front_end(config: FrontEndConfig, rates: Sequence[int]) -> None:
    """Choose the rate and the channels that `config` leaves open (0), from those of recordings.

    A higher rate than that of the lowest recording would show the network by an empty upper
    band where each one comes from.
    """
    if not config.sample_rate:
        config.sample_rate = min([_RATE_LIMIT, *rates])
    if not config.mels:
        config.mels = 40 if config.sample_rate <= _TELEPHONE_RATE else 80


def _headers(
    utterances: Sequence[Utterance], problems: list[Problem]
) -> dict[Utterance, AudioInfo]:
    """Headers of all recordings that have a readable one."""
    found = {}
    for utterance in utterances:
        try:
            found[utterance] = audio_info(utterance.path)
        except DataError as error:
            problems.append(Problem(utterance.path.name, str(error)))
    return found


def _usable(
    utterances: Sequence[Utterance],
    infos: dict[Utterance, AudioInfo],
    config: SpeechConfig,
    store: WaveStore,
    tokenizer: CharacterTokenizer,
    problems: list[Problem],
) -> list[Utterance]:
    """Those that can be decoded, are short and have frames enough; the others are listed."""
    frontend = FrontEnd.from_config(config.frontend)
    limit = config.data.max_seconds
    kept, clips = [], []
    for utterance in (u for u in utterances if u in infos):
        seconds = infos[utterance].seconds
        try:
            if seconds > limit:
                raise DataError(f"lasts {seconds:.1f} s, more than data.max_seconds={limit:g}")
            frames = frontend.frames(len(store.get(utterance)))
        except DataError as error:
            problems.append(Problem(utterance.path.name, str(error)))
            continue
        kept.append(replace(utterance, duration=seconds))
        clips.append((utterance.path.name, frames, tokenizer.encode(utterance.text)))
    fits, found = check_frames(clips, config.frontend.skip)
    problems.extend(found)
    usable = [u for u, fit in zip(kept, fits, strict=True) if fit]
    if not usable:
        raise DataError("no recording is left", remedy="the reasons: " + _reasons(problems))
    return usable


def _reasons(problems: Sequence[Problem]) -> str:
    return "; ".join(f"{problem.file}: {problem.reason}" for problem in problems[:3])


def _statistics(samples: Sequence[Sample]) -> tuple[list[float], list[float]]:
    statistics = ChannelStatistics()
    for sample in samples:
        statistics.add(sample.features)
    return statistics.mean_and_std()


def _density(samples: Sequence[Sample], skip: int) -> float:
    """Mean number of tokens, with the end of each sentence, a frame."""
    tokens = sum(len(s.tokens) + bool(s.tokens) for s in samples)
    return tokens / max(1, sum(subsampled(len(s.features), skip) for s in samples))


def _longest(
    train: Sequence[Utterance], infos: dict[Utterance, AudioInfo], config: SpeechConfig
) -> float:
    single = max(u.duration for u in train) / min(config.data.speeds)
    joined = single * config.data.join_count if config.data.join else single
    return float(min(config.data.max_seconds, joined + 1.0))


def _unknown_characters(valid: Sequence[Utterance], tokenizer: CharacterTokenizer) -> list[str]:
    unknown = {c: u.path.name for u in valid for c in tokenizer.unknown(u.text)}
    return [
        f"character {c!r} of {name} (validation) is in no training text and cannot be recognised"
        for c, name in sorted(unknown.items())
    ]
