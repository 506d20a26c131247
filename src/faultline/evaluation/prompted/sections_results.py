"""Report: what came out, prompt by prompt, where it fails, and what it looks like."""

from __future__ import annotations

from faultline.evaluation.prompted.document import Block, Picture, Section, Table
from faultline.evaluation.prompted.facts import Facts, number, percent
from faultline.evaluation.prompted.scores import HELD_OUT

_METRICS = (
    ("iou", "IoU"), ("dice", "Dice"), ("precision", "Precision"), ("recall", "Recall"),
    ("pixel_accuracy", "Pixel accuracy"), ("iou_per_picture", "IoU, mean of pictures"),
)  # fmt: skip


def result_sections(facts: Facts) -> list[Section]:
    """Overall figures, each prompt, paraphrases, confusion, failures and examples."""
    return [
        Section("Results summary", _overall(facts)),
        _before_after(facts),
        Section("Detailed results"),
        _per_prompt(facts),
        _absent(facts),
        _paraphrases(facts),
        _confusion(facts),
        _by_source(facts),
        *_analysis(facts),
        *_examples(facts),
    ]


def _overall(facts: Facts) -> list[Block]:
    metrics = facts.metrics
    rows = [
        ["mIoU, one threshold per prompt", number(metrics["mean_iou"])],
        ["mIoU, one threshold for all", number(metrics["mean_iou_shared_threshold"])],
        ["mIoU at 0.5", number(metrics["mean_iou_at_0.5"])],
        ["Dice", number(metrics["mean_dice"])],
        ["False answers to absent prompts", percent(metrics["false_answer_rate"])],
    ]
    return [
        "mIoU is the mean of the foreground IoU over the prompts that some picture shows. "
        "Pictures that do not show what was asked for count as false answers only.",
        Table(["Figure", "Value"], rows),
    ]


def _before_after(facts: Facts) -> Section:
    rows = [
        [name, number(one["iou_at_0.5"]), number(one["iou"]), number(one["threshold"]),
         number(one["iou"] - one["iou_at_0.5"])]
        for name, one in facts.shown.items()
    ]  # fmt: skip
    text = (
        "Before: the fixed threshold 0.5. After: the thresholds that were tuned on validation, "
        "as stored in the weights. A model whose probabilities stay below 0.5 has IoU 0 before, "
        "whatever it has learned."
    )
    columns = ["Class", "IoU at 0.5", "IoU, tuned", "Threshold", "Difference"]
    return Section("Before and after tuning the threshold", [text, Table(columns, rows)], 3)


def _per_prompt(facts: Facts) -> Section:
    rows = []
    for prompt, one in facts.metrics["prompts"].items():
        if one["kind"] == HELD_OUT or not one["pictures"]:
            continue
        wrong = [f"{one[f'false_{side}_pixels']:,}" for side in ("positive", "negative")]
        scores = [number(one[key]) for key, _ in _METRICS]
        rows.append([f'"{prompt}"', one["class"], str(one["pictures"]), *scores, *wrong])
    columns = ["Prompt", "Class", "Pictures", *(name for _, name in _METRICS),
               "False positive pixels", "False negative pixels"]  # fmt: skip
    return Section("Per prompt", [Table(columns, rows)], 3)


def _absent(facts: Facts) -> Section:
    rows = [
        [f'"{prompt}"', str(one["absent_pictures"]), str(one["false_answers"]),
         percent(one["false_answer_rate"])]
        for prompt, one in facts.metrics["prompts"].items()
        if one["absent_pictures"]
    ]  # fmt: skip
    text = (
        f"A false answer paints more than {percent(facts.metrics['false_share'])} of a picture "
        "that does not show what was asked for."
    )
    columns = ["Prompt", "Pictures without it", "False answers", "Share"]
    return Section("Asked for what is not there", [text, Table(columns, rows)], 3)


