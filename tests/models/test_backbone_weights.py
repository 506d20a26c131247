"""Pretrained weights: from a file, from their publisher, or one clear line."""

import time
import urllib.error
import urllib.request

import pytest
import torch
from safetensors.torch import save_file

from faultline.errors import ConfigError, MissingExtraError
from faultline.models.backbones import create_backbone
from faultline.models.backbones.any_timm import timm_backbone
from faultline.models.backbones.hub import reachable

timm = pytest.importorskip("timm")

NANO = "conv_next"  # convnext_atto, as timm has it
PICTURE = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def unreachable(monkeypatch):
    """No connection: every fetch fails at once."""

    def fail(*given, **settings):
        raise OSError("no route to the hub\nwhatever else is said")

    import timm.models._builder as builder

    monkeypatch.setattr("faultline.models.backbones.hub.reachable", lambda address: True)
    monkeypatch.setattr(builder, "load_state_dict_from_hf", fail)
    monkeypatch.setattr(builder, "load_state_dict_from_url", fail)


@pytest.fixture
def published(monkeypatch):
    """What the hub would give for convnext_atto: a network with its classifier."""
    torch.manual_seed(3)
    state = timm.create_model("convnext_atto").state_dict()

    import timm.models._builder as builder

    monkeypatch.setattr("faultline.models.backbones.hub.reachable", lambda address: True)
    monkeypatch.setattr(builder, "load_state_dict_from_hf", lambda *a, **k: dict(state))
    return state


def test_published_weights_are_loaded_when_asked_for(published):
    backbone = create_backbone(NANO, pretrained=True)
    key = "stages.0.blocks.0.conv_dw.weight"
    assert torch.equal(backbone.model.state_dict()[key], published[key])
    assert backbone.weights == "published weights of convnext_atto"


def test_published_weights_are_fitted_to_other_channels(published):
    backbone = create_backbone(NANO, pretrained=True, in_channels=1)
    torch.testing.assert_close(
        backbone.model.stem[0].weight, published["stem.0.weight"].sum(1, keepdim=True)
    )


def test_attention_comes_after_the_weights(published):
    backbone = create_backbone(NANO, pretrained=True, cbam="both")
    key = "stages.3.blocks.0.conv_dw.weight"
    assert torch.equal(backbone.model.stages[3][0].blocks[0].conv_dw.weight, published[key])


def test_unreachable_weights_are_one_clear_line(unreachable):
    with pytest.raises(ConfigError) as caught:
        create_backbone(NANO, pretrained=True)
    text = str(caught.value)
    assert "\n" not in text
    assert "convnext_atto cannot be loaded: OSError: no route to the hub" in text
    assert "model.pretrained=/path/model.safetensors" in text


def test_a_hub_out_of_reach_is_given_up_at_once(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    start = time.monotonic()
    with pytest.raises(ConfigError, match="convnext_atto cannot be loaded"):
        create_backbone(NANO, pretrained=True)
    assert time.monotonic() - start < 20  # the hub's client alone takes a minute
    assert constants.HF_HUB_OFFLINE is False


def test_an_answer_of_any_kind_means_reachable(monkeypatch):
    def refuse(*given, **settings):
        raise urllib.error.HTTPError("http://hub", 403, "no", None, None)

    assert not reachable("http://127.0.0.1:9")
    assert not reachable("no address")
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    assert reachable("http://hub")


def test_if_available_goes_on_with_random_weights(unreachable):
    torch.manual_seed(0)
    backbone = create_backbone(NANO, pretrained="if_available")
    assert backbone.weights.startswith("random: the published weights of convnext_atto cannot be")
    with torch.no_grad():
        assert backbone.eval().embed(PICTURE).isfinite().all()


@pytest.mark.parametrize("name", ["csp_darknet", "inception_v4"])
def test_sizes_without_published_weights_say_so(name):
    with pytest.raises(ConfigError, match=r"nobody has published.*size=full"):
        create_backbone(name, pretrained=True)
    assert create_backbone(name, pretrained="if_available").weights.startswith("random: nobody")


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_file_of_timm_weights_is_loaded(tmp_path, suffix):
    torch.manual_seed(3)
    state = timm.create_model("convnext_atto").state_dict()
    file = tmp_path / f"weights.{suffix}"
    save_file(state, file) if suffix == "safetensors" else torch.save(state, file)
    backbone = create_backbone(NANO, pretrained=str(file))
    assert backbone.weights == f"file weights.{suffix}"
    key = "stages.2.blocks.1.mlp.fc1.weight"
    assert torch.equal(backbone.model.state_dict()[key], state[key])


@pytest.mark.parametrize("name", ["inception_v4", "csp_darknet", "deit"])
def test_a_file_of_own_weights_is_loaded(tmp_path, name):
    torch.manual_seed(3)
    trained = create_backbone(name, features=False).eval()
    file = tmp_path / "own.safetensors"
    save_file({key: value.contiguous() for key, value in trained.model.state_dict().items()}, file)
    backbone = create_backbone(name, pretrained=str(file), features=False).eval()
    with torch.no_grad():
        assert torch.equal(backbone.embed(PICTURE), trained.embed(PICTURE))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"neither true, false, if_available nor a weights file"):
        create_backbone(NANO, pretrained=str(tmp_path / "none.safetensors"))
    with pytest.raises(ConfigError, match="neither true"):
        create_backbone("inception_v4", pretrained="if_availabel")


@pytest.mark.parametrize("name", [NANO, "inception_v4"])
@pytest.mark.parametrize("content", ["damaged", "foreign"])
def test_a_file_that_does_not_fit_is_one_clear_line(tmp_path, name, content):
    file = tmp_path / "weights.safetensors"
    if content == "damaged":
        file.write_bytes(b"not weights at all")
    else:
        save_file({"some.weight": torch.zeros(3)}, file)
    with pytest.raises(ConfigError, match="do not fit the backbone") as caught:
        create_backbone(name, pretrained=str(file))
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_timm_that_is_not_installed_is_one_line_with_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"pip install .\.\[backbones\]"):
        create_backbone(NANO)
    with pytest.raises(MissingExtraError, match=r"pip install .\.\[backbones\]"):
        timm_backbone("resnet18")


def test_models_are_imported_without_timm():
    import subprocess
    import sys

    code = "import sys, faultline.models; print('timm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
