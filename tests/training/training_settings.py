"""Settings of trainings that take seconds."""

from faultline.config import load_config

SMALL = [
    "model=scratch_ed_plus", "model.base_channels=8", "data.crop=64", "data.batch_size=4",
    "data.crops_per_image=1", "trainer.precision=fp32", "trainer.accelerator=cpu",
    "trainer.tensorboard=false", "data.validation=split", "optimizer.lr=0.01",
]  # fmt: skip


def settings(data, out, *words):
    return load_config([f"data={data}", f"output_dir={out}", *SMALL, *words])


def silent(line):
    pass
