"""Commands `python benchmarks/...` of the documents: the script is there, and takes its options."""

import argparse
import ast
import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))
COMMAND = re.compile(r"python (benchmarks/[\w./]+)([^`\n]*)")
MENTION = re.compile(r"benchmarks/\w+\.py")


def text_of(path):
    """A page, or what a script says of itself; continued lines joined."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        said = ast.get_docstring(ast.parse(text)) or ""
        text = re.sub(r"[][]", "", said)  # around what may be left out
    return text.replace("\\\n", " ").replace("-->", "")


COMMANDS = [
    (path.relative_to(ROOT).as_posix(), script, shlex.split(words, comments=True))
    for path in (*PAGES, *SCRIPTS)
    for script, words in COMMAND.findall(text_of(path))
]


class ParsedError(Exception):
    """Ends a script as soon as it has read its words."""


def parse(script, words, monkeypatch):
    """Have `script` read `words` with its own parser; nothing else of it is run.

    Raises:
        SystemExit: It does not take them.
    """
    path = ROOT / script
    if "parse_args" not in path.read_text("utf-8"):
        if words:
            raise SystemExit(f"{script} takes no words")
        return
    own = argparse.ArgumentParser.parse_args

    def stop(parser, *given):
        own(parser, words)
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.syspath_prepend(path.parent)
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses of a module look it up by name.
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    with pytest.raises(ParsedError):
        module.main()


def test_there_is_something_to_check():
    assert len(COMMANDS) >= 20
    assert {page for page, *_ in COMMANDS} >= {"docs/results.md", "docs/backbones.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_script_that_is_named_is_there(page):
    named = set(MENTION.findall(page.read_text("utf-8")))
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(
    ("page", "script", "words"),
    COMMANDS,
    ids=[f"{page}: {script} {' '.join(words)}" for page, script, words in COMMANDS],
)
def test_its_options_are_accepted(page, script, words, monkeypatch):
    assert (ROOT / script).is_file(), f"{page} names {script}, which is not there"
    parse(script, words, monkeypatch)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("benchmarks/attention.py", ["--thread-count", "1"]),
        ("benchmarks/crack_table.py", ["data=x"]),
        ("benchmarks/startup.py", ["--fast"]),
    ],
)
def test_a_wrong_option_is_found(script, words, monkeypatch):
    with pytest.raises(SystemExit):
        parse(script, words, monkeypatch)
