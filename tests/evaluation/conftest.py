from __future__ import annotations

from collections.abc import Iterator

import pytest
from evaluation_samples import DarkPixels

from faultline.models.registry import MODELS


@pytest.fixture(autouse=True, scope="module")
def _dark_model() -> Iterator[None]:
    # Copies, so that the name is gone after the tests of a file.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODELS, "_entries", dict(MODELS._entries))
        patch.setattr(MODELS, "_aliases", dict(MODELS._aliases))
        MODELS.register("test_dark_pixels")(DarkPixels)
        yield
