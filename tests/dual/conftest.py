"""Data sets and trainings that the tests of the dual-head network share."""

import pytest
from tiny_classification import run, write_steel
from tiny_dual import TINY, tiny_dual, write_masked_folders, write_pseudo_labelled

from faultline.models import MODELS


@pytest.fixture(scope="session", autouse=True)
def _tiny_model():
    """Registered for these tests only: tests of every model must not find them."""
    MODELS.register("tiny_dual", tags=["dual_head"])(tiny_dual)
    yield
    del MODELS._entries["tiny_dual"]


@pytest.fixture(scope="session")
def steel(tmp_path_factory):
    return write_steel(tmp_path_factory.mktemp("steel"), 40)


@pytest.fixture(scope="session")
def masked_folders(tmp_path_factory):
    return write_masked_folders(tmp_path_factory.mktemp("tiles"), 12)


@pytest.fixture(scope="session")
def pseudo_labelled(tmp_path_factory):
    """(pictures, pseudo-labels)."""
    root, folder = tmp_path_factory.mktemp("leaves"), tmp_path_factory.mktemp("pseudo")
    write_pseudo_labelled(root, folder, 12)
    return root, folder


@pytest.fixture(scope="session")
def steel_run(steel, tmp_path_factory):
    """A run of three phases by the command line."""
    out = tmp_path_factory.mktemp("runs")
    words = ("phases.a.epochs=6", "phases.b.epochs=6", "phases.c.epochs=2")
    assert run("train", f"data={steel}", f"output_dir={out}", *TINY, *words) == 0
    return (out / "tiny_dual" / "latest").resolve()
