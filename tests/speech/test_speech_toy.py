"""The toy task, and that a small Paraformer learns it."""

import numpy as np
import pytest

from faultline.errors import ConfigError
from faultline.speech.data.samples import collate
from faultline.speech.data.toy import ToySet, ToyTask
from faultline.speech.evaluate import evaluate_speech
from faultline.speech.fit import train_speech
from faultline.speech.settings import load_speech_config

TINY = (
    "data=toy", "data.toy_count=64", "data.toy_tokens=4", "data.toy_length=4", "model.dim=32",
    "model.heads=2", "model.encoder_depth=1", "model.decoder_depth=1", "data.batch_size=16",
    "trainer.tensorboard=false", "scheduler.warmup_steps=5", "optimizer.lr=3e-3",
)  # fmt: skip


def test_items_are_the_same_every_time_and_differ_between_parts():
    task = ToyTask(seed=3)
    first, again = task.sample(0, 5), task.sample(0, 5)
    assert np.array_equal(first.features, again.features)
    assert first.text == again.text
    texts = [[task.sample(part, n).text for n in range(30)] for part in range(3)]
    assert texts[0] != texts[1] != texts[2]


def test_difficulty_is_a_setting():
    easy, hard = ToyTask(tokens=3, longest=2, noise=0.0), ToyTask(tokens=20, longest=15, noise=1.0)
    assert max(len(easy.sample(0, n).text) for n in range(50)) == 2
    assert max(len(hard.sample(0, n).text) for n in range(50)) > 10
    assert {c for n in range(50) for c in easy.sample(0, n).text} == {"a", "b", "c"}
    quiet = easy.features("", np.random.default_rng(0))
    assert not quiet.any()
    assert hard.features("", np.random.default_rng(0)).any()


def test_samples_are_filled_up_with_zeros():
    items = ToySet(ToyTask(), 0, 8)
    batch = collate([items[n] for n in range(8)])
    for row, length in enumerate(batch.lengths.tolist()):
        assert not batch.features[row, length:].any()
        assert np.array_equal(batch.features[row, :length].numpy(), items[row].features)
        count = int(batch.token_lengths[row])
        assert batch.tokens[row, :count].tolist() == list(items[row].tokens)
        assert not batch.tokens[row, count:].any()


def silent(line):
    """Say nothing."""


def trained(tmp_path, *words):
    config = load_speech_config([*TINY, f"output_dir={tmp_path}", *words])
    return train_speech(config, say=silent)


ALL = {"train/ctc", "val/ctc", "val/cer", "val/wer", "val/exact_match"}
DECODER = {"train/ce", "val/ce", "val/token_accuracy"}
COUNT = {"train/quantity", "val/quantity", "val/count_error", "val/count_exact"}
LOGGED = {"ctc": ALL, "autoregressive": ALL | DECODER, "paraformer": ALL | DECODER | COUNT}


@pytest.mark.parametrize("name", LOGGED)
def test_forty_steps_lower_the_loss(tmp_path, name):
    own = [w for w in TINY if name != "ctc" or not w.startswith("model.decoder_depth")]
    words = [*own, f"output_dir={tmp_path}", f"model={name}", "trainer.max_epochs=10"]
    result = train_speech(load_speech_config(words), say=silent)
    assert result.results["steps"] == 40
    rows = result.run.metrics_csv.read_text().splitlines()
    names = rows[0].split(",")
    losses = [float(row.split(",")[names.index("train/loss")]) for row in rows[1:]]
    assert losses[-1] < 0.8 * losses[0]
    logged = {name for name in names if name in LOGGED["ctc"] | LOGGED["paraformer"]}
    assert logged == LOGGED[name]


def test_frames_too_few_stop_before_training(tmp_path):
    from faultline.errors import DataError

    with pytest.raises(DataError, match=r"clips have fewer frames than their text needs \(toy-0-"):
        trained(tmp_path, "frontend.stack=12", "frontend.skip=12")
    assert not list(tmp_path.iterdir())


def test_wrong_settings_are_all_named_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_speech_config(["data=toy", "trainer.max_epoch=3", "loss.ctc=2", "optimizer.name=adam"])
    for part in ("'trainer.max_epoch', did you mean", "loss.ctc=2.0 is outside 0 to 1", "adamw"):
        assert part in str(caught.value)
    with pytest.raises(ConfigError, match=r"data.manifest is not set -> give data="):
        train_speech(load_speech_config([f"output_dir={tmp_path}"]), say=silent)
    with pytest.raises(ConfigError, match="not of the form key=value"):
        load_speech_config(["toy"])
    with pytest.raises(ConfigError, match=r"data\.manifest is empty -> give it a value, or"):
        load_speech_config(["data="])
    with pytest.raises(ConfigError, match=r"plot_format='pgn' is not one of .*did you mean 'png'"):
        load_speech_config(["data=toy", "evaluation.plot_format=pgn"])
    with pytest.raises(ConfigError, match="windows would be lost"):
        load_speech_config(["frontend.stack=1", "frontend.skip=2"])


@pytest.mark.slow
def test_the_toy_task_is_learnt(tmp_path):
    # Fewer steps than two cores make in three minutes: what is learnt must not depend on the load.
    words = ["data=toy", "trainer.max_steps=400", f"output_dir={tmp_path}",
             "trainer.tensorboard=false"]  # fmt: skip
    result = train_speech(load_speech_config(words), say=silent)
    assert result.results["best"]["token_accuracy"] >= 0.98
    outcome = evaluate_speech(result.run.path, say=silent)
    assert outcome.results["metrics"]["exact_match"] >= 0.9
