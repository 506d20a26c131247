from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from faultline.evaluation.doctor import environment
from faultline.evaluation.doctor.console import print_report
from faultline.evaluation.doctor.environment import environment_check
from faultline.evaluation.doctor.report import DoctorReport, Table, combine


def test_environment_tells_what_is_there(tmp_path: Path) -> None:
    report = environment_check(tmp_path / "not" / "there" / "yet")
    titles = [table.title for table in report.tables]
    assert titles == ["Versions", "Machine", "Precision", "Disk", "Optional"]
    assert report.facts["versions"]["torch"].startswith("2.")
    assert report.facts["precision"]["precision"] in ("fp32", "bf16", "fp16")
    assert report.facts["precision"]["reason"]
    assert report.facts["disk_free_gb"] > 0
    assert set(report.facts["optional"]) == set(environment.OPTIONAL)


def test_missing_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "REQUIRED", ("torch", "no-such-package"))
    report = environment_check()
    assert report.exit_code == 1
    assert "not installed: no-such-package" in report.ordered()[0].message


def test_little_memory_and_disk_are_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "LOW_MEMORY_GB", 1e9)
    monkeypatch.setattr(environment, "LOW_DISK_GB", 1e9)
    report = environment_check()
    assert {finding.code for finding in report.findings} >= {"memory-low", "disk-low"}
    assert report.exit_code == 0


def test_old_torch_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "MINIMUM_TORCH", (99, 0))
    assert "older than 99.0" in environment_check().ordered()[0].message


@pytest.mark.parametrize(
    ("levels", "code", "verdict"),
    [
        ([], 0, "all checks passed"),
        (["info"], 0, "all checks passed"),
        (["warning"], 0, "usable; 1 warning to look at"),
        (["info", "warning", "error", "error"], 1, "2 problems must be solved first, 1 warning"),
    ],
)
def test_verdict_and_exit_code(levels: list[str], code: int, verdict: str) -> None:
    report = DoctorReport("x")
    for level in levels:
        report.add(level, "code", "message")  # type: ignore[arg-type]
    assert (report.exit_code, report.verdict) == (code, verdict)
    assert [finding.level for finding in report.ordered()] == levels[::-1]


def test_printing_takes_names_as_they_are() -> None:
    report = DoctorReport("data [bold]")
    report.add("error", "code", "look at [red]this", [f"[{index}].png" for index in range(9)])
    report.tables.append(Table.of("Sizes", ("a [b]", "c"), [(1, "[/x]")]))
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=100))
    text = stream.getvalue()
    for expected in (
        "[red]this",
        "[0].png",
        "and 3 more",
        "a [b]",
        "[/x]",
        "data [bold]: 1 problem",
    ):
        assert expected in text


def test_reports_are_combined() -> None:
    first, second = DoctorReport("first", facts={"a": 1}), DoctorReport("second", facts={"b": 2})
    first.add("warning", "w", "one")
    second.add("error", "e", "two")
    both = combine([first, second])
    assert (both.title, both.exit_code) == ("first", 1)
    assert both.facts == {"first": {"a": 1}, "second": {"b": 2}}
    assert [finding.message for finding in both.ordered()] == ["second: two", "one"]
    assert len(both.to_dict()["findings"]) == 2
