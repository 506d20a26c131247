from __future__ import annotations

import dataclasses
import errno
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from faultline.artifacts.bundle import FORMAT_VERSION, Bundle, load_bundle, save_bundle
from faultline.artifacts.contents import InputSpec, Normalisation, Threshold
from faultline.errors import BundleError, ConfigError, OutputError
from faultline.models import create_model
from faultline.types import LabelKind, LabelSpace


def rewrite(path: Path, **changes: str) -> None:
    """Change metadata of a bundle and leave its tensors."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    path.write_bytes(safetensors.torch.save(safetensors.torch.load(data), {**metadata, **changes}))


def refused(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(path)
    assert str(path) in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


def test_round_trip_keeps_everything_and_every_output(
    bundle: Bundle, model: nn.Module, tmp_path: Path
) -> None:
    path = save_bundle(tmp_path / "best.safetensors", bundle)
    loaded = load_bundle(path)
    for name in ("model_name", "model_settings", "label_space", "normalisation", "input"):
        assert getattr(loaded, name) == getattr(bundle, name)
    for name in ("threshold", "provenance", "seen", "groups", "fingerprint"):
        assert getattr(loaded, name) == getattr(bundle, name)
    assert loaded.format_version == FORMAT_VERSION
    assert loaded.source == path
    assert loaded.metrics["iou"] == 0.61
    assert np.isnan(loaded.metrics["nan"])
    x = torch.linspace(-1, 1, 3 * 9 * 7).reshape(1, 3, 9, 7)
    rebuilt = loaded.build_model()
    assert not rebuilt.training
    with torch.no_grad():
        assert torch.equal(rebuilt(x), model(x))


@pytest.mark.parametrize("name", ["scratch_ed", "scratch_ed_plus", "unet_mini"])
def test_round_trip_of_real_models(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = {"base_channels": 4}
    network = create_model(name, **settings).eval().to(memory_format=torch.channels_last)
    space = LabelSpace(LabelKind.BINARY, ("crack",))
    path = save_bundle(
        tmp_path / "m.safetensors", Bundle(name, settings, space, network.state_dict())
    )
    x = torch.rand(1, 3, 33, 47)
    with torch.no_grad():
        assert torch.allclose(load_bundle(path).build_model()(x), network(x), atol=1e-5)


def test_tied_empty_and_half_tensors_are_saved(bundle: Bundle, tmp_path: Path) -> None:
    weight = torch.rand(4, 3)
    state = {
        "a": weight,
        "b": weight,
        "transposed": weight.t(),
        "empty": torch.zeros(0, 2),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "flags": torch.tensor([True, False]),
        "scalar": torch.tensor(3),
    }
    path = save_bundle(tmp_path / "m.safetensors", dataclasses.replace(bundle, state=state))
    loaded = load_bundle(path).state
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    assert all(loaded[name].dtype == tensor.dtype for name, tensor in state.items())


def test_metrics_of_numpy_and_torch_become_plain_numbers(bundle: Bundle, tmp_path: Path) -> None:
    metrics = {"a": np.float32(0.5), "b": torch.tensor(2), "c": np.arange(3), "d": tmp_path}
    path = save_bundle(tmp_path / "m.safetensors", dataclasses.replace(bundle, metrics=metrics))
    assert load_bundle(path).metrics == {"a": 0.5, "b": 2, "c": [0, 1, 2], "d": str(tmp_path)}


def test_fingerprint_follows_what_shapes_a_probability_only(bundle: Bundle) -> None:
    same = dataclasses.replace(bundle, threshold=Threshold(0.9), metrics={}, seen={}, provenance={})
    assert same.fingerprint == bundle.fingerprint
    assert len(bundle.fingerprint) == 64
    state = {**bundle.state, "head.bias": bundle.state["head.bias"] + 1}
    others = [
        dataclasses.replace(bundle, state=state),
        dataclasses.replace(bundle, normalisation=Normalisation()),
        dataclasses.replace(bundle, input=InputSpec(size=64)),
        dataclasses.replace(bundle, model_settings={"width": 5, "num_classes": 1}),
    ]
    assert len({bundle.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_building_leaves_the_random_state(bundle: Bundle) -> None:
    before = torch.get_rng_state()
    bundle.build_model()
    assert torch.equal(before, torch.get_rng_state())


def test_loads_from_run_folder_latest_link_and_latest_text(bundle: Bundle, tmp_path: Path) -> None:
    run = tmp_path / "exp" / "r1"
    save_bundle(run / "checkpoints" / "best.safetensors", bundle)
    (tmp_path / "exp" / "latest").symlink_to("r1")
    other = tmp_path / "text"
    save_bundle(other / "r2" / "best.safetensors", bundle)
    (other / "latest").write_text("r2\n")
    places = [run, run.parent, run.parent / "latest", other, other / "latest"]
    places.append(other / "latest" / "best.safetensors")
    for place in places:
        assert load_bundle(place).fingerprint == bundle.fingerprint


def test_absent(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nothing.safetensors")
    (tmp_path / "checkpoints").mkdir()
    message = refused(tmp_path)
    assert "holds no best.safetensors" in message
    (tmp_path / "checkpoints" / "epoch3.safetensors").write_bytes(b"x")
    assert "epoch3.safetensors" in refused(tmp_path)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, ("exploded",))


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_pickles_are_refused_unopened_whatever_their_name(
    protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "best.safetensors"
    path.write_bytes(pickle.dumps({"state": Bomb()}, protocol=protocol))
    assert "pickles can run code" in refused(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_checkpoints_are_refused(zipped: bool, model: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "best.pth"
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=zipped)
    message = refused(path)
    assert "pickles can run code" in message
    assert "best.safetensors" in message
    path.write_bytes(path.read_bytes()[:900])  # cut off: still told for what it is
    assert "pickles can run code" in refused(path)


def test_a_good_bundle_under_a_pickle_name_loads(bundle: Bundle, tmp_path: Path) -> None:
    path = save_bundle(tmp_path / "m.safetensors", bundle).rename(tmp_path / "m.pth")
    assert load_bundle(path).fingerprint == bundle.fingerprint


def test_files_that_are_no_bundle(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(2)}))
    assert "no Faultline bundle" in refused(path)
    path.write_text("epochs: 80\n")
    assert "no Faultline bundle" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert "no Faultline bundle" in refused(path)
    path.write_bytes(b"")
    assert "empty" in refused(path)


@pytest.mark.parametrize("left", [0.05, 0.5, 0.999])
def test_truncated(left: float, bundle: Bundle, tmp_path: Path) -> None:
    path = save_bundle(tmp_path / "m.safetensors", bundle)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * left)])
    assert "truncated" in refused(path)


def test_damage_of_one_byte_is_noticed(bundle: Bundle, tmp_path: Path) -> None:
    path = save_bundle(tmp_path / "m.safetensors", bundle)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "does not match the fingerprint" in refused(path)


def test_newer_and_damaged_metadata(bundle: Bundle, tmp_path: Path) -> None:
    path = save_bundle(tmp_path / "m.safetensors", bundle)
    rewrite(path, format_version=str(FORMAT_VERSION + 1))
    message = refused(path)
    assert f"bundle format {FORMAT_VERSION + 1}" in message
    assert "newer version" in message
    save_bundle(path, bundle)
    rewrite(path, threshold="{")
    assert "damaged" in refused(path)
    rewrite(path, threshold='{"value": 3}')
    assert "damaged" in refused(path)
    rewrite(path, format_version="new")
    assert "damaged" in refused(path)


def test_weights_of_another_model(bundle: Bundle, tmp_path: Path) -> None:
    state = dict(bundle.state)
    del state["norm.weight"]
    state["extra"] = torch.zeros(1)
    state["head.weight"] = torch.zeros(1, 9, 1, 1)
    path = save_bundle(tmp_path / "m.safetensors", dataclasses.replace(bundle, state=state))
    with pytest.raises(BundleError) as caught:
        load_bundle(path).build_model()
    message = str(caught.value)
    assert str(path) in message
    assert "1 missing (norm.weight)" in message
    assert "1 unexpected (extra)" in message
    assert "head.weight (1, 9, 1, 1) instead of (1, 5, 1, 1)" in message
    with pytest.raises(BundleError, match=r"and \d+ more"):
        dataclasses.replace(bundle, model_name="unet_mini", model_settings={}).build_model()


def test_unknown_model_and_setting_name_the_file(bundle: Bundle, tmp_path: Path) -> None:
    for change in ({"model_name": "tinyy"}, {"model_settings": {"widht": 5}}):
        path = save_bundle(tmp_path / "m.safetensors", dataclasses.replace(bundle, **change))
        with pytest.raises(BundleError, match="did you mean") as caught:
            load_bundle(path).build_model()
        assert str(path) in str(caught.value)


def test_only_safetensors_names(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"best\.safetensors"):
        save_bundle(tmp_path / "best.pth", bundle)


@pytest.mark.parametrize("place", ["write", "replace", "fsync"])
def test_a_full_disk_keeps_the_old_file(
    place: str, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_bundle(tmp_path / "best.safetensors", bundle)
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if place == "write":
            patch.setattr(Path, "write_bytes", full)
        else:
            patch.setattr(os, place, full)
        with pytest.raises(OutputError, match="No space left") as caught:
            save_bundle(path, dataclasses.replace(bundle, metrics={"iou": 1.0}))
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["best.safetensors"]


def test_contents_refuse_impossible_values() -> None:
    for value in (0.0, 1.0, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="does not lie between 0 and 1, both excluded"):
            Threshold.by_hand(value)
    with pytest.raises(ConfigError, match="outside 0-1"):
        Threshold(1.5)
    with pytest.raises(ConfigError, match="std above 0"):
        Normalisation((0.5,), (0.0,))
    with pytest.raises(ConfigError, match="2 means"):
        Normalisation((0.5, 0.5), (0.1,))
    with pytest.raises(ConfigError, match="tile"):
        InputSpec(tile=0)


def test_normalisation_matches_the_formula_and_keeps_channels_last() -> None:
    pixels = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).reshape(2, 4, 5, 3).permute(0, 3, 1, 2)
    norm = Normalisation((0.1, 0.5, 0.9), (0.2, 0.3, 0.4))
    result = norm.apply(pixels)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (norm.mean, norm.std))
    torch.testing.assert_close(result, (pixels / 255 - mean) / std, atol=2e-6, rtol=1e-6)
    assert result.is_contiguous(memory_format=torch.channels_last)
