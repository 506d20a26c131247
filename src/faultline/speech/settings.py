"""From a file and `key=value` words to a checked `SpeechConfig`, mistakes reported at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from faultline.config.paths import expand_home
from faultline.config.validate import duration, figure_format, refusals
from faultline.errors import ConfigError
from faultline.registry import did_you_mean
from faultline.speech.config import SpeechConfig

_ALIASES = {
    "data": "data.manifest",
    "model": "model.name",
    "epochs": "trainer.max_epochs",
    "lr": "optimizer.lr",
    "batch_size": "data.batch_size",
}
_LOWEST_RATE = 1000  # hertz; recordings of a lower rate are not taken either
CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer.name": ("adamw", "sgd"),
    "scheduler.name": ("cosine", "plateau", "none"),
    "trainer.precision": ("auto", "fp32", "bf16", "fp16"),
    "trainer.accelerator": ("auto", "cpu", "gpu"),
}
RANGES: dict[str, tuple[float, float]] = {
    "average": (1, 100),
    "data.batch_size": (1, 65536),
    "data.max_seconds": (0.1, 3600),
    "data.join": (0, 1),
    "data.join_count": (1, 100),
    "data.silence": (0, 0.9),
    "data.noise": (0, 1),
    "data.gain_db": (0, 60),
    "data.toy_count": (4, 10**7),
    "data.toy_tokens": (2, 26),
    "data.toy_length": (1, 200),
    "data.toy_noise": (0, 100),
    "frontend.sample_rate": (0, 192_000),
    "frontend.mels": (0, 512),
    "frontend.window_ms": (2, 500),
    "frontend.hop_ms": (1, 500),
    "frontend.stack": (1, 32),
    "frontend.skip": (1, 32),
    "augment.warp": (0, 1),
    "augment.microphone_db": (0, 60),
    "augment.time_masks": (0, 100),
    "augment.time_width": (0, 1),
    "augment.mel_masks": (0, 100),
    "augment.mel_width": (0, 1),
    "loss.ctc": (0, 1),
    "loss.quantity": (0, 1000),
    "loss.smoothing": (0, 0.99),
    "optimizer.lr": (1e-12, 100),
    "optimizer.weight_decay": (0, 10),
    "scheduler.warmup_steps": (0, 1e9),
    "scheduler.min_factor": (0, 1),
    "trainer.max_epochs": (-1, 1e9),
    "trainer.max_steps": (-1, 1e12),
    "trainer.gradient_clip": (0, 1e9),
    "trainer.keep_best": (1, 10_000),
    "trainer.checkpoint_every_steps": (0, 1e9),
    "trainer.validate_every": (1, 1e6),
    "trainer.accumulate": (1, 65536),
    "trainer.ema": (0, 0.999999),
    "trainer.early_stopping_patience": (0, 1e6),
    "data.num_workers": (0, 256),
    "evaluation.dpi": (10, 2400),
}


def load_speech_config(
    words: Sequence[str] = (), *, file: str | Path | None = None
) -> SpeechConfig:
    """Compose a configuration: defaults < `file` < `key=value` words.

    Args:
        words: Dotted keys. `data=` takes a manifest, `model=` a name; `null` switches off.
        file: YAML with the same keys, such as a run's `config.yaml`.

    Raises:
        ConfigError: Every unknown key, wrong type and value out of range, in one message.
    """
    pairs = [] if file is None else list(_leaves(_read_yaml(Path(file))))
    pairs += [_pair(word) for word in words]
    config, problems = _filled(pairs)
    expand_home(config)
    problems += _broken_rules(config)
    if problems:
        raise ConfigError("; ".join(problems), remedy="see docs/speech.md for every setting")
    return config


def to_yaml(config: SpeechConfig) -> str:
    """Complete, reusable YAML of `config`."""
    return str(OmegaConf.to_yaml(OmegaConf.create(dataclasses.asdict(config))))


def _pair(word: str) -> tuple[str, Any]:
    key, separator, text = word.partition("=")
    if not separator or not key:
        raise ConfigError(f"{word!r} is not of the form key=value")
    key = _ALIASES.get(key, key)
    if not text.strip(" '\""):
        raise ConfigError(f"{key} is empty", remedy=f"give it a value, or {key}=null for none")
    try:
        value = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
    except Exception as error:  # PyYAML and OmegaConf raise a whole family here
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{word!r} cannot be read: {reason}") from error
    assert isinstance(value, dict)
    return key, value["value"]


def _filled(pairs: Sequence[tuple[str, Any]]) -> tuple[SpeechConfig, list[str]]:
    structured = OmegaConf.structured(SpeechConfig)
    known = dict(_leaves(OmegaConf.to_container(structured)))
    problems = []
    for key, value in pairs:
        is_open = key.startswith("model.")
        if key not in known and not is_open:
            problems.append(f"unknown setting {key!r}{did_you_mean(key, known)}")
            continue
        try:
            OmegaConf.update(structured, key, value, merge=False, force_add=is_open)
        except OmegaConfBaseException as error:
            problems.append(f"{key}={value!r}: {str(error).splitlines()[0]}")
    config = OmegaConf.to_object(structured)
    assert isinstance(config, SpeechConfig)
    return config, problems


def _broken_rules(config: SpeechConfig) -> list[str]:
    problems = []
    for key, allowed in CHOICES.items():
        value = _lookup(config, key)
        if value not in allowed:
            hint = did_you_mean(str(value), allowed)
            problems.append(f"{key}={value!r} is not one of {', '.join(allowed)}{hint}")
    for key, (low, high) in RANGES.items():
        value = _lookup(config, key)
        if not low <= value <= high:
            problems.append(f"{key}={value!r} is outside {low:g} to {high:g}")
    if 0 < config.frontend.sample_rate < _LOWEST_RATE:
        problems.append(
            f"frontend.sample_rate={config.frontend.sample_rate} must be 0 (as the recordings "
            f"are) or {_LOWEST_RATE} and more"
        )
    if config.frontend.stack < config.frontend.skip:
        problems.append("frontend.stack is below frontend.skip, so windows would be lost")
    if not config.data.speeds or any(not 0.5 <= speed <= 2 for speed in config.data.speeds):
        problems.append(f"data.speeds={config.data.speeds!r} must be factors of 0.5 to 2")
    if not config.model.get("name"):
        problems.append("model.name is missing")
    return problems + refusals(
        (duration, config.trainer.max_time), (figure_format, config.evaluation.plot_format)
    )


def _lookup(config: SpeechConfig, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError:
        raise ConfigError("no such configuration file", where=path) from None
    except Exception as error:  # PyYAML and OmegaConf raise a whole family here
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"cannot be read as YAML: {reason}", where=path) from error
    if not isinstance(loaded, dict):
        raise ConfigError("must be a mapping of keys to values", where=path)
    return {str(key): value for key, value in loaded.items()}


def _leaves(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
