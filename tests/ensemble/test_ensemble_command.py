"""The command from end to end on drawn pictures: tables, audit, refusals, answers."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tiny_classification import TINY, run, tiny_classifier, write_folders, write_steel

from faultline.artifacts.bundle import load_bundle
from faultline.ensemble.answers import answer_files
from faultline.ensemble.plan import Rules, parse_stages
from faultline.ensemble.saved import load_ensemble
from faultline.errors import BundleError, ConfigError
from faultline.models import MODELS
from faultline.predict.class_predictor import ClassPredictor

NAMES = ("tiny_first", "tiny_second")
WORDS = [
    *(word for word in TINY if not word.startswith("model=")),
    "trainer.max_epochs=2", "optimizer.lr=0.01", "loss=cross_entropy", "data.num_workers=0",
    "--model", NAMES[0], "--model", NAMES[1], "--folds", "2", "--halt-gap", "0.9",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _models():
    """Registered for these tests only."""

    def second(num_classes: int = 1, width: int = 16):
        return tiny_classifier(num_classes, width)

    for name, builder in zip(NAMES, (tiny_classifier, second), strict=True):
        MODELS.register(name, tags=["classification"])(builder)
    yield
    for name in NAMES:
        del MODELS._entries[name]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("pictures"), {"bar": 20, "clean": 20, "spot": 20})


@pytest.fixture(scope="module")
def done(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ensembles") / "first"
    assert run("ensemble", "run", f"data={pictures}", *WORDS, "--save", folder) == 0
    return folder


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


def test_each_training_picture_is_answered_by_a_network_that_has_not_seen_it(done):
    plan = json.loads((done / "plan.json").read_text())
    held = []
    for name in NAMES:
        for fold in range(2):
            record = json.loads(
                (done / "tables" / name / f"fold-{fold}-out_of_fold.json").read_text()
            )
            assert not set(record["sha256"]) & set(record["fitted_on"])
            assert {plan["fold_of"][one] for one in record["ids"]} == {fold}
            held += record["ids"]
    assert sorted(held) == sorted([*plan["fold_of"]] * 2)


def test_no_network_was_given_the_test_part(done):
    results, plan = results_of(done), json.loads((done / "plan.json").read_text())
    known = {*plan["fold_of"], *plan["valid"]}
    for member in results["members"]:
        for path in member["runs"].values():
            splits = json.loads(Path(path, "splits.json").read_text())
            assert splits["test"] == []
            assert {one["id"] for part in splits.values() for one in part} <= known


def test_every_stage_is_in_the_results_made_or_skipped_with_its_reason(done):
    results = results_of(done)
    made = {row["stage"] for row in results["stages"]}
    skipped = {row["stage"]: row["reason"] for row in results["skipped"]}
    assert made | set(skipped) == {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
    assert "mask head" in skipped[8]
    assert all(skipped.values())
    for row in results["stages"]:
        for part in ("valid", "test"):
            value = row[part]["summary"]["macro_f1"]
            assert value["low"] <= value["value"] <= value["high"]


def test_scores_of_a_member_are_those_of_its_bundle(done, pictures):
    results = results_of(done)
    predictor = ClassPredictor(load_bundle(results["members"][0]["runs"]["all"]), "cpu", "fp32")
    record = json.loads((done / "tables" / NAMES[0] / "all-test.json").read_text())
    found, embedding = answer_files(predictor, [pictures / one for one in record["ids"]])
    names = predictor.names
    right = [
        one.split("/")[0] == names[k] for one, k in zip(record["ids"], found.argmax(1), strict=True)
    ]
    row = results["stages"][0]
    assert row["test"]["summary"]["subset_accuracy"]["value"] == pytest.approx(np.mean(right))
    # The embedding is what the last layer makes the answer of.
    weight, bias = (predictor.model[-1].weight, predictor.model[-1].bias)
    logits = embedding @ weight.detach().numpy().T + bias.detach().numpy()
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert raised / raised.sum(axis=1, keepdims=True) == pytest.approx(found, abs=1e-5)


def test_files_are_there(done):
    for name in ("plots/stages.png", "stages.csv", "leakage_audit.json", "ensemble/ensemble.json"):
        assert (done / name).stat().st_size > 0
    audit = json.loads((done / "leakage_audit.json").read_text())
    assert audit["violations"] == 0
    assert {finding["check"] for finding in audit["findings"]} == {1, 2, 3, 4, 5}


def test_the_student_learns_from_answers_that_are_out_of_fold(done):
    (row,) = [row for row in results_of(done)["stages"] if row["stage"] == 7]
    assert row["settings"]["teacher"] in {one["name"] for one in results_of(done)["stages"]}
    bundle = load_bundle(row["facts"]["run"])
    plan = json.loads((done / "plan.json").read_text())
    splits = json.loads(Path(row["facts"]["run"], "splits.json").read_text())
    assert {one["id"] for one in splits["train"]} == set(plan["fold_of"])
    assert set(bundle.seen["weights"]) == {one["sha256"] for one in splits["train"]}
    trained = json.loads(Path(row["facts"]["run"], "results.json").read_text())
    assert trained["distillation"]["temperature"] == 3.0


def test_predict_answers_as_the_run_did_on_test(done, pictures, tmp_path):
    results = results_of(done)
    record = json.loads((done / "tables" / NAMES[0] / "all-test.json").read_text())
    files = [pictures / one for one in record["ids"]]
    (tmp_path / "broken.png").write_bytes(b"no picture")
    words = ("--weights", done, "--save", tmp_path / "out", "--device", "cpu")
    assert run("ensemble", "predict", *files, tmp_path / "broken.png", *words) == 1
    with (tmp_path / "out" / "predictions.csv").open(newline="") as stream:
        rows = {row["file"]: row for row in csv.DictReader(stream)}
    assert rows[str(tmp_path / "broken.png")]["error"]
    right = [rows[str(file)]["classes"] == file.parent.name for file in files]
    (chosen,) = [row for row in results["stages"] if row["name"] == results["chosen"]]
    expected = chosen["test"]["summary"]["subset_accuracy"]["value"]
    assert np.mean(right) == pytest.approx(expected)


def test_the_same_call_goes_on(done, pictures, capsys):
    before = results_of(done)
    words = ["--save", done, "--stages", "1-2"]
    assert run("ensemble", "run", f"data={pictures}", *WORDS, *words) == 0
    assert capsys.readouterr().out.count("done before") == 6
    again = results_of(done)
    assert again["stages"][0]["test"] == before["stages"][0]["test"]


def test_other_folds_in_the_same_folder_are_refused(done, pictures, capsys):
    assert run("ensemble", "run", f"data={pictures}", *WORDS, "--folds", "3", "--save", done) == 2
    assert "another plan (rules, fold_of differ)" in capsys.readouterr().err


def test_other_training_settings_are_refused(done, pictures, capsys):
    words = (*WORDS, "optimizer.lr=0.5", "--save", done)
    assert run("ensemble", "run", f"data={pictures}", *words) == 2
    assert "trained with other settings (optimizer)" in capsys.readouterr().err


def test_several_classes_a_picture(tmp_path):
    data = write_steel(tmp_path / "steel", 60)
    folder = tmp_path / "out"
    words = [*WORDS, "loss=bce", "trainer.max_epochs=1", "--stages", "1-3,9", "--save", folder]
    assert run("ensemble", "run", f"data={data}", *words) == 0
    results = results_of(folder)
    assert results["kind"] == "multilabel"
    (cascade,) = [row for row in results["skipped"] if row["stage"] == 9]
    assert "exclude each other" in cascade["reason"]
    assert load_ensemble(folder).threshold.classes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", NAMES[0]], "at least two"),
        (["--model", NAMES[0], "--model", NAMES[0]], "named twice"),
        (["--model", NAMES[0], "--model", "unet"], "for segmentation"),
        (["--model", NAMES[0], "--model", "tiny_frist"], "unknown model"),
    ],
)
def test_mistakes_are_explained(pictures, tmp_path, capsys, words, message):
    save = tmp_path / "out"
    assert run("ensemble", "run", f"data={pictures}", *words, "--save", save) == 2
    assert message in capsys.readouterr().err
    assert not save.exists()


@pytest.mark.parametrize("text", ["0-3", "13", "x", "1,,2"])
def test_stage_lists_are_checked(text):
    with pytest.raises(ConfigError, match="--stages"):
        parse_stages(text)


def test_stages_are_read():
    assert parse_stages("3,5-6") == (1, 3, 5, 6)
    assert parse_stages("") == tuple(range(1, 13))
    with pytest.raises(ConfigError, match="at least 2"):
        Rules(folds=1)


def test_damage_is_found(done, tmp_path):
    import shutil

    shutil.copytree(done / "ensemble", tmp_path / "copy")
    record = tmp_path / "copy" / "ensemble.json"
    record.write_text(record.read_text().replace('"bar"', '"rod"'))
    with pytest.raises(BundleError, match="fingerprint"):
        load_ensemble(tmp_path / "copy")
    with pytest.raises(BundleError, match=r"holds no ensemble\.json"):
        load_ensemble(tmp_path)


def test_a_test_picture_that_changed_blocks_every_test_result(done, pictures, capsys, monkeypatch):
    from faultline.ensemble import audit

    monkeypatch.setattr(audit, "_hash", lambda path: "another")
    words = ["--save", done, "--stages", "1-2"]
    assert run("ensemble", "run", f"data={pictures}", *WORDS, *words) == 1
    said = capsys.readouterr().out
    assert "no test result is reported" in said
    results = results_of(done)
    assert results["status"] == "blocked"
    assert all(row["test"] is None for row in results["stages"])
    assert results["gain"] is None
    assert results["leakage"]["violations"] == 1
    # What an earlier call had saved answers no more.
    with pytest.raises(BundleError, match=r"holds no ensemble\.json"):
        load_ensemble(done)
