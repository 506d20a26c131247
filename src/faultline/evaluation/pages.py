"""HTML pages from the templates of this package, complete in one file."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


@lru_cache(maxsize=1)
def _environment() -> Environment:
    # Strict: a name that the template expects and the page lacks is an error, never a blank.
    return Environment(
        loader=PackageLoader("faultline.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: Any) -> str:
    """The page `template` filled with `values`; every value is escaped."""
    return _environment().get_template(template).render(**values)
