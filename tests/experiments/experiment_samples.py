"""Tiny trainings, and run folders made by hand."""

import json
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser

from omegaconf import OmegaConf

from faultline.artifacts.run import RunFolder
from faultline.cli import main
from faultline.experiments.runners import Runner

TINY = [
    "model.base_channels=4", "data.crop=32", "data.batch_size=4", "data.crops_per_image=1",
    "data.validation=split", "trainer.precision=fp32", "trainer.accelerator=cpu",
    "trainer.tensorboard=false", "trainer.max_steps=2", "evaluation.examples=0",
]  # fmt: skip


def run(*words):
    """Run the command in this process; its exit code."""
    before, sys.argv = sys.argv, ["faultline", *map(str, words)]
    try:
        main()
    except SystemExit as stop:
        return stop.code or 0
    finally:
        sys.argv = before
    return 0


def silent(line):
    pass


@dataclass
class PlainConfig:
    """A configuration of next to nothing, for a kind of run that costs nothing."""

    experiment: str | None = None
    output_dir: str = "runs"
    seed: int = 0
    model: dict = field(default_factory=lambda: {"name": "a"})
    augment: dict = field(default_factory=dict)
    level: float = 0.0


@dataclass
class Told:
    run: RunFolder
    interrupted: bool = False


class PlainRunner:
    """Trains nothing, does as it is told, and counts how often it was asked."""

    def __init__(self):
        self.trained = []
        self.resumed = []
        self.evaluated = []
        self.behaviour = {}
        self.test_set = True

    def runner(self):
        return Runner(
            load=self.load, check=lambda config: None, read=self.read, write=self.write,
            train=self.train, evaluate=self.evaluate, prepare=lambda config: None,
        )  # fmt: skip

    def load(self, words, file):
        values = OmegaConf.merge(PlainConfig, OmegaConf.from_dotlist(list(words)))
        return OmegaConf.to_object(values)

    def read(self, path):
        return OmegaConf.to_object(OmegaConf.merge(PlainConfig, OmegaConf.load(path)))

    def write(self, config):
        return OmegaConf.to_yaml(OmegaConf.structured(config))

    def train(self, config, say, resume):
        if resume is not None:
            folder = RunFolder(resume)
            config = self.read(folder.config)
            self.resumed.append((config.model["name"], config.seed))
        else:
            folder = RunFolder.create(config.output_dir, config.experiment, self.write(config))
            self.trained.append((config.model["name"], config.seed))
        folder.last_checkpoint.touch()
        act = self.behaviour.get((config.model["name"], config.seed))
        if act is not None:
            interrupted = act(folder)
            if interrupted:
                return Told(folder, interrupted=True)
        folder.results.write_text(json.dumps({"status": "finished", "seed": config.seed}))
        return Told(folder)

    def evaluate(self, run, say):
        if not self.test_set:
            return None
        self.evaluated.append(run.name)
        return run


def write_run(
    root, name, settings=(), *, seed=0, iou=0.5, status="finished", test=None, images=(), rows=3,
    kind="segmentation", fingerprint="f" * 16, best=None, seconds=60.0,
):  # fmt: skip
    """A run folder as a training leaves it; `test` are its scores on a test set.

    `images` are (tp, fp, fn) of the test pictures; `status` None leaves `results.json` out.
    """
    folder = root / name / "20260102T030405Z-abcdef"
    (folder / "checkpoints").mkdir(parents=True)
    config = {"experiment": name, "output_dir": str(root), "seed": seed, "task": kind,
              "model": {"name": "unet"}, "data": {"root": "photos"}}  # fmt: skip
    values = OmegaConf.merge(config, OmegaConf.from_dotlist(list(settings)))
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(values))
    (folder / "provenance.json").write_text(
        json.dumps({"data_fingerprint": fingerprint, "package_hash": "p" * 8})
    )
    lines = ["epoch,step,seconds,images_per_second,memory_mib,peak_memory_mib,train/loss,val/iou"]
    lines += [f"{n},{n * 10},{(n + 1) * 20.0},{10 + n},500,{600 + n},{1 / (n + 1)},{iou - 0.01 * n}"
              for n in range(rows)]  # fmt: skip
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    (folder / "checkpoints" / "last.ckpt").touch()
    if status is not None:
        scores = best or {"iou": iou, "dice": 2 * iou / (1 + iou), "epoch": 0, "threshold": 0.4}
        results = {"status": status, "task": kind, "parameters": 1000, "best": scores,
                   "epochs": rows, "steps": 30, "seconds": seconds, "images_per_second": 11.0,
                   "seed": seed}  # fmt: skip
        (folder / "results.json").write_text(json.dumps(results))
    if test is not None:
        (folder / "metrics_test.json").write_text(json.dumps(test))
    if images:
        table = ["class,id,group,tp,fp,fn"]
        table += [f"crack,{n},{n},{tp},{fp},{fn}" for n, (tp, fp, fn) in enumerate(images)]
        (folder / "per_image.csv").write_text("\n".join(table) + "\n")
    return folder


def pooled(**scores):
    """`metrics_test.json` of masks with these scores."""
    ends = {"low": None, "high": None}
    return {
        "pooled": {key: {"value": value, **ends} for key, value in scores.items()},
        "data": {"name": "photos", "root": "photos", "fingerprint": "t" * 8},
        "images": 4, "seconds_per_image": 0.02,
    }  # fmt: skip


def write_grid(root, scores, part="test"):
    """Runs of models by seed: model word -> IoU of seed 0, 1, ..."""
    for model, values in scores.items():
        for seed, iou in enumerate(values):
            test = pooled(iou=iou, dice=iou) if part == "test" else None
            name = f"{model.rpartition('=')[2]}-{seed}"
            write_run(root, name, [model], seed=seed, iou=iou, test=test)


class Page(HTMLParser):
    """Text of a page; fails on tags that do not match."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.tags = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
