"""A doctor's report on a terminal and in a folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

import faultline
from faultline.evaluation.doctor.report import DoctorReport, Level, Table
from faultline.evaluation.pages import render
from faultline.evaluation.panels import jpeg_uri
from faultline.files import write_json, write_text
from faultline.predict.pictures import write_picture

_STYLE: dict[Level, str] = {"error": "bold red", "warning": "yellow", "info": "cyan"}
_SHOWN_FILES = 6


def print_report(report: DoctorReport, console: Console | None = None) -> None:
    """Print tables, findings and the verdict of `report`."""
    console = console or Console()
    for table in report.tables:
        console.print(_rich_table(table))
    if report.findings:
        console.print(_findings_table(report))
    style = "bold red" if report.exit_code else ("yellow" if report.count("warning") else "green")
    console.print(f"{escape(report.title)}: [{style}]{escape(report.verdict)}[/]")


def write_report(report: DoctorReport, output_dir: str | Path) -> list[Path]:
    """Write `doctor.json`, `doctor.html` and, for duplicates, `duplicates.png`; return the paths.

    Args:
        report: What to write.
        output_dir: Made if absent.

    Raises:
        OutputError: The folder cannot be written.
    """
    folder = Path(output_dir)
    paths = [folder / "doctor.json", folder / "doctor.html"]
    write_json(paths[0], report.to_dict())
    write_text(paths[1], doctor_page(report))
    if report.contact_sheet is not None:
        paths.append(folder / "duplicates.png")
        write_picture(paths[-1], report.contact_sheet)
    return paths


def doctor_page(report: DoctorReport) -> str:
    """`report` as one self-contained HTML page."""
    tone = "poor" if report.exit_code else ("fair" if report.count("warning") else "good")
    sheet = report.contact_sheet
    grades = {"poor": "Do not train on this yet", "fair": "Read the warnings", "good": "Ready"}
    return render(
        "doctor.html.j2",
        title=report.title,
        tone=tone,
        grade=grades[tone],
        verdict=report.verdict[0].upper() + report.verdict[1:] + ".",
        findings=report.ordered(),
        tables=report.tables,
        contact_sheet=None if sheet is None else jpeg_uri(sheet),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=faultline.__version__,
    )


def _rich_table(table: Table) -> RichTable:
    drawn = RichTable(title=escape(table.title), title_justify="left", title_style="bold")
    for column in table.columns:
        drawn.add_column(escape(column), overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(escape, row))
    return drawn


def _findings_table(report: DoctorReport) -> RichTable:
    drawn = RichTable(title="Findings", title_justify="left", title_style="bold", show_lines=True)
    drawn.add_column("Level")
    drawn.add_column("Finding", overflow="fold")
    for finding in report.ordered():
        text = escape(finding.message)
        if finding.files:
            more = len(finding.files) - _SHOWN_FILES
            listed = ", ".join(map(escape, finding.files[:_SHOWN_FILES]))
            text += f"\n[dim]{listed}{f' and {more} more' if more > 0 else ''}[/]"
        drawn.add_row(f"[{_STYLE[finding.level]}]{finding.level}[/]", text)
    return drawn
