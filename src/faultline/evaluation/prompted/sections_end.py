"""Report: costs, implementation, recommendations, conclusion, and how to get it again."""

from __future__ import annotations

import json
import sys

from faultline.artifacts.run import RunFolder
from faultline.evaluation.prompted.document import Block, Code, Section, Table
from faultline.evaluation.prompted.facts import NOT_KNOWN, Facts, number, percent, size, span


def closing_sections(facts: Facts) -> list[Section]:
    """Everything after the results."""
    return [
        _footprint(facts),
        _implementation(facts),
        _recommendations(facts),
        _conclusion(facts),
        *_reproducibility(facts),
    ]


def _footprint(facts: Facts) -> Section:
    found = facts.metrics["footprint"]
    rows = [
        ["Parameters", f"{found['parameters']:,}"],
        ["Numbers in the weights file, statistics included", f"{found['trained']:,}"],
        ["Size on disk, fp32", size(found["bytes_fp32"])],
        ["Size on disk, fp16", size(found["bytes_fp16"])],
        ["Time per epoch, validation included", span(found["epoch_seconds"])],
        ["Epochs", str(found["epochs"]) if found["epochs"] is not None else NOT_KNOWN],
        ["Time of the training", span(found["seconds"])],
        [f"One picture of {found['width']}x{found['height']}, one prompt",
         f"{found['single_ms']:.1f} ms on {found['device']}"],
        [f"The same, per picture in batches of {found['batch']}", f"{found['batched_ms']:.1f} ms"],
    ]  # fmt: skip
    return Section("Runtime and footprint", [Table(["What", "Measured"], rows)])


def _implementation(facts: Facts) -> Section:
    bundle = facts.request.bundle
    spec = bundle.input
    clean = facts.metrics["clean_up"]
    kept = ", ".join(f"{step} for {name}" for name, step in clean.items())
    blocks: list[Block] = [
        f"Pictures are scaled with mean {list(bundle.normalisation.mean)} and standard deviation "
        f"{list(bundle.normalisation.std)}; "
        + (f"their longest side is brought to {spec.resize} pixels" if spec.resize
           else "their size is kept")
        + f"; above {spec.max_pixels:,} pixels they are answered in tiles of {spec.tile}.",
        "Masks are read by an explicit rule; a value that the rule does not list is refused.",
        "The network gives logits. A pixel is painted where its probability reaches the threshold "
        "of the prompt's class; thresholds come from a histogram of 1,000 steps on validation.",
        f"Clean-up kept after trial on validation: {kept}." if kept
        else "Clean-up (morphology, a conditional random field) was not kept: it did not help on "
        "validation.",
    ]  # fmt: skip
    return Section("Technical implementation", blocks)


def _recommendations(facts: Facts) -> Section:
    rows = []
    for name, one in facts.shown.items():
        verdict = one["verdict"]
        if verdict is not None:
            rows.append([name, verdict["text"], verdict["advice"]])
    blocks: list[Block] = [
        "What the diagnosis says of each class; `faultline diagnose` shows it in full.",
        Table(["Class", "Finding", "Advice"], rows),
    ]
    wrong = sorted(
        ((one["false_answer_rate"], prompt) for prompt, one in facts.metrics["prompts"].items()
         if one["absent_pictures"] and one["false_answer_rate"] > 0.05),
        reverse=True,
    )  # fmt: skip
    if wrong:
        named = ", ".join(f'"{prompt}" ({percent(rate)})' for rate, prompt in wrong)
        blocks.append(
            f"Too many false answers: {named}. Raise prompts.absence_weight or "
            "prompts.absent_share, lower prompts.max_false_rate, or add pictures that do not "
            "show them."
        )
    return Section("Recommendations", blocks)


def _conclusion(facts: Facts) -> Section:
    metrics = facts.metrics
    drops = [
        one["difference"]
        for one in metrics["paraphrases"]
        if one["difference"] == one["difference"]
    ]
    lines = [
        f"On {metrics['images']} pictures that had no part in the training the weights reach a "
        f"mean IoU of {number(metrics['mean_iou'])}, with false answers to "
        f"{percent(metrics['false_answer_rate'])} of the questions about something absent."
    ]
    if drops:
        lines.append(
            f"Wordings that were held out change the IoU by {min(drops):+.3f} to {max(drops):+.3f}."
        )
    return Section("Conclusion", [*lines])


def _reproducibility(facts: Facts) -> list[Section]:
    request, bundle = facts.request, facts.request.bundle
    run = RunFolder(request.home)
    made = bundle.provenance
    config = run.config if run.config.is_file() else None
    command = made.get("command") or ""
    rows = [
        ["Seed", str(made.get("seed", "not recorded"))],
        ["Data fingerprint", str(made.get("data_fingerprint", "not recorded"))],
        ["Test data fingerprint", facts.metrics["data"]["fingerprint"]],
        ["Weights fingerprint", bundle.fingerprint],
        ["Package hash", str(made.get("package_hash", "not recorded"))],
        ["Faultline", str(made.get("faultline", "not recorded"))],
        ["Precision", str((made.get("device") or {}).get("precision", "not recorded"))],
        ["Trained on", str((made.get("device") or {}).get("name", "not recorded"))],
        ["Trained", str(made.get("created", "not recorded"))],
    ]
    versions = made.get("versions") or {}
    files = [
        [name, "yes" if path.is_file() else "no"]
        for name, path in (
            ("checkpoints/best.safetensors", run.best),
            ("checkpoints/last.ckpt", run.last_checkpoint),
            ("metrics.csv", run.metrics_csv),
            ("config.yaml", run.config),
        )
    ]
    typed = command if isinstance(command, str) else " ".join(map(str, command))
    again = f"faultline train --config {config}" if config else "the configuration is not at hand"
    return [
        Section("Appendix: reproducibility", [Table(["What", "Value"], rows)]),
        Section("Training command", [Code(typed or again), Code(again)], 3),
        Section("Files of the run", [Table(["File", "There"], files)], 3),
        Section(
            "Dependencies",
            [Table(["Library", "Version"], [[n, str(v)] for n, v in versions.items()])]
            if versions
            else [
                f"Versions recorded with the weights: none; this Python is {sys.version_info[:3]}."
            ],
            3,
        ),
        Section(
            "Settings of the model",
            [json.dumps(facts.metrics["bundle"]["settings"], default=str)],
            3,
        ),
    ]
