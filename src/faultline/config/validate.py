"""Rules that types cannot say: ranges, choices and durations, all reported at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from operator import attrgetter
from typing import Any

from faultline.config.data_rules import picture_size, splitting_faults
from faultline.config.paths import expand_home
from faultline.config.schema import Config
from faultline.errors import ConfigError
from faultline.registry import did_you_mean
from faultline.tasks import AUTO, TASKS
from faultline.types import check_threshold

CHOICES: dict[str, tuple[str, ...]] = {
    "data.validation": ("auto", "split", "train"),
    "data.kind": ("auto", "binary", "multiclass", "multilabel"),
    "data.group_by": ("name", "near_duplicates"),
    "data.on_error": ("skip", "raise"),
    "data.cache": ("ram", "disk", "none"),
    "data.sampler": ("uniform", "weighted", "class_aware"),
    "tiers.tier": ("auto", "LIGHT", "MEDIUM", "HIGH", "HEAVY"),
    "prompts.criterion": ("iou", "dice", "percentile"),
    "optimizer.name": ("adamw", "sgd"),
    "scheduler.name": ("cosine", "plateau", "none"),
    "trainer.precision": ("auto", "fp32", "bf16", "fp16"),
    "trainer.accelerator": ("auto", "cpu", "gpu"),
    "trainer.guard_action": ("warn", "stop"),
}
RANGES: dict[str, tuple[float, float]] = {
    "data.valid_fraction": (0.01, 0.9),
    "data.test_fraction": (0.0, 0.9),
    "data.crop": (0, 16384),
    "data.resize": (0, 65536),
    "data.duplicate_distance": (0.0, 1.0),
    "data.folds": (0, 1000),
    "data.fold": (0, 999),
    "data.min_pixels": (1, 1e9),
    "data.foreground_share": (0.0, 1.0),
    "data.crops_per_image": (0, 10_000),
    "data.batch_size": (0, 65536),
    "data.num_workers": (-1, 256),
    "data.cache_gib": (0.0, 65536.0),
    "prompts.per_picture": (1, 64),
    "prompts.absent_share": (0.0, 1.0),
    "prompts.unknown_share": (0.0, 1.0),
    "prompts.absence_weight": (0.0, 1e6),
    "prompts.text_weight": (0.0, 1e6),
    "prompts.percentile": (0.001, 99.999),
    "prompts.max_false_rate": (0.0, 1.0),
    "optimizer.lr": (1e-12, 100.0),
    "optimizer.weight_decay": (0.0, 10.0),
    "optimizer.momentum": (0.0, 1.0),
    "scheduler.warmup_steps": (0, 1e9),
    "scheduler.min_factor": (0.0, 1.0),
    "scheduler.patience": (0, 1e6),
    "scheduler.factor": (1e-6, 0.999),
    "trainer.max_epochs": (-1, 1e9),
    "trainer.max_steps": (-1, 1e12),
    "trainer.devices": (1, 4096),
    "trainer.accumulate": (0, 65536),
    "trainer.gradient_clip": (0.0, 1e9),
    "trainer.early_stopping_patience": (0, 1e6),
    "trainer.ema": (0.0, 0.999999),
    "trainer.keep_best": (1, 10_000),
    "trainer.checkpoint_every_steps": (0, 1e9),
    "trainer.validate_every": (1, 1e6),
    "trainer.guard_epochs": (0, 1e6),
    "evaluation.radius": (0.0, 100.0),
    "evaluation.tau": (0, 100),
    "evaluation.examples": (0, 1000),
    "evaluation.min_positives": (1, 1e6),
    "evaluation.dpi": (10, 2400),
    "phases.confidence": (0.0, 1.0),
    "phases.tier_a": (0.0, 1e6),
    "phases.tier_b": (0.0, 1e6),
    "phases.max_drop": (0.0, 1.0),
    "phases.min_iou": (0.0, 1.0),
    "tiers.effective_batch": (1, 65536),
    **{
        f"phases.{name}.{key}": bounds
        for name in ("a", "b", "c")
        for key, bounds in {
            "epochs": (0.0, 1e9),
            "patience": (0.0, 1e6),
            "lr_backbone": (0.0, 100.0),
            "lr_masks": (0.0, 100.0),
            "lr_classes": (0.0, 100.0),
            "loss_masks": (0.0, 1e6),
            "loss_classes": (0.0, 1e6),
            "warmup_steps": (0.0, 1e9),
            "hard_examples": (0.0, 1e6),
            "object_weight": (0.0, 1.0),
        }.items()
    },
    **{
        f"tiers.{name}.{key}": (low, 65536)
        for name in ("light", "medium", "high", "heavy")
        for key, low in {"batch": 1, "decoder_channels": 2, "skip_channels": 1}.items()
    },
}
LARGEST_SEED = 2**32 - 1
"""What NumPy's older generators take."""

_SPELLINGS = {
    "reducelronplateau": "plateau",
    "cosineannealing": "cosine",
    "cosine_warmup": "cosine",
    "adam_w": "adamw",
}
_USUAL_FORMATS = ("png", "svg", "pdf", "jpg", "jpeg", "tif", "tiff", "eps", "webp")
_DURATION = re.compile(
    "".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in ("d", "h", "m(?:in)?", "s"))
)


