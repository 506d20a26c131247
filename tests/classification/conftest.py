"""Data sets and trainings that the tests of classification share."""

import pytest
from tiny_classification import tiny_classifier, train, write_folders, write_steel

from faultline.models import MODELS
from faultline.models.registry import NETWORK_ONLY


@pytest.fixture(scope="session", autouse=True)
def _tiny_model():
    """Registered for these tests only: tests of every model must not find it."""
    MODELS.register("tiny_classifier", tags=["classification"])(tiny_classifier)
    MODELS.register("tiny_network", tags=[NETWORK_ONLY])(tiny_classifier)
    yield
    for name in ("tiny_classifier", "tiny_network"):
        del MODELS._entries[name]


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("folders"), {"bar": 24, "clean": 24, "spot": 24})


@pytest.fixture(scope="session")
def steel(tmp_path_factory):
    return write_steel(tmp_path_factory.mktemp("steel"), 90)


@pytest.fixture(scope="session")
def folder_run(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return train(folders, out, "trainer.max_epochs=15", "loss=cross_entropy")


@pytest.fixture(scope="session")
def steel_run(steel, tmp_path_factory):
    return train(steel, tmp_path_factory.mktemp("runs"), "trainer.max_epochs=12")
