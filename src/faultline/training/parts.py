"""Whether the parts that settings name exist and take these settings; no data are read.

What only the data decide, such as a loss for this relation of classes, is found when the parts of
a training are built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from faultline.config.schema import Config
from faultline.data.importers import IMPORTERS
from faultline.data.transforms import build_augmentation
from faultline.errors import ConfigError
from faultline.losses import LOSSES
from faultline.models import MODELS
from faultline.registry import Registry


def part_faults(config: Config) -> list[str]:
    """What is wrong with model, loss, augmentations and data formats, each with its setting."""
    problems = []
    for key, check in _checks(config):
        try:
            check()
        except ConfigError as error:
            problems.append(str(error) if error.where else f"{key}: {error}")
    return problems


def _checks(config: Config) -> Iterator[tuple[str, Callable[[], object]]]:
    yield "model", partial(_check_section, MODELS, config.model)
    yield "loss", partial(_check_section, LOSSES, config.loss)
    for name, values in config.augment.items():
        yield f"augment.{name}", partial(build_augmentation, {name: values})
    for key in ("format", "test_format"):
        name = getattr(config.data, key)
        if name != "auto":
            yield f"data.{key}", partial(IMPORTERS.get, name)


def _check_section(registry: Registry[Any], section: Mapping[str, Any]) -> None:
    name = section.get("name")
    if isinstance(name, str):  # the rules of the configuration tell of a missing name
        registry.check(name, [key for key in section if key != "name"])