def validate(config: Config) -> Config:
    """Normalise spellings and check every rule.

    Raises:
        ConfigError: All broken rules in one message.
    """
    if problems := broken_rules(config):
        raise ConfigError("; ".join(problems))
    return config


def broken_rules(config: Config) -> list[str]:
    """Normalise spellings and paths; what is broken of the rules, one sentence each."""
    expand_home(config)
    if "type" in config.loss:  # the spelling of the classification document
        config.loss["name"] = config.loss.pop("type")
    for section in (config.optimizer, config.scheduler):
        section.name = _SPELLINGS.get(section.name.lower(), section.name.lower())
    problems = [*_choices(config), *_ranges(config), *_names(config), *_task(config)]
    problems += [*_seeds(config), *splitting_faults(config.data)]
    problems += refusals(
        (picture_size, config.data.image_size),
        (duration, config.trainer.max_time),
        (figure_format, config.evaluation.plot_format),
    )
    try:
        config.threshold = threshold_setting(config.threshold)
    except ConfigError as error:
        problems.append(str(error))
    return problems


def refusals(*rules: tuple[Callable[[Any], object], Any]) -> list[str]:
    """What each check says of its value, where it raises ConfigError."""
    said = []
    for check, value in rules:
        try:
            check(value)
        except ConfigError as error:
            said.append(str(error))
    return said


def threshold_setting(value: Any) -> str | float:
    """`auto`, or a number strictly between 0 and 1.

    Raises:
        ConfigError: Anything else.
    """
    if isinstance(value, str) and value.casefold() == "auto":
        return "auto"
    try:
        return check_threshold(float(value))
    except (TypeError, ValueError, ConfigError):
        raise ConfigError(
            f"threshold={value!r} must be `auto` or a number between 0 and 1, both excluded"
        ) from None


def figure_format(name: str) -> str:
    """A format's name as Matplotlib knows it ("PNG", ".png" -> "png").

    Raises:
        ConfigError: Matplotlib cannot write it.
    """
    plain = name.lower().lstrip(".")
    if plain in _USUAL_FORMATS:
        return plain
    # Slow to import, and needed for what is rare or wrong only.
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    known = FigureCanvasAgg.get_supported_filetypes()
    if plain not in known:
        raise ConfigError(
            f"evaluation.plot_format={name!r} is not one of {', '.join(sorted(known))}"
            f"{did_you_mean(plain, known)}"
        )
    return plain


def duration(text: str | None) -> timedelta | None:
    """`15m`, `1h30m`, `90s`, plain seconds, or `DD:HH:MM:SS`, as a time span.

    Raises:
        ConfigError: Anything else, or no time at all.
    """
    if text is None:
        return None
    seconds = _seconds(str(text).strip())
    if seconds is None or seconds <= 0:
        raise ConfigError(f"trainer.max_time={text!r}: write 15m, 1h30m, 90s or DD:HH:MM:SS")
    return timedelta(seconds=seconds)


def _seconds(text: str) -> float | None:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if re.fullmatch(r"\d+:\d+:\d+:\d+", text):
        days, hours, minutes, seconds = (int(part) for part in text.split(":"))
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        return None
    units = (86400, 3600, 60, 1)
    return sum(float(part or 0) * unit for part, unit in zip(match.groups(), units, strict=True))


def _lookup(config: Config, key: str) -> Any:
    return attrgetter(key)(config)


def _choices(config: Config) -> list[str]:
    problems = []
    for key, allowed in CHOICES.items():
        value = _lookup(config, key)
        if value not in allowed:
            hint = did_you_mean(str(value), allowed)
            problems.append(f"{key}={value!r} is not one of {', '.join(allowed)}{hint}")
    return problems


def _task(config: Config) -> list[str]:
    allowed = (AUTO, *TASKS.names())
    if config.task in allowed:
        return []
    hint = did_you_mean(str(config.task), allowed)
    return [f"task={config.task!r} is not one of {', '.join(allowed)}{hint}"]


def _ranges(config: Config) -> list[str]:
    problems = []
    for key, (low, high) in RANGES.items():
        value = _lookup(config, key)
        if not low <= value <= high:
            problems.append(f"{key}={value!r} is outside {low:g} to {high:g}")
    return problems


def _seeds(config: Config) -> list[str]:
    """Seeds that some random source does not take."""
    seeds = {"seed": config.seed, "data.split_seed": config.data.split_seed}
    return [
        f"{key}={seed} is outside 0 to {LARGEST_SEED}"
        for key, seed in seeds.items()
        if seed is not None and not 0 <= seed <= LARGEST_SEED
    ]


def _names(config: Config) -> list[str]:
    problems = []
    for key in ("model", "loss"):
        name = getattr(config, key).get("name")
        if not name:
            problems.append(f"{key}.name is missing")
        elif not isinstance(name, str):
            problems.append(f"{key}.name={name!r} must be one name, such as {key}=NAME")
    return problems
