"""Which item played which role in a run: written down, and held to when the run goes on."""

from __future__ import annotations

import json
from typing import Any

from faultline.artifacts.run import RunFolder
from faultline.errors import LeakageError
from faultline.files import write_json
from faultline.training.kinds import PreparedParts

FILE_NAME = "splits.json"
_ROLES = ("train", "valid", "test")
_SHOWN = 5


def write_roles(run: RunFolder, prepared: PreparedParts) -> None:
    """Which item played which role, for people and for later checks."""
    roles = {name: [{"id": item.id, "sha256": item.sha256, "group": item.group}
                    for item in getattr(prepared, name)]
             for name in _ROLES}  # fmt: skip
    write_json(run.path / FILE_NAME, roles)
    if prepared.problems:
        listed = [{"file": problem.file, "reason": problem.reason} for problem in prepared.problems]
        write_json(run.path / "problems.json", listed)


def check_roles(run: RunFolder, prepared: PreparedParts) -> None:
    """Refuse to go on with items in a later role (train, valid, test) than the run gave them.

    A data set that has changed since may be divided in another way, and nothing but this file
    would tell that the weights have seen what is to choose or to test now.

    Raises:
        LeakageError: Some would be.
    """
    before = _before(run)
    for position, role in enumerate(_ROLES):
        for later in _ROLES[position + 1 :]:
            own, theirs = before.get(role, set()), before.get(later, set())
            moved = [
                item.id
                for item in getattr(prepared, later)
                if {item.sha256, f"group {item.group}"} & (own - theirs)
            ]
            if moved:
                more = ", ..." if len(moved) > _SHOWN else ""
                raise LeakageError(
                    f"the data have changed since this run began: {len(moved)} of {role} would "
                    f"now be {later} ({', '.join(moved[:_SHOWN])}{more})",
                    where=run.path,
                    remedy="put the data back as they were, or start again with `faultline train`",
                )


def _before(run: RunFolder) -> dict[str, set[str]]:
    """Hashes and groups by role, as the run was started with; none where they cannot be read."""
    try:
        roles: dict[str, list[dict[str, Any]]] = json.loads(
            (run.path / FILE_NAME).read_text(encoding="utf-8")
        )
        return {
            role: {mark for row in rows for mark in (row["sha256"], f"group {row['group']}")}
            for role, rows in roles.items()
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
