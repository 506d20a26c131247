"""What `faultline doctor` does: look at the machine, and at a data set or at every own part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from faultline.config.compose import load_config
from faultline.config.schema import DataConfig
from faultline.data.manifest import Item, Manifest
from faultline.data.prepare import load_manifest
from faultline.evaluation.doctor.console import print_report, write_report
from faultline.evaluation.doctor.data import data_check
from faultline.evaluation.doctor.environment import environment_check
from faultline.evaluation.doctor.pairs import check_duplicates
from faultline.evaluation.doctor.report import DoctorReport, combine
from faultline.evaluation.doctor.system import system_check
from faultline.progress import progress_bar
from faultline.tasks import AUTO, SEGMENTATION


def run_doctor(
    overrides: Sequence[str] = (),
    config_file: str | Path | None = None,
    save: str | Path | None = None,
    *,
    system: bool | None = None,
    console: Console | None = None,
) -> int:
    """Print what was found and return the exit code: 1 where a result would suffer.

    Args:
        overrides: Settings; `data=FOLDER` and `data.test=FOLDER` say what to look at.
        config_file: YAML of settings.
        save: Folder for `doctor.json`, `doctor.html` and the contact sheet.
        system: Run every registered part once, see `system_check`; None does so, more briefly
            told, where no data set is given.
        console: Where to print.

    Raises:
        DataError: There is nothing usable in a data set.
        ConfigError: A setting is wrong.
        OutputError: `save` cannot be written.
    """
    config = load_config(overrides, file=config_file)
    console = console or Console()
    environment = environment_check(config.output_dir)
    print_report(environment, console)
    task = SEGMENTATION if config.task == AUTO else config.task
    data_sets = check_data_sets(config.data, task)
    for data_set in data_sets:
        print_report(data_set, console)
    wanted = not data_sets if system is None else system
    if wanted:
        console.print("running every part once (about half a minute; --no-system leaves it out)")
    installed = [_system_checked(every_row=system is True)] if wanted else []
    for report in installed:
        print_report(report, console)
    if not data_sets:
        console.print("data=FOLDER looks at a data set, --system tells of every part by itself")
    report = combine([*data_sets, environment, *installed])
    if save is not None:
        for path in write_report(report, save):
            console.print(f"written: {path}", markup=False, highlight=False)
    return report.exit_code


def check_data_sets(config: DataConfig, task: str = SEGMENTATION) -> list[DoctorReport]:
    """Reports on the data set of `config`, its separate test set, and what the two share.

    Args:
        config: What to look at.
        task: What its labels are read for.

    Raises:
        DataError: There is nothing usable in one of them.
    """
    if config.root is None:
        return []
    manifest = load_manifest(config, task=task)
    reports = [_checked(manifest)]
    if config.test is not None:
        test = load_manifest(config, config.test, config.test_format, task)
        reports += [_checked(test), check_shared(manifest, test)]
    return reports


def check_shared(training: Manifest, test: Manifest) -> DoctorReport:
    """Pictures of a separate test set that are in the training set, too.

    The training set's own `valid` and `test` are left out: training does not fit on them, and a
    part of them may well be what is given as the test set.
    """
    report = DoctorReport(f"{training.root.name} against {test.root.name}")
    fitted = [_as(item, "train") for item in training.items if item.split in (None, "train")]
    scored = [_as(item, "test") for item in test.split("test") or test.items]
    check_duplicates(fitted + scored, report, within=False)
    return report


def _as(item: Item, split: str) -> Item:
    # Ids are unique within one data set only, and so are groups.
    return replace(item, id=f"{split}: {item.id}", group=f"{split}: {item.group}", split=split)


def _system_checked(every_row: bool) -> DoctorReport:
    with progress_bar("system") as progress:
        return system_check(progress, every_row=every_row)


def _checked(manifest: Manifest) -> DoctorReport:
    with progress_bar("checking") as progress:
        return data_check(manifest, progress=progress)
