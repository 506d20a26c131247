"""Training on recordings: samples, resuming, averaging, what a run and a bundle hold."""

import json

import numpy as np
import pytest
import soundfile
import torch
from speech_samples import SMALL, write_tones

from faultline.artifacts.bundle import load_bundle
from faultline.artifacts.contents import Threshold
from faultline.errors import BundleError, ConfigError, LeakageError, UnknownNameError
from faultline.speech.averaging import mean_state
from faultline.speech.bundle import build_recogniser, load_speech_bundle
from faultline.speech.data.prepare import prepare_speech
from faultline.speech.evaluate import evaluate_speech
from faultline.speech.fit import train_speech
from faultline.speech.kind import SpeechKind
from faultline.speech.scoring import ErrorRateScorer
from faultline.speech.settings import load_speech_config, to_yaml
from faultline.speech.task import validate
from faultline.speech.tokenizer import CharacterTokenizer


def silent(line):
    """Say nothing."""


def prepared_tones(tones, *words):
    return prepare_speech(load_speech_config([f"data={tones}", *words]))


def test_data_is_prepared_from_the_manifest(tones):
    config = load_speech_config([f"data={tones}", "data.valid=speaker:y"])
    prepared = prepare_speech(config)
    assert (len(prepared.train), len(prepared.valid), len(prepared.test)) == (12, 6, 6)
    assert (config.frontend.sample_rate, config.frontend.mels) == (8000, 40)
    assert {u.speaker for u in prepared.train} == {"x"}
    assert set(prepared.tokenizer.tokens[4:]) <= {" ", "a", "b", "c"}
    assert 0 < prepared.tokens_per_frame < 0.5
    assert len(prepared.mean) == 40


def test_further_recordings_only_train(tones, tmp_path):
    more = write_tones(tmp_path, first=50)
    plain = prepared_tones(tones, "data.valid=speaker:y")
    prepared = prepared_tones(tones, "data.valid=speaker:y", f"data.more=[{more}]")
    assert (prepared.valid, prepared.test) == (plain.valid, plain.test)
    added = [u for u in prepared.train if u.path.is_relative_to(more)]
    assert prepared.train[: len(plain.train)] == plain.train
    assert {u.speaker for u in added} == {"x", "y"}
    assert {u.split for u in added} <= {"", "train"}
    assert len(added) == len(prepared.train) - len(plain.train) > 0
    assert prepared.fingerprint != plain.fingerprint
    with pytest.raises(LeakageError, match=r"in (valid and train|train and valid)"):
        prepared_tones(tones, "data.valid=speaker:y", f"data.more=[{tones}]")


def test_statistics_come_from_training_recordings_only(tones):
    one = prepared_tones(tones, "data.valid=speaker:y")
    other = prepared_tones(tones, "data.valid=speaker:x")
    assert one.mean != other.mean
    features = np.concatenate(
        [one.training_set.frontend.features(one.training_set.store.get(u)) for u in one.train]
    )
    assert np.allclose(one.mean, features.mean(0), atol=1e-4)


def test_training_samples_depend_on_seed_epoch_and_number_alone(tones):
    words = ("data.valid=speaker:y", "data.join=0.5", "data.silence=0.2")
    first, again = prepared_tones(tones, *words), prepared_tones(tones, *words)
    samples = [first.training_set[(0, n)] for n in range(12)]
    for number in reversed(range(12)):
        other = again.training_set[(0, number)]
        assert np.array_equal(samples[number].features, other.features)
        assert samples[number].text == other.text
    assert [s.text for s in samples] != [first.training_set[(1, n)].text for n in range(12)]
    texts = [first.training_set[(e, n)].text for e in range(5) for n in range(12)]
    assert any(" " in text for text in texts)
    assert "" in texts
    assert max(text.count(" ") for text in texts) == 2


