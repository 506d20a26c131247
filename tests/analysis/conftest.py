"""Drawn data sets and trainings of seconds that the tests of the analysis share."""

import pytest
from analysis_samples import learn
from tiny_classification import tiny_classifier, write_folders, write_steel

from faultline.models import MODELS


@pytest.fixture(scope="session", autouse=True)
def _models():
    """Registered for these tests only: tests of every model must not find it."""
    MODELS.register("analysed_classifier", tags=["classification"])(tiny_classifier)
    yield
    del MODELS._entries["analysed_classifier"]


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("folders"), {"bar": 14, "clean": 14, "spot": 14})


@pytest.fixture(scope="session")
def runs(folders, tmp_path_factory):
    """Three runs on one split: two of the same settings but for the seed, one hardly trained."""
    out, words = tmp_path_factory.mktemp("runs"), ["loss=cross_entropy", "data.split_seed=0"]
    return [
        learn(folders, out, "one", *words, "trainer.max_epochs=8"),
        learn(folders, out, "other", *words, "trainer.max_epochs=8", "seed=1"),
        learn(folders, out, "young", *words, "trainer.max_epochs=1", "seed=2"),
    ]


@pytest.fixture(scope="session")
def steel(tmp_path_factory):
    return write_steel(tmp_path_factory.mktemp("steel"), 40)


@pytest.fixture(scope="session")
def steel_runs(steel, tmp_path_factory):
    out, words = tmp_path_factory.mktemp("runs"), ["trainer.max_epochs=4", "data.split_seed=0"]
    return [learn(steel, out, "first", *words), learn(steel, out, "second", *words, "seed=1")]
