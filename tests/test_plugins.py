"""A plugin package, installed where Python looks: a model, a loss, an augmentation, a format.

It is a real installation: the files and metadata that an installer leaves, in a folder that a
fresh interpreter finds; every part is then used through the command line.
"""

import json
import os
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest

CODE = '''
"""Parts of a package of somebody else's."""

import numpy as np
import torch
from torch import nn

from faultline.data.importers.class_folders import import_class_folders
from faultline.losses.loss import SIGMOID_KINDS, SegmentationLoss
from faultline.models import MODELS


@MODELS.register("plug_net", tags=["classification"])
class PlugNet(nn.Module):
    """Means of colours, and a linear layer.

    Args:
        num_classes: Logits.
        width: Channels in between.
    """

    def __init__(self, num_classes: int = 1, width: int = 4) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, width), nn.Linear(width, num_classes)

    def forward(self, x):
        return self.last(self.first(x.mean((2, 3))).relu())


class SquaredError(SegmentationLoss):
    """Squared error of probabilities.

    Args:
        kind: Relation between classes.
        factor: What it is multiplied by.
    """

    def __init__(self, kind: str = "binary", factor: float = 1.0) -> None:
        super().__init__(kind)
        self.factor = factor

    def compute(self, pixels):
        return self.factor * pixels.mean((pixels.probabilities() - pixels.target) ** 2)


class Dim(nn.Module):
    """Halves the light."""

    def forward(self, image, mask):
        return image // 2, mask


def read_plain(root, options):
    """Class folders, once more."""
    raise RuntimeError("not used here")
'''
POINTS = """
[faultline.models]
plug_net = plug_parts:PlugNet
[faultline.losses]
plug_error = plug_parts:SquaredError
[faultline.augmentations]
plug_dim = plug_parts:Dim
[faultline.importers]
plug_format = plug_parts:read_plain
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """What `pip install --target` leaves behind."""
    folder = tmp_path_factory.mktemp("site")
    code = CODE.replace(
        "from faultline.data.importers.class_folders import import_class_folders\n", ""
    )
    (folder / "plug_parts.py").write_text(textwrap.dedent(code))
    info = folder / "plug_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug-parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    (info / "RECORD").write_text("plug_parts.py,,\n")
    (info / "INSTALLER").write_text("pip\n")
    return folder


def faultline(site, *words, check=True):
    return python(site, "-m", "faultline", *words, check=check)


def python(site, *words, check=True):
    source = str(next(path for path in sys.path if path.rstrip("/").endswith("src")))
    paths = os.pathsep.join([str(site), source])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True, text=True, timeout=300, env=environment, check=False,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


LISTS = """
import json
from faultline.data.importers import IMPORTERS
from faultline.data.transforms import AUGMENTATIONS
from faultline.losses import LOSSES
from faultline.models import MODELS
registries = (MODELS, LOSSES, AUGMENTATIONS, IMPORTERS)
print(json.dumps({r.kind: [entry.describe() for entry in r] for r in registries}))
"""


def test_its_parts_are_listed_with_their_settings(site):
    found = json.loads(python(site, "-c", LISTS).stdout)
    for kind, name, setting in (("model", "plug_net", "width"), ("loss", "plug_error", "factor"),
                                ("augmentation", "plug_dim", None),
                                ("data format", "plug_format", "root")):  # fmt: skip
        row = next(row for row in found[kind] if row["name"] == name)
        assert row["summary"]
        assert setting is None or setting in row["schema"]["properties"]


def test_it_trains_and_its_bundle_needs_it(site, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(16):
        for name, light in (("dark", 40), ("light", 200)):
            (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
            picture = np.clip(rng.normal(light, 9, (12, 12, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "data" / name / f"{name}{number}.png"), picture)
    words = [f"data={tmp_path / 'data'}", f"output_dir={tmp_path / 'runs'}", "model=plug_net",
             "model.width=3", "loss=cross_entropy", "+augment.plug_dim={}", "data.image_size=12",
             "trainer.max_epochs=2", "trainer.tensorboard=false",
             "trainer.precision=fp32"]  # fmt: skip
    said = faultline(site, "train", *words).stdout
    assert "plug_net" in said
    weights = tmp_path / "runs" / "plug_net" / "latest"
    infer = ("infer", "--weights", weights, "--input", tmp_path / "data", "--save", tmp_path / "o")
    faultline(site, *infer)
    assert (tmp_path / "o" / "predictions.csv").is_file()
    without = faultline(tmp_path / "empty", *infer, check=False)
    assert without.returncode == 1
    assert "plug_net" in without.stderr
    assert "plugins" in without.stderr


@pytest.mark.slow
def test_a_broken_plugin_is_named(site, tmp_path):
    import shutil

    broken = tmp_path / "site"
    shutil.copytree(site, broken)
    (broken / "plug_parts.py").write_text("import nothing_of_that_name\n")
    done = faultline(broken, "list", "models", check=False)
    assert done.returncode == 2
    assert "plug_parts" in done.stderr
    assert "uninstall the package" in done.stderr
