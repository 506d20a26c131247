"""Settings of trainings that take seconds."""

import pytest

from faultline.config import load_config
from faultline.training.fit import train
from faultline.training.resume import ResumePoints

SMALL = [
    "model=scratch_ed_plus", "model.base_channels=8", "data.crop=64", "data.batch_size=4",
    "data.crops_per_image=1", "trainer.precision=fp32", "trainer.accelerator=cpu",
    "trainer.tensorboard=false", "data.validation=split", "optimizer.lr=0.01",
]  # fmt: skip


def settings(data, out, *words):
    return load_config([f"data={data}", f"output_dir={out}", *SMALL, *words])


def silent(line):
    pass


def train_until_killed(config, step, monkeypatch):
    """Train until it dies like a killed process right after resume point `step` was written."""

    class Killed(BaseException):
        pass

    save = ResumePoints.save

    def save_and_die(self, trainer):
        save(self, trainer)
        if trainer.global_step >= step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ResumePoints, "save", save_and_die)
        with pytest.raises(Killed):
            train(config, say=silent)
