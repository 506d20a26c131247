"""A file that turns out to be damaged while it is trained on, as one clear error."""

from __future__ import annotations

from faultline.errors import FaultlineError, ImageError, MaskError

_WRAPPED = "Caught "
_ALL_OF_THEM = (
    "or move it out of the data set (`faultline doctor data=FOLDER` decodes everything and names "
    "all such files at once)"
)


def loading_error(error: FaultlineError) -> FaultlineError:
    """`error` without what torch puts around it, and with what helps before the next attempt.

    An error in a loader's process arrives with that process's traceback in place of its text.
    """
    kind, text = type(error), str(error)
    wrapped = text.startswith(_WRAPPED)
    if wrapped:
        text = text.rpartition(f"{kind.__module__}.{kind.__qualname__}: ")[2].strip()
    if kind in (ImageError, MaskError):
        what, _, remedy = text.partition(" -> ")
        return kind(what, remedy=f"{remedy}, {_ALL_OF_THEM}" if remedy else _ALL_OF_THEM)
    return kind(text) if wrapped else error
