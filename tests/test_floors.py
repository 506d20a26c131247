"""Imports go down the floors only, lazy ones included."""

import ast
from pathlib import Path

import pytest

import faultline

PACKAGE = Path(faultline.__file__).parent
FLOORS = [
    {
        "errors",
        "files",
        "registry",
        "types",
        "seeding",
        "progress",
        "contracts",
        "extras",
        "schemas",
        "tasks",
        "__init__",
    },
    {"config", "http"},
    {"data"},
    {"models"},
    {"losses"},
    {"metrics"},
    {"artifacts"},
    {"predict"},
    {"training"},
    {"evaluation"},
    {"ensemble", "pseudolabel", "analysis"},
    {"speech"},
    {"profiling"},
    {"experiments"},
    {"serving"},
    {"cli", "__main__"},
]
SAME_LEVEL = [{"data", "models", "losses", "metrics"}, {"training", "export"}]
RANK = {room: rank for rank, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_rooms(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they go"
            names = [node.module or ""]
            if node.module == "faultline":
                names = [f"faultline.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "faultline" and len(parts) > 1 and parts[1] in RANK:
                found.add(parts[1])
    return found


def faults(room: str, rooms: set[str]) -> list[str]:
    wrong = []
    for other in rooms - {room, "__init__"}:
        beside = any({room, other} <= level for level in SAME_LEVEL)
        if RANK[other] > RANK[room] or beside:
            wrong.append(f"{room} imports {other}")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    assert room_of(path) in RANK, f"{path} is on no floor: add its room to FLOORS"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert faults(room_of(path), imported_rooms(tree)) == []


def test_an_upward_import_is_found_even_inside_a_function():
    tree = ast.parse("def f():\n    from faultline.training.fit import train")
    assert faults("models", imported_rooms(tree)) == ["models imports training"]
    assert faults("losses", {"metrics"}) == ["losses imports metrics"]


def test_no_room_without_a_name():
    names = {part for path in FILES for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert not names & {"utils", "util", "common", "helpers", "helper", "base", "misc"}
