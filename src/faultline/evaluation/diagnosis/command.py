"""What `faultline diagnose` does: predict labelled pictures and say what is wrong, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from faultline.artifacts.bundle import Bundle, load_bundle
from faultline.artifacts.run import CONFIG_NAME, home_of
from faultline.config.compose import asked_threshold, load_config
from faultline.config.paths import same_folder
from faultline.config.schema import Config
from faultline.data.images import read_image
from faultline.data.manifest import Item, Problem
from faultline.data.mask_rules import allows_any_value
from faultline.data.prepare import load_manifest, prepare
from faultline.data.prompt_items import PromptItem
from faultline.errors import BundleError, DataError, FaultlineError
from faultline.evaluation.diagnosis.drawings import (
    Answer,
    histogram_plot,
    threshold_plot,
    worst_pictures,
)
from faultline.evaluation.diagnosis.probes import Probe, mask_files, probe_masks, probe_prompts
from faultline.evaluation.layers import check_same_classes, layers
from faultline.evaluation.prompted.document import Block, Picture, Section, Table, to_html
from faultline.evaluation.prompted.items import find_prompt_test_set
from faultline.evaluation.scoring import load_pair
from faultline.files import check_writable, write_json, write_text
from faultline.metrics import Diagnosis, ProbabilityHistogram, diagnose
from faultline.predict.predictor import Predictor
from faultline.predict.prompt_meaning import known_table
from faultline.predict.prompted import PromptPredictor
from faultline.progress import progress_bar
from faultline.tasks import PROMPTED, SEGMENTATION
from faultline.types import LabelSpace


@dataclass
class DiagnosisOutcome:
    """What was found.

    Attributes:
        folder: Where it was written.
        overall: Diagnosis over everything that was asked and is shown.
        each: Diagnosis of each class or prompt.
        lines: What the console shows.
    """

    folder: Path
    overall: Diagnosis
    each: dict[str, Diagnosis]
    lines: list[str] = field(default_factory=list)


@dataclass
class _Subject:
    """Weights, the pictures they are tried on, and how to ask about one of them again."""

    items: Sequence[Item | PromptItem]
    name: str
    probes: dict[str, Probe]
    again: Callable[[str, str], Answer | None]
    problems: list[Problem]


def diagnose_weights(
    weights: str | Path,
    overrides: Sequence[str] = (),
    *,
    config_file: str | Path | None = None,
    threshold: float | None = None,
    save: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    say: Callable[[str], None] = print,
) -> DiagnosisOutcome:
    """Try weights on labelled pictures and judge their answers.

    Without `data=` the pictures are those that the training validated on. Scores are for finding
    faults, not for reporting: whether the pictures were seen in training is not asked.

    Raises:
        BundleError: The weights outline nothing, or cannot be used.
        DataError: There are no labelled pictures.
        OutputError: The folder cannot be written.
    """
    bundle = load_bundle(weights)
    if bundle.task not in (SEGMENTATION, PROMPTED):
        raise BundleError(
            f"is made for the task {bundle.task!r}: there are no masks to diagnose",
            where=bundle.source,
            remedy="give weights of segmentation or prompted",
        )
    home = home_of(weights)
    own = home / CONFIG_NAME
    trained = load_config(file=own) if own.is_file() else None
    files = [path for path in (own if trained else None, config_file) if path is not None]
    config = load_config(overrides, file=files)
    if threshold is None:
        threshold = asked_threshold(overrides, file=config_file)
    folder = Path(save) if save is not None else home / "diagnosis"
    check_writable(folder)
    look = _look_prompts if bundle.task == PROMPTED else _look_masks
    subject = look(bundle, config, trained, threshold, (device, precision), say)
    return _judge(bundle, config if trained else None, subject, folder)


def _look_masks(
    bundle: Bundle,
    config: Config,
    trained: Config | None,
    threshold: float | None,
    machine: tuple[str, str],
    say: Callable[[str], None],
) -> _Subject:
    predictor = Predictor(bundle, *machine, threshold)
    items, space, name = _labelled(config, trained)
    check_same_classes(bundle.label_space, space)
    say(f"{len(items)} pictures of {name}")
    problems: list[Problem] = []
    with progress_bar("pictures") as progress:
        probes = probe_masks(predictor, items, space, problems, progress)
    by_id = {item.id: item for item in items}

    def again(layer_name: str, id: str) -> Answer | None:
        try:
            image, truth = load_pair(by_id[id], space)
        except FaultlineError:
            return None
        found = {one.name: one for one in layers(predictor.predict(image), truth, space)}
        one = found[layer_name]
        return image, one.probability, one.prediction, one.truth

    return _Subject(items, name, probes, again, problems)


def _look_prompts(
    bundle: Bundle,
    config: Config,
    trained: Config | None,
    threshold: float | None,
    machine: tuple[str, str],
    say: Callable[[str], None],
) -> _Subject:
    predictor = PromptPredictor(bundle, *machine, threshold)
    test = find_prompt_test_set(config, trained, known_table(bundle), part="valid")
    say(f"{len(test.items)} pictures of {test.name}")
    problems = list(test.problems)
    with progress_bar("pictures") as progress:
        probes = probe_prompts(predictor, test.items, problems, progress)
    by_id = {item.id: item for item in test.items}

    def again(class_name: str, id: str) -> Answer | None:
        try:
            image, truth = read_image(by_id[id].path), by_id[id].mask_of(class_name)
        except FaultlineError:
            return None
        answer = predictor.answer(image, [predictor.table.classes[class_name].prompts[0]])[0]
        return image, answer.probability, answer.mask, truth

    return _Subject(test.items, test.name, probes, again, problems)


def _labelled(config: Config, trained: Config | None) -> tuple[list[Item], LabelSpace, str]:
    """Labelled pictures: the training's validation part, or another data set's best part."""
    if config.data.root is None:
        raise DataError(
            "there is nothing to diagnose on: the weights do not lie in a run folder that names "
            "a data set",
            remedy="add data=FOLDER with labelled pictures",
        )
    if trained is not None and same_folder(trained.data.root, config.data.root):
        prepared = prepare(config.data, config.seed)
        return prepared.valid, prepared.label_space, f"{config.data.root} (validation)"
    manifest = load_manifest(config.data)
    for split in ("test", "valid"):
        if manifest.split(split):
            return manifest.split(split), manifest.label_space, f"{manifest.root} ({split})"
    return list(manifest.items), manifest.label_space, str(manifest.root)


def _judge(
    bundle: Bundle, config: Config | None, subject: _Subject, folder: Path
) -> DiagnosisOutcome:
    files = Counter[str]()
    values: set[int] = set()
    for rule, found in mask_files(subject.items):
        files[rule] += 1
        if not allows_any_value(rule):
            values |= set(found or ())
    loss = (bundle.provenance.get("training") or {}).get("loss") or {}
    known: dict[str, Any] = {
        "loss": loss.get("name"),
        "loss_settings": {k: v for k, v in loss.items() if k != "name"} or None,
        "learning_rate": None if config is None else config.optimizer.lr,
        "mask_values": sorted(values) or None,
    }
    each = {
        name: diagnose(
            probe.histogram,
            threshold=probe.threshold,
            shift=None if (shift := probe.shift.best()) is None else shift.to_dict(),
            **known,
        )
        for name, probe in subject.probes.items()
    }
    overall = diagnose(
        _merged(list(subject.probes.values())),
        threshold=float(np.mean([probe.threshold for probe in subject.probes.values()])),
        **known,
    )
    outcome = DiagnosisOutcome(folder, overall, each)
    _write(outcome, subject, dict(files))
    outcome.lines = _lines(outcome, subject)
    return outcome


def _merged(probes: Sequence[Probe]) -> ProbabilityHistogram:
    merged = ProbabilityHistogram()
    for probe in probes:
        merged = merged + probe.histogram
    return merged


def _lines(outcome: DiagnosisOutcome, subject: _Subject) -> list[str]:
    several = len(outcome.each) > 1
    first = outcome.overall if several else next(iter(outcome.each.values()))
    lines = [first.text()]
    if several:
        lines += ["", "One by one"]
        for name, found in outcome.each.items():
            verdict = found.verdicts[0]
            prompt = subject.probes[name].name
            lines.append(f"  {prompt}: {verdict.sentence} [{verdict.code}]")
            lines.append(f"    Try: {verdict.advice}")
    return [*lines, "", f"report {outcome.folder / 'diagnosis.html'}"]


def _write(outcome: DiagnosisOutcome, subject: _Subject, files: dict[str, int]) -> None:
    folder = outcome.folder
    write_json(
        folder / "diagnosis.json",
        {
            "data": subject.name,
            "pictures": len(subject.items),
            "mask_files": files,
            "problems": [{"file": p.file, "reason": p.reason} for p in subject.problems],
            "overall": outcome.overall.to_dict(),
            "each": {name: found.to_dict() for name, found in outcome.each.items()},
        },
    )
    sections = [_first_section(outcome, subject, files)]
    for name, found in outcome.each.items():
        sections.append(_section(name, found, subject, folder))
    title = f"Diagnosis on {subject.name}"
    meta = [f"{len(subject.items)} pictures", f"{len(outcome.each)} asked for"]
    write_text(folder / "diagnosis.html", to_html(title, meta, sections))


def _first_section(outcome: DiagnosisOutcome, subject: _Subject, files: dict[str, int]) -> Section:
    formats = ", ".join(f"{count} by the rule {rule}" for rule, count in files.items())
    blocks: list[Block] = [
        *(f"{verdict.sentence} Try: {verdict.advice}" for verdict in outcome.overall.verdicts),
        f"Mask files: {formats}." if formats else "Labels come from annotations, not mask files.",
        Picture(threshold_plot(subject.probes, outcome.folder / "pictures" / "iou"),
                "IoU over the threshold"),
    ]  # fmt: skip
    return Section("Verdict", blocks)


def _section(name: str, found: Diagnosis, subject: _Subject, folder: Path) -> Section:
    probe, facts = subject.probes[name], found.facts
    slug = re.sub(r"[^\w.-]+", "_", name)[:60]
    rows = [
        ["Predictions", f"{_number(facts['low'])} to {_number(facts['high'])}, "
         f"mean {_number(facts['mean'])}"],
        ["Foreground in the labels", _percent(facts["label_share"])],
        ["Painted", _percent(facts["predicted_share"])],
        ["IoU", f"{_number(facts['iou'])} at {facts['threshold']:g}"],
        ["Best IoU", f"{_number(facts['best_iou'])} at {facts['best_threshold']:g}"],
        ["Pixel accuracy", _percent(facts["pixel_accuracy"])],
        ["Pictures that show it", f"{sum(one.shown for one in probe.seen)} of {len(probe.seen)}"],
    ]  # fmt: skip
    sweep = [
        [f"{row['threshold']:g}", _percent(row["predicted_share"]), _number(row["iou"]),
         _number(row["dice"]), _number(row["precision"]), _number(row["recall"])]
        for row in facts["sweep"]
    ]  # fmt: skip
    blocks: list[Block] = [
        *(f"{verdict.sentence} Try: {verdict.advice}" for verdict in found.verdicts),
        Table(["Fact", "Value"], rows),
        Table(["Threshold", "Painted", "IoU", "Dice", "Precision", "Recall"], sweep),
        Picture(histogram_plot(probe, folder / "pictures" / f"histogram-{slug}"),
                "Predictions on background and on foreground"),
    ]  # fmt: skip
    drawn = worst_pictures(probe, lambda id: subject.again(name, id), folder / "pictures", slug)
    blocks += [Picture(path, caption) for path, caption in drawn]
    return Section(probe.name, blocks)


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.4f}"


def _percent(value: float) -> str:
    return "-" if value != value else f"{100 * value:.2f} %"
