"""Training memory of the fifteen backbones at 224 px, counted, beside the document's figures.

What autograd keeps is counted in forward passes of one and two pictures; 16 bytes a parameter are
added. Nothing is timed and no peak is measured, so that what else runs does not matter.

    python benchmarks/backbone_memory.py [--sizes full,nano] [--precision bf16]
"""

from __future__ import annotations

import argparse

import torch

from faultline.artifacts.precision import resolve_precision
from faultline.profiling.backbones import DOCUMENT
from faultline.profiling.profile import ProfileSettings, count_costs, counted_curve
from faultline.profiling.subject import BACKBONE, Subject
from faultline.training.memory import tier

HEAD = (
    "name", "size", "parameters", "kept a picture", "GB at 2", "at 8", "at 32", "tier",
    "document: at 2", "at 8", "at 32", "tier",
)  # fmt: skip
BATCHES = (2, 8, 32)


def cells(name, size, precision):
    device = torch.device("cpu")
    subject = Subject(BACKBONE, name, {"size": size, "features": False})
    settings = ProfileSettings((224, 224), (1,))
    costs = count_costs(subject, device, settings, resolve_precision(precision, device))
    each = costs["activations"]
    curve = counted_curve(costs["parameters"], each, costs["kept_once"], BATCHES)
    row = DOCUMENT[name]
    return [
        f"`{name}`", size, f"{costs['parameters'] / 1e6:.1f} M", f"{each / 1e6:.0f} MB",
        *(f"{curve.at(batch) / 1e9:.2f}" for batch in BATCHES), tier(curve).value,
        *(f"{row.gigabytes[batch]:.2f}" for batch in BATCHES), row.tier,
    ]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="full,nano")
    parser.add_argument("--precision", default="bf16")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for size in asked.sizes.split(","):
        for name in DOCUMENT:
            print(f"| {' | '.join(cells(name, size, asked.precision))} |", flush=True)


if __name__ == "__main__":
    main()
