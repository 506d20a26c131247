"""Settings of a run: typed, composed from YAML groups and `key=value` words."""

from faultline.config.compose import (
    asked_threshold,
    document_config,
    from_yaml,
    load_config,
    to_dataclass,
    to_yaml,
)
from faultline.config.schema import Config

__all__ = [
    "Config",
    "asked_threshold",
    "document_config",
    "from_yaml",
    "load_config",
    "to_dataclass",
    "to_yaml",
]
