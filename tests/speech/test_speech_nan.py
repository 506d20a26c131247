"""A loss that is no number while a recogniser trains: the layer is named, after validation too."""

import pytest
import torch

from faultline.errors import TrainingError
from faultline.speech.fit import train_speech
from faultline.speech.settings import load_speech_config
from faultline.speech.task import SpeechTask

TINY = (
    "data=toy", "data.toy_count=48", "data.toy_tokens=3", "data.toy_length=3", "model.dim=16",
    "model.heads=2", "model.encoder_depth=1", "data.batch_size=16", "trainer.tensorboard=false",
    "trainer.accelerator=cpu", "trainer.max_epochs=3",
)  # fmt: skip
LATE = 4
"""A step of the second epoch: the network has answered validation batches since."""
NETWORKS = [
    ("paraformer", "decoder.output"), ("ctc", "ctc"), ("autoregressive", "output"),
    ("paraformer", "encoder.blocks.0.attention.projection"),
]  # fmt: skip


def broken(monkeypatch, tmp_path, name, spoil):
    """The message of a training that `spoil`s something of the task or the batch at step `LATE`."""
    made = SpeechTask.training_step

    def step(self, batch, index):
        if self.trainer.global_step == LATE:
            with torch.no_grad():
                spoil(self, batch)
        return made(self, batch, index)

    monkeypatch.setattr(SpeechTask, "training_step", step)
    config = load_speech_config([*TINY, f"model={name}", f"output_dir={tmp_path}"])
    with pytest.raises(TrainingError) as caught:
        train_speech(config, say=lambda line: None)
    return str(caught.value)


@pytest.mark.parametrize(("name", "layer"), NETWORKS)
def test_the_layer_and_the_clips_are_named(name, layer, tmp_path, monkeypatch):
    def spoil(task, batch):
        task.network.get_submodule(layer).bias.fill_(torch.nan)

    text = broken(monkeypatch, tmp_path, name, spoil)
    assert f"the loss of step {LATE} is nan: layer '{layer}' (Linear) first gave NaN" in text
    assert "its 'bias' holds NaN" in text
    assert text.startswith("toy-0-")


@pytest.mark.parametrize("name", ["paraformer", "ctc", "autoregressive"])
def test_it_is_the_training_batch_that_is_run_again(name, tmp_path, monkeypatch):
    def spoil(task, batch):
        batch.features[0] = torch.nan

    assert "nan: the model (" in (text := broken(monkeypatch, tmp_path, name, spoil))
    assert "was given NaN" in text


def test_a_loss_of_its_own_making_is_told_apart(tmp_path, monkeypatch):
    def spoil(task, batch):
        task.loss_config.quantity = float("inf")

    assert "every layer of the network gives finite" in broken(
        monkeypatch, tmp_path, "paraformer", spoil
    )
