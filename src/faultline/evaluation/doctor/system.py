"""Whether this installation works: every part that is registered runs once on tiny input."""

from __future__ import annotations

import importlib
import pkgutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import faultline
from faultline.errors import ConfigError, FaultlineError, MissingExtraError
from faultline.evaluation.doctor.report import DoctorReport, Table
from faultline.evaluation.doctor.tiny import (
    run_augmentation,
    run_backbone,
    run_fetched_model,
    run_importer,
    run_loss,
    run_model,
    run_sampler,
    run_split,
    run_stratified_folds,
    run_stratified_split,
    run_task,
    tiny_data_sets,
)
from faultline.progress import Progress

Row = tuple[str, str, str, str, str]
WORKS, FAILS, LEFT_OUT = "works", "fails", "left out"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to try.

    Attributes:
        part: What it belongs to ("model", "loss", ...).
        name: Its name there.
        run: Tries it; raises where it does not work, and may return a note.
        fetched: Whether it needs files that are fetched, which may not be at hand.
    """

    part: str
    name: str
    run: Callable[[], str | None]
    fetched: bool = False


def system_check(
    progress: Progress = lambda done, total: None, *, every_row: bool = True
) -> DoctorReport:
    """Run every check; what fails is an error, what lacks an optional package a remark.

    Args:
        progress: Takes (done, all).
        every_row: Tabulate every check, not only how many of each part work.
    """
    report = DoctorReport("System")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        checks = list(all_checks(Path(scratch)))
        for done, check in enumerate(checks, 1):
            start = time.perf_counter()
            state, note = _outcome(check)
            took = 1000 * (time.perf_counter() - start)
            rows.append((check.part, check.name, state, f"{took:.0f} ms", note))
            if state == FAILS:
                report.add("error", f"{check.part}-fails", f"{check.part} {check.name}: {note}")
            elif state == LEFT_OUT:
                report.add("info", f"{check.part}-left-out", f"{check.part} {check.name}: {note}")
            progress(done, len(checks))
    columns = ("part", "name", "result", "time", "note")
    report.tables.append(Table.of("System", columns, rows) if every_row else _summary(rows))
    report.facts["system"] = [dict(zip(columns, row, strict=True)) for row in rows]
    return report


def _summary(rows: Sequence[Row]) -> Table:
    """A row a part: how many of it work, fail, and were left out."""
    counts = Counter((part, state) for part, _, state, _, _ in rows)
    states = (WORKS, FAILS, LEFT_OUT)
    parts = dict.fromkeys(row[0] for row in rows)
    lines = [(part, *(counts[part, state] for state in states)) for part in parts]
    return Table.of("System: every part, run once", ("part", *states), lines)


def all_checks(scratch: Path) -> Iterator[Check]:
    """Every check there is; toy data sets are made in `scratch`."""
    from faultline.data.importers import IMPORTERS
    from faultline.data.sampling import SAMPLERS
    from faultline.data.transforms import AUGMENTATIONS
    from faultline.losses import LOSSES
    from faultline.models import MODELS
    from faultline.models.backbones import BACKBONES
    from faultline.tasks import TASKS

    yield Check("package", "imports", import_everything)
    for task in TASKS:
        yield Check("task", task.name, partial(run_task, task.name))
    for model in MODELS:
        fetched = "fetched" in model.tags
        run = run_fetched_model if fetched else run_model
        yield Check("model", model.name, partial(run, model), fetched)
    for backbone in BACKBONES:
        yield Check("backbone", backbone.name, partial(run_backbone, backbone.name))
    for loss in LOSSES:
        yield Check("loss", loss.name, partial(run_loss, loss))
    for augmentation in AUGMENTATIONS:
        yield Check("augmentation", augmentation.name, partial(run_augmentation, augmentation.name))
    for name in SAMPLERS:
        yield Check("sampler", name, partial(run_sampler, name))
    yield Check("split", "grouped", run_split)
    yield Check("split", "stratified", run_stratified_split)
    yield Check("split", "folds", run_stratified_folds)
    folders = tiny_data_sets(scratch)
    for importer in IMPORTERS:
        yield Check("importer", importer.name,
                    partial(run_importer, importer.name, folders.get(importer.name)))  # fmt: skip


def import_everything() -> str:
    """Import every module of the package.

    Raises:
        ImportError: One cannot be imported.
    """
    names = [
        module.name
        for module in pkgutil.walk_packages(faultline.__path__, "faultline.")
        if not module.name.endswith("__main__")
    ]
    for name in names:
        importlib.import_module(name)
    return f"{len(names)} modules"


def _outcome(check: Check) -> tuple[str, str]:
    """State and note of one check."""
    try:
        return WORKS, check.run() or ""
    except MissingExtraError as error:
        return LEFT_OUT, str(error)
    except FaultlineError as error:
        absent = check.fetched and isinstance(error, ConfigError)
        return LEFT_OUT if absent else FAILS, str(error)
    except Exception as error:  # whatever it is, the table has to say so and the rest to go on
        return FAILS, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
