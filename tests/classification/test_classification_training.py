"""Training of classification, as the command line does it."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from tiny_classification import TINY, run, train, write_steel

from faultline.artifacts.bundle import load_bundle
from faultline.config import from_yaml
from faultline.data.images import read_image
from faultline.errors import ConfigError
from faultline.losses import create_loss
from faultline.predict.class_predictor import ClassPredictor
from faultline.tasks import TASKS
from faultline.training.kinds import kind_of, training_config


class TestASingleLabelRun:
    def test_it_learns(self, folder_run):
        assert json.loads((folder_run / "results.json").read_text())["best"]["macro_f1"] > 0.9

    def test_the_bundle_says_what_it_is(self, folder_run):
        bundle = load_bundle(folder_run)
        assert bundle.task == "classification"
        assert bundle.label_space.names == ("bar", "clean", "spot")
        assert (bundle.input.height, bundle.input.width) == (24, 24)
        assert bundle.threshold.status == "most_probable"
        splits = json.loads((folder_run / "splits.json").read_text())
        assert bundle.seen["weights"] == sorted(item["sha256"] for item in splits["train"])

    def test_the_best_weights_have_a_telling_name_too(self, folder_run):
        names = [path.name for path in (folder_run / "checkpoints").glob("best_model_*")]
        assert len(names) == 1
        epoch, score = re.fullmatch(
            r"best_model_epoch(\d+)_f1_([\d.]+)\.safetensors", names[0]
        ).groups()
        best = json.loads((folder_run / "results.json").read_text())["best"]
        assert int(epoch) == best["epoch"]
        assert float(score) == pytest.approx(best["macro_f1"], abs=0.005)
        same = (folder_run / "checkpoints" / names[0]).read_bytes()
        assert same == (folder_run / "checkpoints" / "best.safetensors").read_bytes()

    def test_results_hold_metrics_config_and_provenance(self, folder_run):
        results = json.loads((folder_run / "results.json").read_text())
        assert results["config"]["task"] == "classification"
        assert results["provenance"]["seed"] == 0
        assert {row["name"] for row in results["class_shares"]} == {"bar", "clean", "spot"}

    def test_every_epoch_has_the_f1_of_each_class(self, folder_run):
        with (folder_run / "metrics.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        assert 1 <= len(rows) <= 15
        for name in ("bar", "clean", "spot"):
            assert 0 <= float(rows[-1][f"val/f1/{name}"]) <= 1
        assert (folder_run / "plots" / "f1.png").is_file()

    def test_the_split_is_kept(self, folder_run):
        assert json.loads((folder_run / "split.json").read_text())["hash"]


class TestASeveralLabelRun:
    def test_it_learns_and_tunes_a_threshold_a_class(self, steel_run):
        bundle = load_bundle(steel_run)
        assert bundle.metrics["validation"]["macro_f1"] > 0.8
        assert [one.name for one in bundle.threshold.classes] == list(bundle.label_space.names)
        assert bundle.threshold.criterion == "f1"
        assert bundle.threshold.of(bundle.label_space.names[0]) == bundle.threshold.classes[0].value

    def test_alpha_is_one_minus_the_share_of_the_training_part(self, steel_run):
        results = json.loads((steel_run / "results.json").read_text())
        shares = [row["shares"]["train"] for row in results["class_shares"][:2]]
        assert results["criterion"]["alpha"] == pytest.approx([1 - share for share in shares])
        training = load_bundle(steel_run).provenance["training"]
        assert training["criterion"]["alpha"] == results["criterion"]["alpha"]
        checkpoint = torch.load(steel_run / "checkpoints" / "last.ckpt", weights_only=False)
        assert checkpoint["loss_in_force"]["alpha"] == results["criterion"]["alpha"]

    def test_what_was_scored_is_what_users_get(self, steel_run, steel):
        """The best scores again, from the bundle alone, picture by picture."""
        bundle = load_bundle(steel_run)
        predictor = ClassPredictor(bundle, "cpu", "fp32")
        valid = json.loads((steel_run / "splits.json").read_text())["valid"]
        found = predictor.predict_batch([read_image(steel / item["id"]) for item in valid])
        split = json.loads((steel_run / "split.json").read_text())
        share = next(row for row in split["classes"] if row["name"] == bundle.label_space.names[0])
        named = sum(one.decided[0] for one in found)
        assert abs(int(named) - share["counts"]["valid"]) <= 3
        one = predictor.predict(read_image(steel / valid[0]["id"]))
        np.testing.assert_allclose(one.probability, found[0].probability, atol=1e-5)

    def test_resuming_gives_the_same_weights(self, steel, tmp_path):
        words = ("data.sampler=class_aware", "scheduler.name=none", "augment=default")
        whole = train(steel, tmp_path / "a", *words, "trainer.max_epochs=3")
        half = train(steel, tmp_path / "b", *words, "trainer.max_epochs=1")
        text = (half / "config.yaml").read_text().replace("max_epochs: 1\n", "max_epochs: 3\n")
        (half / "config.yaml").write_text(text)
        assert run("train", "--resume", half) == 0
        assert load_bundle(whole).fingerprint == load_bundle(half).fingerprint
        assert len(list((half / "checkpoints").glob("best_model_*"))) == 1


SETTINGS = [
    ("loss=bce", "loss.pos_weight=balanced", "threshold=0.4"),
    ("loss=asymmetric", "loss.label_smoothing=0.05", "data.sampler=weighted"),
    ("loss.type=focal_loss", "loss.gamma=2.0", "loss.alpha=batch", "trainer.ema=0.9"),
    ("data.image_size=[16,40]", "augment=default"),
    ("data.keep_aspect=true",),
]


@pytest.mark.parametrize("words", SETTINGS, ids=lambda words: words[0])
def test_settings_train(steel, tmp_path, words):
    folder = train(steel, tmp_path, "trainer.max_epochs=1", *words)
    assert json.loads((folder / "results.json").read_text())["status"] == "finished"


def test_early_stopping_stops(steel, tmp_path):
    words = ("trainer.early_stopping_patience=1", "trainer.max_epochs=6", "optimizer.lr=1e-9")
    folder = train(steel, tmp_path, *words)
    assert json.loads((folder / "results.json").read_text())["epochs"] < 6


def test_a_rare_class_shares_the_threshold_and_is_spoken_of(tmp_path, capsys):
    data = write_steel(tmp_path / "data", 80, rare=0.05)
    folder = train(data, tmp_path / "runs", "trainer.max_epochs=1", "optimizer.lr=1e-6")
    classes = load_bundle(folder).threshold.classes
    assert [one.status for one in classes] == ["tuned", "shared"]
    assert classes[1].positives < 5
    assert "loss focal" in capsys.readouterr().out


DOCUMENT = [
    "loss.type=focal_loss", "loss.gamma=2.0", "data.split_strategy=stratified_80_10_10",
    "optimizer.lr=0.001", "data.batch_size=6", "training.num_epochs=100",
    "training.early_stopping_patience=15", "model.name=conv_next",
]  # fmt: skip


class TestWhatTheDocumentTypes:
    def test_it_works(self):
        config = training_config(DOCUMENT)
        assert kind_of(config).name == "classification"
        assert config.loss == {"name": "focal_loss", "gamma": 2.0}
        assert config.data.split_strategy == "stratified_80_10_10"
        assert (config.optimizer.lr, config.data.batch_size) == (0.001, 6)
        assert config.trainer.max_epochs == 100
        assert config.trainer.early_stopping_patience == 15

    def test_bce_with_logits_is_a_name_of_bce(self):
        config = training_config(["task=classification", "loss.type=bce_with_logits"])
        assert create_loss(config.loss["name"], kind="multilabel").parameters_in_force()

    def test_training_with_no_argument_is_answered(self, capsys):
        assert run("train") == 1
        assert "add data=FOLDER" in capsys.readouterr().err

    def test_a_task_has_defaults_that_words_and_files_change(self, tmp_path):
        config = training_config(["task=classification"])
        assert config.model["name"] == "conv_next"
        assert config.loss["name"] == "focal"
        assert config.trainer.early_stopping_patience == 15
        file = tmp_path / "settings.yaml"
        file.write_text("task: classification\ntrainer: {early_stopping_patience: 3}\n")
        assert training_config(file=file).trainer.early_stopping_patience == 3
        assert training_config(["loss=bce"], file=file).loss == {"name": "bce"}

    def test_the_task_is_that_of_the_model(self):
        assert training_config(["model=tiny_classifier"]).loss["name"] == "focal"
        assert training_config(["model=unet_mini"]).loss["name"] == "bce_dice"
        assert kind_of(training_config(["model=unet_mini"])).name == "segmentation"


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["task=classifcation"], ["task='classifcation'", "did you mean 'classification'"]),
        (["task=classification", "model=unet_mini"], ["'unet_mini' is made for segmentation"]),
        (["task=segmentation", "model=tiny_classifier"], ["made for classification", "unet_mini"]),
        (["task=classification", "model=dual_head"], ["'dual_head' is made for dual_head"]),
        (["model=tiny_network"], ["'tiny_network' is a network only", "faultline list models"]),
        (["task=classification", "loss=bce_dice"], ["segmentation loss", "focal"]),
        (["task=classification", "loss=focal", "loss.gama=1"], ["'gama'", "did you mean 'gamma'"]),
        (["task=classification", "loss=bce", "loss.pos_weight=[3]"], ["1 values for 2 classes"]),
        (["task=classification", "model.width=wide"], ["'tiny_classifier' is of the wrong type"]),
        (["task=classification", "data.sampler=rare"], ["data.sampler='rare'"]),
        (["task=classification", "evaluation.min_positives=0"], ["evaluation.min_positives=0"]),
    ],
)
def test_mistakes_are_explained(words, messages, steel, tmp_path):
    from faultline.training.fit import train as run_training

    tiny = [word for word in TINY if word.split("=")[0] not in ("task", "model", "loss")]
    if not any(word.startswith("model=") for word in words):
        words = [*words, "model=tiny_classifier"]
    with pytest.raises(ConfigError) as caught:
        run_training(
            training_config([f"data={steel}", f"output_dir={tmp_path}", *tiny, *words]),
            say=lambda line: None,
        )
    for message in messages:
        assert message in str(caught.value)
    assert not list(tmp_path.iterdir())  # nothing is left of a training that never began


def test_a_softmax_data_set_refuses_a_sigmoid_loss(folders, tmp_path, capsys):
    for word in ("loss=bce", "loss.type=bce_with_logits", "loss=asymmetric"):
        assert run("train", f"data={folders}", f"output_dir={tmp_path}", *TINY, word) == 2
        said = capsys.readouterr().err
        assert "each picture shows exactly one" in said
        assert "use loss=cross_entropy or loss=focal" in said
    assert not list(tmp_path.iterdir())


def test_every_task_finds_its_parts():
    for entry in TASKS:
        for verb in ("train", "infer", "evaluate"):
            assert callable(entry.builder().load(verb)), (entry.name, verb)


@pytest.mark.parametrize("verb", ["train", "infer", "evaluate"])
def test_a_verb_is_done_in_its_own_room(verb):
    room = {"train": "training", "infer": "predict", "evaluate": "evaluation"}[verb]
    for entry in TASKS:
        assert str(getattr(entry.builder(), verb)).startswith(f"faultline.{room}.")


def test_a_run_stores_the_resolved_task(steel_run):
    assert from_yaml(steel_run / "config.yaml").task == "classification"
