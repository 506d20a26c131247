"""Bundles of every task with known answers, and clients that ask a service about them."""

import io

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from leaf_samples import ColourSegmenter, write_segmenter
from PIL import Image
from tiny_classification import tiny_classifier
from tiny_dual import tiny_dual
from torch import nn

from faultline.artifacts.bundle import Bundle, load_bundle, save_bundle
from faultline.artifacts.contents import InputSpec, Normalisation, Threshold
from faultline.models import MODELS
from faultline.pseudolabel.channels import CHANNELS
from faultline.tasks import CLASSIFICATION, DUAL_HEAD, task_verb
from faultline.types import LabelKind, LabelSpace

PLAIN = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
NAMES = ("bar", "spot")


class Shades(nn.Module):
    """Logits of K classes from the mean of the channels: dark is the first, bright the last."""

    def __init__(self, num_classes: int = 1) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(20.0))
        self.levels = torch.linspace(0, 1, num_classes) if num_classes > 1 else torch.zeros(1)

    def forward(self, x):
        grey = x.mean(dim=1, keepdim=True)
        return self.gain * (0.25 - (grey - self.levels.view(1, -1, 1, 1)).abs())


@pytest.fixture(scope="session", autouse=True)
def _models():
    """Registered for these tests only: tests of every model must not find them."""
    own = {"shades": Shades, "serve_segmenter": ColourSegmenter,
           "serve_classifier": tiny_classifier, "serve_dual": tiny_dual}  # fmt: skip
    for name, model in own.items():
        MODELS.register(name)(model)
    yield
    for name in own:
        del MODELS._entries[name]


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    """Kind -> a bundle's file."""
    root = tmp_path_factory.mktemp("bundles")
    spaces = {
        "binary": LabelSpace(LabelKind.BINARY, ("crack",)),
        "multiclass": LabelSpace(LabelKind.MULTICLASS, ("sound", "grey", "bright")),
        "multilabel": LabelSpace(LabelKind.MULTILABEL, ("dark", "bright")),
    }
    made = {kind: _bundle("shades", {"num_classes": len(space.names)}, space)
            for kind, space in spaces.items()}  # fmt: skip
    whole = LabelSpace(LabelKind.MULTILABEL, NAMES)
    made["classes"] = _bundle("serve_classifier", {"num_classes": 2}, whole, CLASSIFICATION)
    made["dual"] = _bundle("serve_dual", {"num_classes": 2, "num_masks": 2}, whole, DUAL_HEAD,
                           extra={"classes": whole.to_dict()})  # fmt: skip
    made["dual_channels"] = _bundle("serve_dual", {"num_classes": 2, "num_masks": 5}, CHANNELS,
                                    DUAL_HEAD, extra={"classes": whole.to_dict()})  # fmt: skip
    paths = {kind: save_bundle(root / f"{kind}.safetensors", one) for kind, one in made.items()}
    paths["segmenter"] = write_segmenter(root / "segmenter.safetensors", "serve_segmenter")
    return paths


def _bundle(model, settings, space, task="segmentation", extra=None):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        state = MODELS.build(model, **settings).state_dict()
    size = {} if task == "segmentation" else {"height": 24, "width": 30}
    return Bundle(model, settings, space, state, normalisation=PLAIN, input=InputSpec(**size),
                  threshold=Threshold(0.4, "tuned", "validation", "iou", 0.7), task=task,
                  extra=extra or {})  # fmt: skip


@pytest.fixture
def client(bundles):
    """Makes a client of a service; `raise_server_exceptions` is off, as over a network."""
    from faultline.serving.command import open_gate
    from faultline.serving.options import ServeOptions
    from faultline.serving.service import create_app

    def make(weights, **options):
        asked = ServeOptions(bundles.get(weights, weights), device="cpu", precision="fp32",
                             **options)  # fmt: skip
        bundle = load_bundle(asked.weights)
        heads = task_verb(bundle.task, "serve")(bundle, asked)
        app = create_app(bundle, heads, open_gate(asked), asked.limits, asked.mm_per_px)
        return TestClient(app, raise_server_exceptions=False)

    return make


@pytest.fixture
def cracked():
    """Light grey with a black bar and a white one, 20 columns long."""
    image = np.full((40, 60, 3), 150, np.uint8)
    image[10:13, 20:40] = 0
    image[30:32, 5:25] = 255
    return image


@pytest.fixture
def png():
    """Pixels -> the bytes of a picture file."""

    def make(pixels, form="PNG", **options):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, form, **options)
        return stream.getvalue()

    return make
