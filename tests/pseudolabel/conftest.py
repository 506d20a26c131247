"""A data set of drawn leaves, a classifier trained on it, and labels made with it."""

import pytest
from leaf_samples import ColourSegmenter, write_leaves, write_segmenter
from tiny_classification import TINY, run, tiny_classifier

from faultline.models import MODELS


@pytest.fixture(scope="session", autouse=True)
def _models():
    """Registered for these tests only: tests of every model must not find them."""
    MODELS.register("leaf_classifier", tags=["classification"])(tiny_classifier)
    MODELS.register("leaf_segmenter")(ColourSegmenter)
    yield
    del MODELS._entries["leaf_classifier"], MODELS._entries["leaf_segmenter"]


@pytest.fixture(scope="session")
def leaves(tmp_path_factory):
    root = tmp_path_factory.mktemp("leaves")
    return write_leaves(root, {"train": 8, "val": 3, "test": 3})


@pytest.fixture(scope="session")
def classifier(leaves, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    words = [word for word in TINY if not word.startswith("model=")]
    words += ["model=leaf_classifier", "loss=cross_entropy", "trainer.max_epochs=8"]
    assert run("train", f"data={leaves}", f"output_dir={out}", *words) == 0
    return (out / "leaf_classifier" / "latest").resolve()


@pytest.fixture(scope="session")
def labels(leaves, classifier, tmp_path_factory):
    """Labels as the command makes them; tests that change them copy them first."""
    out = tmp_path_factory.mktemp("labels") / "masks"
    assert run("pseudolabel", "make", f"data={leaves}", "--weights", classifier,
               "--output", out) == 0  # fmt: skip
    return out


@pytest.fixture(scope="session")
def segmenter(tmp_path_factory):
    return write_segmenter(tmp_path_factory.mktemp("segmenter") / "best.safetensors")
