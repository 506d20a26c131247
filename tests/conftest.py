"""Data that many tests share, and one thread each: small tensors only lose time to more."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from line_samples import write_coco
from prompt_samples import prompt_data, prompt_run, prompt_words  # noqa: F401  (fixtures)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """The real data sets, where they are."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data sets are not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def line_data(tmp_path_factory):
    """A COCO data set of drawn lines with train, valid and test."""
    root = tmp_path_factory.mktemp("lines")
    for seed, (split, count) in enumerate({"train": 12, "valid": 4, "test": 4}.items()):
        write_coco(root / split, count, seed)
    return root


@pytest.fixture
def coco_writer():
    """`write_coco`, for tests that need a data set of their own."""
    return write_coco
