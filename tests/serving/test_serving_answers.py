"""The service answers what `faultline infer` answers, and nothing that it cannot."""

import base64
import csv
import io
import json

import cv2
import numpy as np
import pytest
from leaf_samples import leaf
from PIL import Image
from tiny_classification import run

from faultline.artifacts.bundle import load_bundle
from faultline.predict.dual_head import masks_of
from faultline.predict.predictor import Predictor


def post(client, path, data, **fields):
    return client.post(path, files={"file": ("a.png", data)}, data=fields)


def infer(weights, data, folder, *words):
    """What the command makes of one picture: its output folder."""
    (folder / "in").mkdir()
    (folder / "in" / "a.png").write_bytes(data)
    assert run("infer", "--weights", weights, "--input", folder / "in", "--save", folder / "out",
               "--device", "cpu", "--precision", "fp32", *words) == 0  # fmt: skip
    return folder / "out"


def first_row(path):
    with path.open() as stream:
        return next(csv.DictReader(stream))


def decoded(text):
    return base64.b64decode(text, validate=True)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "dual"])
def test_masks_and_measures_are_those_of_infer(kind, client, bundles, cracked, png, tmp_path):
    data = png(cracked)
    out = infer(bundles[kind], data, tmp_path, "--mm-per-px", "0.5")
    answer = post(client(kind, mm_per_px=0.5), "/segment", data)
    assert answer.status_code == 200
    values = answer.json()
    assert decoded(values["mask"]) == (out / "a_mask.png").read_bytes()
    assert decoded(values["overlay"]) == (out / "a_overlay.png").read_bytes()
    row = first_row(out / "measurements.csv")
    assert len(values["measurements"]) == 8
    for column, value in values["measurements"].items():
        assert float(row[column]) == value, column
    assert values["measurements"]["crack_share"] > 0
    for one in values["classes"]:
        if kind != "binary":
            assert float(row[f"{one['name']}_share"]) == one["share"]
            assert int(row[f"{one['name']}_components"]) == one["components"]
        if kind in ("multilabel", "dual"):
            mask = next(out.glob(f"a_*{one['name']}*_mask.png"))
            assert decoded(one["mask"]) == mask.read_bytes()
    assert values["fingerprint"] == load_bundle(bundles[kind]).fingerprint
    assert values["threshold"]["status"] == "most_probable" if kind == "multiclass" else "tuned"
    assert (values["width"], values["height"], values["file"]) == (60, 40, "a.png")


def test_confidence_is_the_mean_probability_of_what_was_taken(client, cracked, png):
    (one,) = post(client("binary"), "/segment", png(cracked)).json()["classes"]
    black = 1 / (1 + np.exp(-20 * 0.25))
    assert one["pixels"] == 60
    assert one["confidence"] == pytest.approx(black, abs=1e-5)
    assert one["highest_probability"] == pytest.approx(black, abs=1e-5)
    (one,) = post(client("binary"), "/segment", png(cracked + 0 * cracked | 128)).json()["classes"]
    assert (one["pixels"], one["confidence"]) == (0, None)


def test_a_threshold_by_hand_is_said_to_be_one(client, cracked, png):
    values = post(client("binary", threshold=0.9), "/segment", png(cracked)).json()
    assert values["threshold"] == {"value": 0.9, "status": "by_hand", "source": "setting",
                                   "criterion": "", "score": None}  # fmt: skip


def test_the_overlay_alone_and_the_answer_without_it(client, cracked, png, tmp_path):
    service = client("multilabel")
    image = post(service, "/segment?format=png", png(cracked))
    assert image.headers["content-type"] == "image/png"
    values = post(service, "/segment", png(cracked)).json()
    assert image.content == decoded(values["overlay"])
    assert "overlay" not in post(service, "/segment?overlay=0", png(cracked)).json()
    for query in ("format=gif", "overlay=maybe", "mm_per_px=-1", "mm_per_px=x", "mm_per_px=nan"):
        refused = post(service, f"/segment?{query}", png(cracked))
        assert refused.status_code == 422
        assert refused.json()["error"].startswith(query)
    scaled = post(service, "/segment?mm_per_px=2", png(cracked)).json()["measurements"]
    assert scaled["length_mm"] == pytest.approx(2 * scaled["length_px"], abs=0.11)


@pytest.mark.parametrize("kind", ["classes", "dual"])
def test_classes_are_those_of_infer(kind, client, bundles, cracked, png, tmp_path):
    out = infer(bundles[kind], png(cracked), tmp_path)
    values = post(client(kind), "/classify", png(cracked)).json()
    (expected,) = json.loads((out / "predictions.json").read_text())["pictures"]
    found = {one["name"]: one["probability"] for one in values["classes"]}
    assert found == pytest.approx(expected["probabilities"], abs=2e-6)
    assert values["decided"] == expected["classes"]
    for one in values["classes"]:
        assert one["decided"] == (one["probability"] >= one["threshold"])


