"""Grad-CAM: heat where the evidence is, for any layout of a layer's output."""

import builtins
import sys

import numpy as np
import pytest
import torch
from tiny_classification import picture, run
from torch import nn

from faultline.artifacts.bundle import load_bundle
from faultline.errors import MissingExtraError
from faultline.evaluation.classification import gradcam
from faultline.evaluation.classification.gradcam import GradCam, overlay_heat
from faultline.predict.class_predictor import ClassPredictor

captum = pytest.importorskip("captum.attr")


@pytest.fixture(scope="module")
def predictor(steel_run):
    return ClassPredictor(load_bundle(steel_run), "cpu", "fp32")


def test_it_is_the_formula_of_the_paper(predictor):
    """Selvaraju et al. 2017, eqs. 1 and 2, by hand on the last convolution."""
    fitted = predictor.fit(picture(np.random.default_rng(3), spot=True)[0])
    heat = GradCam(predictor).heat(fitted, 1)
    pixels = torch.from_numpy(fitted).permute(2, 0, 1)[None]
    x = predictor.bundle.normalisation.apply(pixels)
    layers = list(predictor.model)
    activation = nn.Sequential(*layers[:3])(x).detach().requires_grad_()
    nn.Sequential(*layers[3:])(activation)[0, 1].backward()
    weights = activation.grad.mean((2, 3), keepdim=True)
    expected = (weights * activation).sum(1).clamp_min(0)[0].detach().numpy()
    import cv2

    large = cv2.resize(expected, heat.shape[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(heat, large / large.max(), atol=1e-5)


def test_heat_lies_on_the_defect(predictor):
    rng = np.random.default_rng(1)
    inside, outside = [], []
    for _ in range(8):
        image, mask = picture(rng, spot=True, size=(24, 24))
        heat = GradCam(predictor).heat(predictor.fit(image), 1)
        assert heat.shape == (24, 24)
        inside.append(heat[mask[1] == 1].mean())
        outside.append(heat[mask[1] == 0].mean())
    assert np.mean(inside) > 2 * np.mean(outside)


def test_the_network_is_left_as_it_was(predictor):
    image = predictor.fit(picture(np.random.default_rng(0))[0])
    before = predictor.predict(image).probability
    GradCam(predictor).heat(image, 0)
    np.testing.assert_array_equal(predictor.predict(image).probability, before)
    assert not any(module._forward_hooks for module in predictor.model.modules())


class _Tokens(nn.Module):
    """A class token and 6 x 6 patches; the layer's output is (B, 37, D), as in a transformer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 2)
        self.backbone = self

    def evidence(self):
        return self.norm, lambda out, size: out[:, 1:].transpose(1, 2).unflatten(2, (6, 6))

    def padded_size(self, height, width):
        return height, width

    def forward(self, x):
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = self.norm(torch.cat([tokens.mean(1, keepdim=True), tokens], 1))
        return self.head(tokens[:, 1:].pow(2).mean(1))


def test_tokens_become_a_map(predictor, monkeypatch):
    model = _Tokens()
    monkeypatch.setattr(predictor, "model", model)
    fitted = predictor.fit(picture(np.random.default_rng(3), spot=True)[0])
    heat = GradCam(predictor).heat(fitted, 1)
    kept = {}
    model.norm.register_forward_hook(lambda m, i, out: kept.update(out=out))
    x = predictor.bundle.normalisation.apply(torch.from_numpy(fitted).permute(2, 0, 1)[None])
    logit = model(x.requires_grad_())[0, 1]
    gradient = torch.autograd.grad(logit, kept["out"])[0][0, 1:]
    small = (gradient.mean(0) * kept["out"][0, 1:]).sum(1).clamp_min(0).detach().view(6, 6).numpy()
    import cv2

    large = cv2.resize(small, (24, 24), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(heat, large / max(large.max(), 1e-12), atol=1e-4)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("conv_next", "csp_darknet")]


@pytest.mark.parametrize("name", ["swin", "deit", *SLOW])
def test_backbones_of_every_layout_are_explained(name, steel_run, monkeypatch):
    pytest.importorskip("timm")
    from faultline.models import create_model

    torch.manual_seed(0)
    predictor = ClassPredictor(load_bundle(steel_run), "cpu", "fp32")
    monkeypatch.setattr(predictor, "model", create_model(name, num_classes=2).eval())
    fitted = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    heat = GradCam(predictor).heat(fitted, 0)
    assert heat.shape == (64, 64)
    assert np.isfinite(heat).all()
    assert 0 <= heat.min() <= heat.max() <= 1


def test_overlay_leaves_cold_places_grey():
    image = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    heat = np.zeros((8, 8), np.float32)
    heat[2, 3] = 1
    drawn = overlay_heat(image, heat)
    cold = drawn[heat == 0]
    assert (cold[:, 0] == cold[:, 1]).all()
    assert len(set(drawn[2, 3].tolist())) > 1


def test_without_captum_the_report_says_so_in_one_line(steel_run, tmp_path, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.split(".")[0] == "captum"]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def missing(name, *rest, **named):
        if name.split(".")[0] == "captum":
            raise ModuleNotFoundError("No module named 'captum'", name="captum")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(MissingExtraError, match=r"pip install .\.\[explain\]"):
        gradcam.GradCam(None)
    assert run("evaluate", "--weights", steel_run, "--save", tmp_path) == 0
    assert "pip install '.[explain]'" in capsys.readouterr().out
    assert "no Grad-CAM" in (tmp_path / "report.html").read_text()