def test_recordings_that_cannot_be_used_are_listed(tmp_path):
    folder = write_tones(tmp_path / "data", 16)
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    (folder / rows[0]["audio"]).write_bytes(b"nothing to hear")
    soundfile.write(folder / rows[1]["audio"], np.full(900, np.nan), 8000, subtype="FLOAT")
    soundfile.write(folder / rows[2]["audio"], np.zeros(8000 * 30), 8000)
    rows[4]["text"] = "abc" * 20
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepared = prepared_tones(folder, "data.valid=index:8-10")
    reasons = {p.file: p.reason for p in prepared.problems}
    assert "cannot be read as sound" in reasons[rows[0]["audio"][4:]]
    assert "not finite numbers" in reasons[rows[1]["audio"][4:]]
    assert "more than data.max_seconds=20" in reasons[rows[2]["audio"][4:]]
    assert "frames for 60 characters, which need 61" in reasons[rows[4]["audio"][4:]]
    assert len(prepared.train) == 5


def test_characters_that_only_validation_has_are_named(tmp_path):
    folder = write_tones(tmp_path / "data", 12)
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    rows[4]["text"] = "q"
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (note,) = prepared_tones(folder, "data.valid=index:4").notes
    assert "character 'q' of" in note


def test_a_run_holds_all_that_it_should(tone_run):
    results = json.loads((tone_run / "results.json").read_text())
    assert results["status"] == "finished"
    assert results["task"] == "speech"
    assert results["loss"] == {"ctc": 0.3, "quantity": 1.0, "smoothing": 0.1}
    assert {"cer", "wer", "exact_match", "count_exact", "epoch"} <= set(results["best"])
    config = load_speech_config(file=tone_run / "config.yaml")
    assert config.frontend.sample_rate == 8000
    assert to_yaml(config) == (tone_run / "config.yaml").read_text()
    splits = json.loads((tone_run / "splits.json").read_text())
    assert {len(row["sha256"]) for row in splits["train"]} == {64}
    provenance = json.loads((tone_run / "provenance.json").read_text())
    assert provenance["seed"] == 0
    assert len(provenance["data_fingerprint"]) == 64


def test_the_bundle_brings_everything(tone_run):
    bundle = load_speech_bundle(tone_run)
    assert (bundle.task, bundle.model_name) == ("speech", "paraformer")
    assert bundle.label_space.names[0] == "<blank>"
    assert bundle.extra["frontend"]["sample_rate"] == 8000
    network = build_recogniser(bundle)
    assert not network.training
    assert float(network.encoder.frames.std.min()) > 0
    assert {part: len(hashes) for part, hashes in bundle.seen.items()} == {
        "weights": 16, "selection": 2
    }  # fmt: skip


def test_the_other_commands_refuse_it_with_a_hint(tone_run, tmp_path):
    from faultline.predict.command import infer_weights

    with pytest.raises(BundleError, match="speech"):
        infer_weights(tone_run, ["x.png"], tmp_path, say=silent)


def test_a_bundle_of_pictures_is_refused(tmp_path):
    from faultline.artifacts.bundle import Bundle, save_bundle
    from faultline.types import LabelKind, LabelSpace

    path = save_bundle(
        tmp_path / "b.safetensors",
        Bundle("unet_mini", {}, LabelSpace(LabelKind.BINARY, ("crack",)), {"w": torch.zeros(1)}),
    )
    assert load_bundle(path).task == "segmentation"
    with pytest.raises(BundleError, match="holds 'unet_mini' for segmentation, not a recogniser"):
        load_speech_bundle(path)


def test_a_resumed_run_equals_an_uninterrupted_one(tones, tmp_path, monkeypatch):
    from faultline.artifacts.run import RunFolder, resolve_run
    from faultline.training.resume import ResumePoints

    class Killed(BaseException):
        pass

    words = [f"data={tones}", *SMALL, "trainer.max_epochs=3", "trainer.checkpoint_every_steps=1",
             "data.batch_size=6", "average=2"]  # fmt: skip

    def config(name):
        return load_speech_config([*words, f"output_dir={tmp_path / name}"])

    whole = train_speech(config("whole"), say=silent)
    save = ResumePoints.save

    def save_and_die(self, trainer):
        save(self, trainer)
        if trainer.global_step >= 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ResumePoints, "save", save_and_die)
        with pytest.raises(Killed):
            train_speech(config("cut"), say=silent)
    run = RunFolder.open(resolve_run(tmp_path / "cut" / "paraformer"))
    resumed = train_speech(resume=run.path, say=silent)
    a, b = (load_bundle(path).state for path in (whole.run.best, resumed.run.best))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert resumed.results["best"]["cer"] == whole.results["best"]["cer"]


