"""The training report, section by section, filled from one run and one evaluation."""

from __future__ import annotations

from datetime import UTC, datetime

from faultline.evaluation.prompted.document import Section
from faultline.evaluation.prompted.facts import Facts, number, percent, quoted
from faultline.evaluation.prompted.sections_data import data_sections, training_sections
from faultline.evaluation.prompted.sections_end import closing_sections
from faultline.evaluation.prompted.sections_results import result_sections

__all__ = ["Facts", "report_sections"]


def report_sections(facts: Facts) -> tuple[str, list[str], list[Section]]:
    """Title, line of facts below it, and the sections."""
    title = f"Training report: prompted segmentation of {', '.join(facts.metrics['classes'])}"
    meta = [
        f"{facts.metrics['images']} pictures ({facts.metrics['split']})",
        f"model {facts.request.bundle.model_name}",
        datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    ]
    sections = [
        _summary(facts),
        _goal(facts),
        *_approach(facts),
        *data_sections(facts),
        *training_sections(facts),
        *result_sections(facts),
        *closing_sections(facts),
    ]
    return title, meta, sections


def _summary(facts: Facts) -> Section:
    metrics = facts.metrics
    best = max(facts.shown, key=lambda n: facts.shown[n]["iou"], default="")
    worst = min(facts.shown, key=lambda n: facts.shown[n]["iou"], default="")
    lines = [
        f"Mean IoU over the {len(facts.shown)} prompts that test pictures show is "
        f"{number(metrics['mean_iou'])}, mean Dice {number(metrics['mean_dice'])}. Asked for "
        f"something that is not there, the weights paint more than "
        f"{percent(metrics['false_share'])} of the picture in "
        f"{percent(metrics['false_answer_rate'])} of the cases."
    ]
    if best:
        lines.append(
            f"Best is {best} (IoU {number(facts.shown[best]['iou'])}), worst {worst} "
            f"(IoU {number(facts.shown[worst]['iou'])})."
        )
    return Section("Executive summary", [*lines])


def _goal(facts: Facts) -> Section:
    table = facts.request.bundle.extra["prompts"]["table"]["classes"]
    wanted = "; ".join(f"{name}: {quoted(entry['prompts'])}" for name, entry in table.items())
    return Section(
        "Goal",
        [
            "One model that takes a picture and a prompt, and returns a mask of what the prompt "
            f"asks for. It was taught {len(table)} things. {wanted}.",
            "Masks are PNG files of one channel with the values 0 and 255, at the size of the "
            "picture, named {picture}__{prompt}.png. A prompt for something that is not there "
            "gets an empty mask.",
        ],
    )


def _approach(facts: Facts) -> list[Section]:
    bundle = facts.request.bundle
    settings = facts.metrics["bundle"]["settings"]
    shown = ", ".join(f"{name} {value}" for name, value in settings.items()) or "its defaults"
    loss = facts.training.get("criterion") or {}
    name = (facts.training.get("loss") or {}).get("name", "")
    sources = ", ".join(bundle.extra["prompts"].get("sources", []))
    words = ", ".join(f"{setting} {value}" for setting, value in loss.items())
    model = (
        "A small text encoder (letter trigrams, transformer blocks) and a skip-free convolutional "
        "encoder-decoder were trained together from random weights; the prompt scales and shifts "
        "the decoder's channels."
        if bundle.model_name == "prompt_ed"
        else "CLIP's encoders for pictures and text were used as they were pretrained; a decoder "
        "was trained on their features."
        if bundle.model_name == "clipseg"
        else "A promptable network of a plug-in."
    )
    return [
        Section("Approach"),
        Section("Model", [model, f"Settings of {bundle.model_name}: {shown}."], 3),
        Section(
            "Training strategy",
            [
                f"All sources were trained together ({sources}), each equally often and within "
                "each every class equally often. A picture was "
                "also asked for what it does not show, with an empty mask as the answer, and for "
                "things that no class is. Prompts were reworded by templates, synonyms and slips "
                "of the pen.",
                f"Loss: {name} ({words or 'settings not recorded'}); logits go into it, "
                "and probabilities exist in the predictor only.",
            ],
            3,
        ),
        Section(
            "Models tried",
            [
                f"This report is about one model, {bundle.model_name}. Others are trained with "
                "model.name=prompt_ed or model.name=clipseg (decoders product, original and "
                "multiscale) and reported in the same form."
            ],
        ),
    ]
