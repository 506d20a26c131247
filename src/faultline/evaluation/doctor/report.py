"""What a check found: findings with a level, tables of facts, and the exit code they add up to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Level = Literal["error", "warning", "info"]
LEVELS: tuple[Level, ...] = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth telling.

    Attributes:
        level: `error` poisons a result, `warning` may, `info` is good to know.
        code: Short stable name, for scripts ("duplicates-across-splits").
        message: What was found, with numbers, and what to do about it.
        files: Files or item ids concerned.
    """

    level: Level
    code: str
    message: str
    files: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "level": self.level,
            "code": self.code,
            "message": self.message,
            "files": list(self.files),
        }


@dataclass(frozen=True, slots=True)
class Table:
    """Facts in rows, all as text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
        """A table of anything that prints."""
        return cls(title, tuple(columns), tuple(tuple(map(str, row)) for row in rows))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"title": self.title, "columns": list(self.columns), "rows": [*map(list, self.rows)]}


@dataclass
class DoctorReport:
    """Findings, worst first, and the facts behind them.

    Attributes:
        title: What was examined.
        findings: In the order they were made; `ordered` sorts them.
        tables: Facts to print.
        facts: Numbers for scripts, written to `doctor.json`.
        contact_sheet: (H, W, 3) picture of duplicate pairs, where there are any.
    """

    title: str
    findings: list[Finding] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    contact_sheet: NDArray[np.uint8] | None = None

    def add(self, level: Level, code: str, message: str, files: Iterable[str] = ()) -> None:
        """Record one finding."""
        self.findings.append(Finding(level, code, message, tuple(files)))

    def ordered(self) -> list[Finding]:
        """Findings, errors first, otherwise in the order they were made."""
        return sorted(self.findings, key=lambda finding: LEVELS.index(finding.level))

    def count(self, level: Level) -> int:
        """Number of findings of `level`."""
        return sum(finding.level == level for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """1 if anything found would poison a result, else 0."""
        return 1 if self.count("error") else 0

    @property
    def verdict(self) -> str:
        """One line that says how it went."""
        errors, warnings = self.count("error"), self.count("warning")
        if errors:
            return f"{_many(errors, 'problem')} must be solved first, {_many(warnings, 'warning')}"
        if warnings:
            return f"usable; {_many(warnings, 'warning')} to look at"
        return "all checks passed"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "title": self.title,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "findings": [finding.to_dict() for finding in self.ordered()],
            "tables": [table.to_dict() for table in self.tables],
            "facts": self.facts,
        }


def combine(reports: Sequence[DoctorReport]) -> DoctorReport:
    """All reports as one, under the title of the first; findings and facts say whose they are."""
    combined = DoctorReport(reports[0].title)
    for report in reports:
        for finding in report.findings:
            told = finding.message
            message = told if report is reports[0] else f"{report.title}: {told}"
            combined.add(finding.level, finding.code, message, finding.files)
        for table in report.tables:
            title = table.title if report is reports[0] else f"{report.title}: {table.title}"
            combined.tables.append(replace(table, title=title))
        combined.facts[report.title] = report.facts
        if combined.contact_sheet is None:
            combined.contact_sheet = report.contact_sheet
    return combined


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