def test_a_seen_recording_is_not_scored(tone_run, tones):
    with pytest.raises(LeakageError, match=r"recordings would be scored, but .*the weights saw"):
        evaluate_speech(tone_run, [f"data={tones}", "data.test=index:0-3"], say=silent)
    with pytest.raises(ConfigError, match=r"data.test=column:later names no recording"):
        evaluate_speech(tone_run, ["data.test=column:later"], say=silent)


def test_an_unknown_model_is_refused_before_any_recording_is_read(tmp_path):
    missing = f"data.manifest={tmp_path / 'nowhere.jsonl'}"
    with pytest.raises(UnknownNameError, match="did you mean 'paraformer'"):
        train_speech(load_speech_config([missing, "data.test=none", "model=parafromer"]))
    with pytest.raises(ConfigError, match="no setting 'depth'"):
        train_speech(load_speech_config([missing, "data.test=none", "model.depth=3"]))


def test_the_mean_of_weights():
    states = [{"w": torch.tensor([1.0, 3.0]), "n": torch.tensor(4)},
              {"w": torch.tensor([3.0, 4.0]), "n": torch.tensor(5)}]  # fmt: skip
    mean = mean_state(states)
    assert mean["w"].tolist() == [2.0, 3.5]
    assert int(mean["n"]) == 4


def test_counts_are_right_when_they_round_with_the_tail():
    scorer = ErrorRateScorer(CharacterTokenizer.from_texts(["ab"]))
    scorer.counted, scorer.wanted = [2.7, 3.72, 1.5, 1.0], [2, 4, 1, 1]
    assert scorer.count_exact(0.45) == 0.75
    assert scorer.count_exact(0.6) == 0.5
    assert scorer.scores(Threshold())["count_exact"] == 0.75


def test_counts_are_judged_by_the_tail_of_the_network(tones):
    config = load_speech_config([f"data={tones}", *SMALL, "model.tail=0.9"])
    kind = SpeechKind()
    prepared = kind.prepare(config)
    task, scorer = kind.task(config, prepared), kind.scorer(config, prepared, "fp32")
    validate(task, kind.validation_loader(config, prepared), scorer.count)
    found = scorer.scores(Threshold())["count_exact"]
    assert (scorer.tail, found) == (0.9, scorer.count_exact(0.9))
    scorer.counted = [wanted + 0.3 for wanted in scorer.wanted]
    assert scorer.scores(Threshold())["count_exact"] == 0, "with a tail of 0.45 all were right"
    scorer.start()
    assert scorer.tail == 0.45


@pytest.mark.parametrize(
    ("word", "message"),
    [("model.skip=1", "model.skip cannot be set: set frontend.skip"),
     ("model.stack=3", "model.stack cannot be set: set frontend.stack"),
     ("model.mels=80", "model.mels cannot be set: set frontend.mels"),
     ("model.vocabulary=9", "model.vocabulary cannot be set: leave it out: it is counted in the")],
)  # fmt: skip
def test_settings_that_follow_from_the_data_are_not_the_networks(tones, word, message):
    with pytest.raises(ConfigError, match=message):
        train_speech(load_speech_config([f"data={tones}", *SMALL, word]), say=silent)


@pytest.mark.parametrize("rate", [1, 10, 999])
def test_a_rate_below_any_recording_is_refused(rate):
    rule = rf"frontend\.sample_rate={rate} must be 0 \(.*\) or 1000 and more"
    with pytest.raises(ConfigError, match=rule):
        load_speech_config([f"frontend.sample_rate={rate}"])
    assert load_speech_config(["frontend.sample_rate=1000"]).frontend.sample_rate == 1000
