"""What `faultline evaluate` does with weights that answer prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from faultline.artifacts.run import RunFolder
from faultline.artifacts.unseen import check_unseen
from faultline.data.images import read_image
from faultline.evaluation.command import EvaluateRequest, Outcome
from faultline.evaluation.prompted.document import to_html, to_markdown
from faultline.evaluation.prompted.footprint import measure_footprint
from faultline.evaluation.prompted.items import PromptTestSet, find_prompt_test_set
from faultline.evaluation.prompted.pictures import draw_answers
from faultline.evaluation.prompted.results import answers_csv, summarise_prompts
from faultline.evaluation.prompted.scores import PromptScores, score_prompts
from faultline.evaluation.prompted.sections import Facts, report_sections
from faultline.files import check_writable, write_json, write_text
from faultline.predict.prompted import PromptPredictor
from faultline.progress import progress_bar

METRICS_NAME = "metrics_test.json"
TABLE_NAME = "per_answer.csv"
REPORT = "training_report"
PICTURES = "prompts"


def evaluate_prompts(request: EvaluateRequest) -> Outcome:
    """Ask about pictures that the weights have not seen; write figures, pictures and the report.

    Raises:
        LeakageError: The weights have seen some of the pictures.
        DataError: There are no pictures to score on.
        BundleError: The bundle answers no prompts.
        OutputError: The folder cannot be written.
    """
    bundle = request.bundle
    predictor = PromptPredictor(
        bundle, request.device, request.precision, request.threshold, request.tta
    )
    test = find_prompt_test_set(request.config, request.trained, predictor.table)
    check_unseen(bundle, test.items, by_group=test.same_data_set)
    folder = request.save if request.save is not None else _output(request.home, test)
    check_writable(folder)
    request.say(f"{len(test.items)} pictures of {test.name} ({test.split})")
    with progress_bar("pictures") as progress:
        scores = score_prompts(predictor, test.items, progress=progress)
    metrics = write_evaluation(request, predictor, test, scores, folder)
    lines = (*_lines(scores, metrics), f"report {folder / f'{REPORT}.html'}")
    return Outcome(folder, metrics, lines)


def write_evaluation(
    request: EvaluateRequest,
    predictor: PromptPredictor,
    test: PromptTestSet,
    scores: PromptScores,
    folder: Path,
) -> dict[str, Any]:
    """Write everything that came of scoring; returns what `metrics_test.json` holds."""
    some = [read_image(item.path) for item in list(scores.items.values())[:1]]
    history = RunFolder(request.home).metrics_csv
    footprint = measure_footprint(predictor, some, history)
    metrics = summarise_prompts(request.bundle, predictor, test, scores, footprint)
    drawn = draw_answers(predictor, scores, folder / PICTURES,
                         each=max(1, request.config.evaluation.examples // 3))  # fmt: skip
    facts = Facts(metrics, request, test, tuple(drawn))
    title, meta, sections = report_sections(facts)
    write_text(folder / TABLE_NAME, answers_csv(scores))
    write_text(folder / f"{REPORT}.md", to_markdown(title, sections, folder))
    write_text(folder / f"{REPORT}.html", to_html(title, meta, sections))
    metrics["files"] = {
        "report": [f"{REPORT}.md", f"{REPORT}.html"],
        "per_answer": TABLE_NAME,
        "pictures": [one.path.relative_to(folder).as_posix() for one in drawn],
    }
    write_json(folder / METRICS_NAME, metrics)
    return metrics


def _output(home: Path, test: PromptTestSet) -> Path:
    """Beside the weights; other data gets a folder of its own, so that none is lost."""
    if test.same_data_set:
        return home
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in test.name)[:80]
    return home / f"evaluation-{name}"


def _lines(scores: PromptScores, metrics: dict[str, Any]) -> list[str]:
    warning = "WARNING: no picture shows any class: these scores tell about false answers only"
    lines = [] if scores.shown else [warning]
    lines += [
        f"mIoU {_shown(scores.mean_iou)}  Dice {_shown(metrics['mean_dice'])}  "
        f"false answers {_percent(scores.false_rate)}"
    ]
    for name in scores.classes:
        score = scores.main(name)
        lines.append(
            f'  "{score.prompt}": IoU {_shown(score.counts.iou)} on {len(score.each)} pictures, '
            f"false answers {score.false_answers} of {score.absent}"
        )
    drops = [
        row["difference"]
        for row in metrics["paraphrases"]
        if row["difference"] == row["difference"]
    ]
    if drops:
        lines.append(f"held-out wordings: IoU differs by {min(drops):+.3f} at worst")
    return lines


def _shown(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"


def _percent(value: float) -> str:
    return "-" if value != value else f"{100 * value:.1f} %"
