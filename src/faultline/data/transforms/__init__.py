"""Joint augmentations of picture and mask, by name and setting, on torchvision's transforms v2.

Each registered builder returns a transform that takes `(Image, Mask)` pairs of `tv_tensors`, so
geometry moves both and colour touches the picture only; masks are always resampled with nearest
neighbour. What a transform uncovers becomes *ignore* in the mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torchvision.transforms import v2

from faultline.data.transforms.registry import AUGMENTATIONS
from faultline.errors import ConfigError

from faultline.data.transforms import colour, geometry  # noqa: F401  isort: skip  (they register)

__all__ = ["AUGMENTATIONS", "build_augmentation"]


def build_augmentation(settings: Mapping[str, Mapping[str, Any] | None]) -> nn.Module:
    """Compose the named augmentations in the order given.

    Args:
        settings: Augmentation name -> its settings; None leaves it out.

    Raises:
        UnknownNameError: No such augmentation.
        ConfigError: An augmentation has no such setting, or cannot have this value of it.
    """
    for name in settings:
        AUGMENTATIONS.get(name)  # also of those left out: a slip would leave them in
    used = {name: values for name, values in settings.items() if values is not None}
    parts = [_built(name, values) for name, values in used.items()]
    return v2.Compose(parts) if parts else v2.Identity()


def _built(name: str, values: Mapping[str, Any]) -> nn.Module:
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{values!r} is not a table of settings",
            where=f"augment.{name}",
            remedy=f"write augment.{name}={{}}, single settings like augment.{name}.p=0.3, or null",
        )
    entry = AUGMENTATIONS.check(name, values)
    defaults = {key: parameter.default for key, parameter in entry.settings().items()}
    for key, value in values.items():
        if not _is_like(value, defaults.get(key)):
            raise ConfigError(
                f"{value!r} cannot stand in place of {_plain(defaults[key])!r}",
                where=f"augment.{name}.{key}",
            )
    try:
        return entry.builder(**values)
    except ConfigError:
        raise
    except Exception as error:  # torchvision and plugins refuse values with what they like
        raise ConfigError(
            f"{dict(values)!r} is refused: {str(error).splitlines()[0] if str(error) else error!r}",
            where=f"augment.{name}",
            remedy="`faultline list augmentations` shows its settings",
        ) from error


def _is_like(value: Any, default: Any) -> bool:
    """Whether `value` is a number, or as many numbers, where the default is."""
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, int | float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, tuple) and all(isinstance(one, int | float) for one in default):
        listed = isinstance(value, list | tuple) and len(value) == len(default)
        return listed and all(map(_is_like, value, default))
    return True


def _plain(default: Any) -> Any:
    return list(default) if isinstance(default, tuple) else default
