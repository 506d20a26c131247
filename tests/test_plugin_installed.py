"""The package of `extending.md`, installed by pip into an environment of its own, and used there.

The environment is a fresh one (`python -m venv`) that sees the packages of the one that tests run
in, so that nothing is downloaded; the plugin is built and installed into it for real.
"""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import cv2
import numpy as np
import pytest

import faultline
from faultline.artifacts.bundle import load_bundle

ROOT = Path(__file__).resolve().parents[1]
PARTS = {
    "models": "dilated_net",
    "losses": "squared_error",
    "augmentations": "posterize",
    "importers": "name_list",
}

pytestmark = pytest.mark.slow


def ran(*words, check=True, **settings):
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True, text=True, timeout=900, check=False,
        env={**clean, "OMP_NUM_THREADS": "1", **settings},
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Python of an environment where the plugin is installed."""
    folder = tmp_path_factory.mktemp("installed")
    ran(sys.executable, "-m", "venv", "--without-pip", folder / "env")
    python = folder / "env" / "bin" / "python"
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    seen = [sysconfig.get_paths()["purelib"], str(Path(faultline.__file__).parents[1])]
    (site / "packages_of_the_tests.pth").write_text("\n".join(seen) + "\n")
    guide = (ROOT / "docs" / "extending.md").read_text("utf-8")
    package = folder / "package"
    package.mkdir()
    for language, name in (("toml", "pyproject.toml"), ("python", "faultline_edges.py")):
        text = re.search(rf"```{language}\n(.*?)```", guide, re.DOTALL).group(1)
        (package / name).write_text(text)
    ran(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index",
        "--no-deps", "--no-build-isolation", package,
    )  # fmt: skip
    assert list(site.glob("faultline_edges-0.1.dist-info/RECORD"))
    return python


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """Pictures and masks as the importer of the guide wants them."""
    folder = tmp_path_factory.mktemp("listed")
    (folder / "masks").mkdir()
    rng = np.random.default_rng(0)
    lines = []
    for number in range(8):
        picture = rng.normal(150, 10, (48, 48, 3))
        mask = np.zeros((48, 48), np.uint8)
        mask[10 + number : 14 + number] = 255
        picture[mask > 0] -= 100
        name = f"{number}.png"
        cv2.imwrite(str(folder / name), np.clip(picture, 0, 255).astype(np.uint8))
        cv2.imwrite(str(folder / "masks" / name), mask)
        lines.append(f"{name} masks/{name}")
    (folder / "pairs.txt").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize(("kind", "name"), PARTS.items())
def test_its_parts_are_listed_there_and_not_here(environment, kind, name):
    assert name in ran(environment, "-m", "faultline", "list", kind).stdout
    assert name not in ran(sys.executable, "-m", "faultline", "list", kind).stdout


def test_all_its_parts_work_together_there(environment, listed, tmp_path):
    words = [
        f"data={listed}", "data.format=name_list", "model=dilated_net", "model.base_channels=4",
        "loss=squared_error", "augment.posterize={bits: 4}", f"output_dir={tmp_path / 'runs'}",
        "data.crop=32", "data.batch_size=4", "trainer.max_epochs=1", "trainer.precision=fp32",
        "trainer.accelerator=cpu", "trainer.tensorboard=false",
    ]  # fmt: skip
    assert "dilated_net" in ran(environment, "-m", "faultline", "train", *words).stdout
    weights = tmp_path / "runs" / "dilated_net" / "latest"
    assert load_bundle(weights).model_settings["base_channels"] == 4
    infer = ["-m", "faultline", "infer", "--weights", weights, "--input", listed / "0.png"]
    ran(environment, *infer, "--save", tmp_path / "there")
    assert (tmp_path / "there" / "0_mask.png").is_file()
    # Where it is not installed, the weights say what they lack.
    here = ran(sys.executable, *infer, "--save", tmp_path / "here", check=False)
    assert here.returncode == 1
    assert "dilated_net" in here.stderr
    assert "the plugins that it was trained with" in here.stderr


def test_it_can_be_taken_away_again(environment):
    ran(sys.executable, "-m", "pip", "--python", environment, "uninstall", "-q", "-y",
        "faultline-edges")  # fmt: skip
    assert "dilated_net" not in ran(environment, "-m", "faultline", "list", "models").stdout
