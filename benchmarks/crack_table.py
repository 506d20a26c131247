"""The table of crack models: same data, same wall-clock budget, several seeds.

Trains each model with each seed through the command's own functions, evaluates on the held-out
pictures with the threshold from validation, and prints a Markdown table. Finished runs are
not repeated: the table can be stopped and started again.

    python benchmarks/crack_table.py data=FOLDER [key=value ...] --out DIR [--minutes 15] \
        [--seeds 0,1] [--models unet_mini,scratch_ed,scratch_ed_plus]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from faultline.config import load_config
from faultline.evaluation.command import evaluate_weights
from faultline.training.fit import train

COLUMNS = ("iou", "dice", "f1_tolerance", "precision", "recall", "cliou")


def run_one(overrides, model, seed, minutes, out):
    done = out / f"{model}-{seed}.json"
    if done.exists():
        return json.loads(done.read_text())
    words = [*overrides, f"seed={seed}", f"trainer.max_time={minutes}m", f"output_dir={out}/runs"]
    result = train(load_config(words, model=model), say=print)
    if result.interrupted:
        raise SystemExit(130)
    scores = evaluate_weights(result.run.path, (), say=print).metrics
    row = {
        "model": model, "seed": seed, "parameters": result.results["parameters"],
        "steps": result.results["steps"], "images_per_second": result.results["images_per_second"],
        "validation_iou": result.results["best"]["iou"],
        "threshold": result.results["best"]["threshold"],
        "run": str(result.run.path), "scores": scores,
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    done.write_text(json.dumps(row, indent=2, default=str))
    return row


def table(rows):
    head = ["model", "parameters", "seeds", "steps", "images/s", *COLUMNS]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        cells = [
            model, f"{mine[0]['parameters']:,}", str(len(mine)),
            str(round(np.mean([row["steps"] for row in mine]))),
            f"{np.mean([row['images_per_second'] for row in mine]):.1f}",
        ]  # fmt: skip
        for name in COLUMNS:
            values = [row["scores"]["pooled"][name]["value"] for row in mine]
            each = ", ".join(f"{value:.3f}" for value in values)
            cells.append(f"**{np.mean(values):.3f}** ({each})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--models", default="unet_mini,scratch_ed,scratch_ed_plus")
    arguments = parser.parse_args()
    rows = []
    for seed in arguments.seeds.split(","):
        for model in arguments.models.split(","):
            row = run_one(arguments.overrides, model, int(seed), arguments.minutes, arguments.out)
            rows.append(row)
            print(table(rows), flush=True)
    (arguments.out / "table.md").write_text(table(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
