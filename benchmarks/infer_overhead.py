"""What `infer` costs besides the model, on one core, and whether its memory stays flat.

The model is replaced by one that answers at once with a stored mask, so that decoding, measuring,
drawing and writing are all that is left. Pictures are drawn, 480x320.

    python benchmarks/infer_overhead.py [--pictures 200] [--many 2000]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from faultline.artifacts.bundle import Bundle
from faultline.data.images import read_image
from faultline.data.synthetic import write_crack_dataset
from faultline.models import create_model
from faultline.predict.infer import infer
from faultline.predict.options import InferOptions
from faultline.predict.predictor import Predictor
from faultline.predict.probability import Prediction
from faultline.types import LabelKind, LabelSpace


class Instant(Predictor):
    """Answers with the dark pixels: as crack-like as a real answer, in next to no time."""

    def predict_batch(self, images):
        answers = []
        for image in images:
            dark = image[..., 1] < image[..., 1].mean() - 2.5 * image[..., 1].std()
            mask = dark.astype("uint8")
            answers.append(Prediction(mask[None].astype("float32"), mask, 0.5, "", 0.0))
        return answers


def predictor():
    model = create_model("unet_mini", base_channels=2)
    space = LabelSpace(LabelKind.BINARY, ("crack",))
    bundle = Bundle("unet_mini", {"base_channels": 2}, space, model.state_dict())
    return Instant(bundle, "cpu", "fp32")


def measure(folder, count, save):
    files = sorted(Path(folder).rglob("*.jpg"))
    inputs = []
    links = Path(save) / "in"
    links.mkdir(parents=True)
    for number in range(count):
        link = links / f"{number:05}.jpg"
        link.symlink_to(files[number % len(files)])
        inputs.append(link)
    read_image(inputs[0])
    answer = predictor()
    started = time.perf_counter()
    infer(answer, [str(links)], Path(save) / "out", InferOptions(workers=1))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "pictures": count,
        "ms_per_picture": round(1e3 * seconds / count, 2),
        "peak_mib": round(peak),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--many", type=int, default=2000)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        folder, count, save = arguments.child
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        torch.set_num_threads(1)
        print(json.dumps(measure(folder, int(count), save)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        write_crack_dataset(Path(scratch) / "data", counts={"test": 20})
        for count in (20, arguments.pictures, arguments.many):
            words = ["--child", f"{scratch}/data", str(count), f"{scratch}/{count}"]
            subprocess.run([sys.executable, __file__, *words], check=True)


if __name__ == "__main__":
    main()