def test_prompts_are_answered_as_by_infer(client, prompt_run, prompt_data, tmp_path):
    picture = sorted((prompt_data / "walls" / "valid" / "images").glob("*.png"))[0].read_bytes()
    asked = ["segment crack", "segment taping area"]
    out = infer(prompt_run[0], picture, tmp_path, "--prompt", asked[0], "--prompt", asked[1])
    service = client(prompt_run[0])
    answer = service.post("/prompt", files={"file": ("a.png", picture)},
                          data={"prompt": [*asked, asked[0]]})  # fmt: skip
    values = answer.json()
    assert decoded(values["overlay"]) == (out / "a_overlay.png").read_bytes()
    assert [one["prompt"] for one in values["prompts"]] == asked
    for one in values["prompts"]:
        mask = out / f"a__{one['prompt'].replace(' ', '_')}.png"
        assert decoded(one["mask"]) == mask.read_bytes()
        assert one["known"]
        assert one["warning"] is None
    missing = service.post("/prompt", files={"file": ("a.png", picture)})
    assert (missing.status_code, "no field `prompt`" in missing.json()["error"]) == (422, True)
    for prompts in ([" "], [f"segment {n}" for n in range(17)]):
        refused = service.post("/prompt", files={"file": ("a.png", picture)},
                               data={"prompt": prompts})  # fmt: skip
        assert refused.status_code == 422
    assert service.get("/health").json()["prompts"]


@pytest.mark.parametrize(
    ("kind", "path", "use"),
    [
        ("binary", "/classify", "task segmentation, which does not answer POST /classify -> use "
         "POST /segment"),
        ("classes", "/segment", "use POST /classify"),
        ("dual", "/prompt", "use POST /segment or /classify"),
    ],
)  # fmt: skip
def test_a_head_that_is_not_there(kind, path, use, client, cracked, png):
    answer = post(client(kind), path, png(cracked))
    assert answer.status_code == 409
    assert use in answer.json()["error"]


def test_it_says_what_it_serves(client, bundles):
    values = client("dual").get("/health").json()
    assert values["task"] == "dual_head"
    assert values["weights"] == "dual.safetensors"
    assert values["fingerprint"] == load_bundle(bundles["dual"]).fingerprint
    assert values["label_space"]["names"] == ["bar", "spot"]
    assert values["endpoints"] == ["/segment", "/classify"]
    assert values["gate"] is None
    assert values["limits"]["max_megapixels"] == 50


class TestGate:
    @pytest.fixture
    def gated(self, client, bundles):
        return lambda **more: client("dual", gate=[bundles["segmenter"]], **more)

    @pytest.mark.parametrize("path", ["/segment", "/classify"])
    def test_a_leaf_passes_and_litter_does_not(self, path, gated, png):
        service = gated()
        plant, _, _ = leaf(np.random.default_rng(0), "RedRot")
        answer = post(service, path, png(plant))
        assert answer.status_code == 200
        assert answer.json()["gate"]["step"] == 6
        answer = post(service, path, png(np.full((96, 72, 3), (150, 135, 125), np.uint8)))
        assert answer.status_code == 422
        values = answer.json()
        assert set(values) == {"error", "gate"}
        assert values["error"].startswith("the gate rejects the picture: too little plant: 0.0%")
        assert values["gate"]["passed"] is False

    def test_it_decides_as_gate_run_does(self, gated, bundles, png, tmp_path):
        report = tmp_path / "calibration_report.json"
        report.write_text(json.dumps({"thresholds": {"Healthy": 0.6}, "default": 0.6}))
        plant, _, _ = leaf(np.random.default_rng(1))
        (tmp_path / "a.png").write_bytes(png(plant))
        assert run("gate", "run", tmp_path / "a.png", "--weights", bundles["segmenter"],
                   "--thresholds", report, "--save", tmp_path / "gate") == 0  # fmt: skip
        result = json.loads((tmp_path / "gate" / "gate_test_results.json").read_text())
        (expected,) = result["results"].values()
        answer = post(gated(thresholds=report), "/segment", png(plant))
        assert answer.status_code == 422
        assert answer.json()["gate"] == expected
        assert gated(thresholds=report).get("/health").json()["gate"]["least_plant"] == 0.6

    def test_a_network_of_two_heads_can_be_the_gate(self, client, bundles, cracked, png):
        weights = bundles["dual_channels"]
        outlined = Predictor(masks_of(load_bundle(weights)), "cpu").predict(cracked)
        cuts = np.array([0.4, 0.4, 0.3, 0.3, 0.3])[:, None, None]
        share = (outlined.probability >= cuts)[1:].any(0).mean()
        answer = post(client("binary", gate=[weights]), "/segment", png(cracked))
        assert answer.json()["gate"]["plant_ratio"] == pytest.approx(share)

    def test_thresholds_without_a_gate_are_a_slip(self, client, tmp_path):
        from faultline.errors import ConfigError

        with pytest.raises(ConfigError, match="add --gate"):
            client("dual", thresholds=tmp_path / "report.json")


class TestUnusualPictures:
    """Read as `infer` reads them."""

    def test_a_turned_photograph(self, client, cracked, png):
        exif = Image.Exif()
        exif[0x0112] = 6
        turned = png(cracked, "JPEG", exif=exif, quality=100, subsampling=0)
        values = post(client("binary"), "/segment", turned).json()
        assert (values["width"], values["height"]) == (40, 60)
        mask = cv2.imdecode(np.frombuffer(decoded(values["mask"]), np.uint8), 0)
        assert mask.shape == (60, 40)
        assert mask[30, 28] == 255  # row 11, column 30 before it was turned clockwise

    def test_grey_alpha_sixteen_bits_and_palette(self, client, cracked, png):
        service = client("binary")
        expected = post(service, "/segment", png(cracked)).json()["mask"]
        grey = cracked[..., 0]
        alpha = np.dstack([cracked, np.zeros_like(grey)])
        palette = io.BytesIO()
        Image.fromarray(grey).convert("P").save(palette, "GIF")
        for data in (png(grey), png(alpha), png(grey.astype(np.uint16) * 257), palette.getvalue()):
            assert post(service, "/segment", data).json()["mask"] == expected
