"""Optional dependencies: one import function, one error that names the extra to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from faultline.errors import MissingExtraError


def import_extra(module: str, extra: str) -> ModuleType:
    """Import `module`, which the optional dependency group `extra` brings.

    Args:
        module: Dotted name, as in an import statement.
        extra: Name of the group, as in `pip install '.[extra]'` in Faultline's folder.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"needs the package {error.name or module!r}, which is not installed",
            remedy=f"run pip install '.[{extra}]' in Faultline's folder",
        ) from error
