"""The error tree: every failure a user can cause or fix is one of these.

Each error carries what happened, where, and what to do, so that one line is enough to act on.
"""

from __future__ import annotations

from pathlib import Path


class FaultlineError(Exception):
    """Base of every error that Faultline raises on purpose.

    Args:
        what: What went wrong, with the offending value and the rule it broke.
        where: The file, key or tensor concerned.
        remedy: What the user can do about it.
    """

    def __init__(
        self, what: str, *, where: str | Path | None = None, remedy: str | None = None
    ) -> None:
        self.what = what
        self.where = str(where) if where is not None else None
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} -> {self.remedy}" if self.remedy else text


class ConfigError(FaultlineError):
    """A setting is unknown, of the wrong type or out of range."""


class UnknownNameError(ConfigError):
    """A registry does not hold the name that was asked for."""


class MissingExtraError(FaultlineError):
    """A feature needs an optional dependency that is not installed."""


class DataError(FaultlineError):
    """A data set, annotation file, picture or mask cannot be used."""


class ImageError(DataError):
    """A picture cannot be decoded."""


class ImageTypeError(ImageError):
    """A file is no picture, or of a kind whose value range is not known."""


class ImageSizeError(ImageError):
    """A picture has more pixels than are taken."""


class MaskError(DataError):
    """A mask does not fit its picture or any known value rule."""


class LeakageError(FaultlineError):
    """Something would be scored or selected on items that it has already seen."""


class BundleError(FaultlineError):
    """A weights file is not a bundle, or belongs to something else."""


class ContractError(FaultlineError):
    """A tensor breaks the contract of the function it was given to."""


class TrainingError(FaultlineError):
    """Training cannot go on."""


class OutputError(FaultlineError):
    """A result cannot be written."""