def _paraphrases(facts: Facts) -> Section:
    found = facts.metrics["paraphrases"]
    if not found:
        text = "The table holds back no wording of a class that the test pictures show."
        return Section("Wordings held out of training", [text], 3)
    rows = [
        [f'"{one["prompt"]}"', one["class"], number(one["iou"]), number(one["trained_iou"]),
         f"{one['difference']:+.3f}", "yes" if one["known"] else "no"]
        for one in found
    ]  # fmt: skip
    columns = ["Wording", "Class", "IoU", "IoU of the trained prompt", "Difference", "Understood"]
    distance = facts.metrics["distance"]
    blocks: list[Block] = [Table(columns, rows)]
    if distance:
        blocks.append(
            f"A prompt farther than {number(distance.get('limit'))} from every known one is "
            "answered with a warning and an empty mask. On wordings drawn anew that refuses "
            f"{percent(distance.get('known_refused'))}, and of prompts that mean nothing "
            f"learned it lets {percent(distance.get('foreign_taken'))} through."
        )
    return Section("Wordings held out of training", blocks, 3)


def _confusion(facts: Facts) -> Section:
    names = list(facts.metrics["classes"])
    rows = [
        [name, *(percent(row[other]) for other in names)]
        for name, row in facts.metrics["confusion"].items()
    ]
    text = "Share of the pixels of a class (row) that the answer to each prompt (column) paints."
    return Section("Confusion between prompts", [text, Table(["Shown", *names], rows)], 3)


def _by_source(facts: Facts) -> Section:
    rows = [
        [source, name, number(iou)]
        for source, classes in facts.metrics["sources"].items()
        for name, iou in classes.items()
    ]
    return Section("By source", [Table(["Source", "Class", "IoU"], rows)], 3)


def _analysis(facts: Facts) -> list[Section]:
    good = [n for n, one in facts.shown.items() if one["iou"] >= 0.5]
    weak = [n for n, one in facts.shown.items() if not one["iou"] >= 0.3]
    careful = [n for n, one in facts.shown.items() if one["precision"] > one["recall"] + 0.1]
    eager = [n for n, one in facts.shown.items() if one["recall"] > one["precision"] + 0.1]
    strengths = [
        f"IoU of 0.5 or more: {', '.join(good)}." if good else "No prompt reaches an IoU of 0.5.",
        f"Asked for something absent, {percent(1 - facts.metrics['false_answer_rate'])} of the "
        "answers stay clean."
        if facts.metrics["false_answer_rate"] == facts.metrics["false_answer_rate"]
        else "No picture was asked for something absent.",
    ]
    limits = [
        f"IoU below 0.3: {', '.join(weak)}." if weak else "No prompt has an IoU below 0.3.",
        f"Misses more than it invents: {', '.join(careful)}." if careful else "",
        f"Invents more than it misses: {', '.join(eager)}." if eager else "",
    ]
    few = [n for n, one in facts.shown.items() if one["pictures"] < 20]
    if few:
        limits.append(f"Fewer than 20 test pictures, so the figure is rough: {', '.join(few)}.")
    failures: list[Block] = [
        Picture(one.path, one.caption) for one in facts.drawn if one.rank in ("worst", "false")
    ]
    if not failures:
        failures = ["No failure was drawn: there are too few answers to rank."]
    return [
        Section("Model performance analysis"),
        Section("Strengths", [*strengths], 3),
        Section("Limitations", [text for text in limits if text], 3),
        Section("Failure cases", failures, 3),
    ]


def _examples(facts: Facts) -> list[Section]:
    chosen: list[Block] = [
        Picture(one.path, one.caption) for one in facts.drawn if one.rank in ("best", "median")
    ]
    several: list[Block] = [
        Picture(one.path, one.caption) for one in facts.drawn if one.rank == "several"
    ]
    return [
        Section("Visual examples"),
        Section("Answers", chosen or ["There are too few answers to choose examples from."], 3),
        Section(
            "One picture under several prompts",
            several or ["No picture that shows a class could be read again."],
            3,
        ),
    ]
