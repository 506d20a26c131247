"""The main job on real photographs, as a user does it; minutes, so only where the data are."""

import json

import cv2
import numpy as np
import pytest

from faultline.config import document_config, load_config
from faultline.data.importers import import_dataset
from faultline.errors import LeakageError
from faultline.evaluation.command import evaluate_weights
from faultline.evaluation.doctor.command import run_doctor
from faultline.predict.command import infer_weights
from faultline.training.fit import train

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def road(shared_data, tmp_path_factory):
    """A network trained for a minute and a half on road cracks."""
    out = tmp_path_factory.mktemp("road")
    words = [f"data={shared_data / 'cracks-road'}", f"output_dir={out}", "trainer.max_time=90s"]
    return train(load_config([*words, "optimizer.lr=3e-3"], model="unet_mini")).run


def test_a_short_training_finds_road_cracks(road, shared_data):
    metrics = evaluate_weights(road.path).metrics
    assert metrics["images"] == 12
    assert metrics["pooled"]["f1_tolerance"]["value"] > 0.4
    assert metrics["leakage"]["overlap"] == 0


def test_the_network_is_worse_on_walls_but_scored_all_the_same(road, shared_data, tmp_path):
    words = [f"data={shared_data / 'cracks-wall'}"]
    metrics = evaluate_weights(road.path, words, save=tmp_path).metrics
    assert metrics["images"] == 120
    assert 0 <= metrics["pooled"]["iou"]["value"] < 1


def test_the_pictures_it_was_trained_on_are_refused(road, shared_data):
    with pytest.raises(LeakageError):
        evaluate_weights(road.path, [f"data.test={shared_data / 'cracks-road' / 'train'}"])


def test_inference_on_photographs_of_other_things(road, shared_data, tmp_path):
    summary = infer_weights(road.path, [str(shared_data / "not-inspected")], tmp_path)
    assert summary.written == 108
    assert not summary.failed
    name = next((shared_data / "not-inspected").glob("*.jpg"))
    mask = cv2.imread(str(tmp_path / f"{name.stem}_mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == cv2.imread(str(name)).shape[:2]
    assert set(np.unique(mask)) <= {0, 255}


@pytest.mark.parametrize("name", ["cracks-road", "cracks-wall"])
def test_the_doctor_finds_nothing_that_would_poison_a_result(shared_data, tmp_path, name):
    assert run_doctor([f"data={shared_data / name}"], None, tmp_path) == 0
    assert json.loads((tmp_path / "doctor.json").read_text())


def test_the_documents_settings_train(shared_data, tmp_path):
    words = [f"data={shared_data / 'cracks-road'}", f"output_dir={tmp_path}"]
    config = load_config([*words, "trainer.max_steps=4"], file=document_config())
    result = train(config)
    assert result.results["best"]["threshold"] == 0.4
    assert result.results["model"]["name"] == "scratch_ed"


def test_every_shared_set_with_masks_imports(shared_data):
    counts = {
        "cracks-road": {},
        "cracks-wall": {},
        "drywall-seams": {"positive": "taping"},
        "magnetic-tile": {"positive": "*", "mask_rule": "threshold"},
    }
    found = {
        name: len(import_dataset(shared_data / name, **settings).items)
        for name, settings in counts.items()
    }
    assert found == {
        "cracks-road": 72, "cracks-wall": 600, "drywall-seams": 338, "magnetic-tile": 600,
    }  # fmt: skip
