"""`faultline analyse`: what trained classifiers have learnt, before anything is built on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from faultline.analysis.charts import draw
from faultline.analysis.findings import Findings, conclude, looked_at
from faultline.analysis.kept import Observed
from faultline.analysis.observe import Plan, observe
from faultline.analysis.page import analysis_page
from faultline.analysis.regions import find_regions
from faultline.analysis.sample import choose_pictures, draw_training_pictures
from faultline.analysis.subject import find_subject
from faultline.analysis.tables import write_tables
from faultline.analysis.words import console_lines
from faultline.errors import ConfigError, DataError
from faultline.evaluation.drawings import slug
from faultline.files import check_writable, write_json, write_text

PAGE_NAME, JSON_NAME, KEPT = "analysis.html", "analysis.json", "runs"
_LEAST_TRAIN = 200


@dataclass(frozen=True)
class AnalyseRequest:
    """What `faultline analyse` is asked for.

    Attributes:
        overrides: Settings, `data=FOLDER` among them.
        weights: Runs of classifiers.
        against: Runs to compare them with.
        save: Folder of the output.
        per_class: Pictures of each class to look into.
        seed: Of the choice of pictures.
        device: See `resolve_device`.
        precision: See `resolve_precision`.
        config_file: YAML of settings.
        say: Takes lines of text.
    """

    overrides: Sequence[str]
    weights: Sequence[Path]
    save: Path
    against: Sequence[Path] = ()
    per_class: int = 10
    seed: int = 42
    device: str = "auto"
    precision: str = "auto"
    config_file: Path | None = None
    say: Callable[[str], None] = print


def analyse(request: AnalyseRequest) -> Findings:
    """Ask every run in turn, write everything to `save`, and return what was found.

    Raises:
        ConfigError: A setting is out of range, or the output lies in the data set.
        BundleError: Something given does not classify, or names other classes.
        LeakageError: Test pictures would be looked at, or runs have different splits.
        DataError: There is no data set, or no picture can be read.
        OutputError: The folder cannot be written.
    """
    plan = make_plan(request)
    for line in _opening(plan):
        request.say(line)
    observed = []
    runs = plan.subject.runs
    for number, run in enumerate(runs, 1):
        kept = request.save / KEPT / f"{slug(run.name)}-{run.fingerprint[:8]}.npz"
        found, before = observe(plan, run, kept)
        request.say(f"{run.name} ({number} of {len(runs)}){': kept from before' * before}")
        observed.append(found)
    return _finish(request, plan, observed)


def make_plan(request: AnalyseRequest) -> Plan:
    """What is asked of every run; refuses before any work what cannot be done."""
    if request.per_class < 1:
        raise ConfigError(f"--per-class is {request.per_class}, must be at least 1")
    subject = find_subject(request.overrides, request.weights, request.against, request.config_file)
    if request.save.resolve().is_relative_to(subject.root.resolve()):
        raise ConfigError(
            f"the output {str(request.save)!r} lies in the data set {str(subject.root)!r}: "
            "its pictures would be taken for data",
            remedy="choose a folder beside it",
        )
    check_writable(request.save)
    space, seed = subject.space, request.seed
    sample = choose_pictures(subject.train, subject.valid, space, request.per_class, seed)
    if not sample:
        raise DataError("no picture shows any of the classes", where=subject.root)
    count = max(len(subject.valid), _LEAST_TRAIN)
    train = draw_training_pictures(subject.train, count, seed)
    masks = find_regions(subject)
    return Plan(subject, sample, train, masks, request.device, request.precision)


def _opening(plan: Plan) -> list[str]:
    subject, masks = plan.subject, plan.masks
    absent = [
        name for index, name in enumerate(subject.space.names)
        if all(one.class_index != index for one in plan.sample)
    ]  # fmt: skip
    return [
        f"{subject.root}: {looked_at(plan)}",
        *(f"  {note}" for note in subject.notes),
        *([f"WARNING: no picture shows {', '.join(absent)}"] if absent else []),
        f"heat on the object is left out: {masks.why}" if masks.why else
        f"{len(masks.labels)} pictures have a mask"
        f"{' (pseudo-labels)' if masks.guessed else ''}: {', '.join(masks.space.names)}",
    ]  # fmt: skip


def _finish(request: AnalyseRequest, plan: Plan, observed: list[Observed]) -> Findings:
    found = conclude(plan, observed)
    write_tables(request.save, found)
    write_text(request.save / PAGE_NAME, analysis_page(found, draw(request.save, found)))
    write_json(request.save / JSON_NAME, found.to_dict())
    for line in console_lines(found):
        request.say(line)
    problems = found.problems()
    if problems:
        request.say(f"{len(problems)} files could not be used: {problems[0][0]}: {problems[0][1]}")
    request.say(f"page {request.save / PAGE_NAME}")
    return found
