"""Answers on disk, so that the work goes on where it stopped: arrays, and a record beside them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faultline.ensemble.tables import Maker, Role, Singles
from faultline.files import write_bytes, write_json


@dataclass(frozen=True, eq=False)
class Answers:
    """What one network answered to pictures of one role.

    Attributes:
        ids: Of the pictures, N.
        sha256: Of their contents.
        probability: (N, K).
        embedding: (N, D).
        anchors: (A, D), its embeddings of the anchor pictures.
        anchor_ids: Ids of those, A.
        maker: Who answered, and what it has seen.
    """

    ids: tuple[str, ...]
    sha256: tuple[str, ...]
    probability: Singles
    embedding: Singles
    anchors: Singles
    anchor_ids: tuple[str, ...]
    maker: Maker


class Store:
    """A folder of answers: `<member>/<training>-<role>.npz` and `.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, member: str, training: str, role: Role, answers: Answers) -> None:
        """Write arrays, then the record: without it the arrays do not count.

        Raises:
            OutputError: They cannot be written.
        """
        stem = self._stem(member, training, role)
        packed = io.BytesIO()
        np.savez(packed, probability=answers.probability, embedding=answers.embedding,
                 anchors=answers.anchors)  # fmt: skip
        stem.with_suffix(".json").unlink(missing_ok=True)
        write_bytes(stem.with_suffix(".npz"), packed.getvalue())
        maker = answers.maker
        record = {
            "member": member,
            "training": training,
            "role": role.value,
            "maker": maker.fingerprint,
            "fitted_on": sorted(maker.fitted_on),
            "groups": sorted(maker.groups),
            "chosen_on": sorted(maker.chosen_on),
            "ids": list(answers.ids),
            "sha256": list(answers.sha256),
            "anchor_ids": list(answers.anchor_ids),
        }
        write_json(stem.with_suffix(".json"), record)

    def load(
        self, member: str, training: str, role: Role, maker: Maker, ids: Sequence[str],
        anchor_ids: Sequence[str],
    ) -> Answers | None:  # fmt: skip
        """What was written for these pictures by this maker; None where there is no such thing."""
        wanted = {"maker": maker.fingerprint, "ids": list(ids), "anchor_ids": list(anchor_ids)}
        stem = self._stem(member, training, role)
        try:
            record: dict[str, Any] = json.loads(stem.with_suffix(".json").read_text("utf-8"))
            if any(record[name] != value for name, value in wanted.items()):
                return None
            packed = io.BytesIO(stem.with_suffix(".npz").read_bytes())
            with np.load(packed, allow_pickle=False) as arrays:
                return Answers(
                    tuple(record["ids"]), tuple(record["sha256"]), arrays["probability"],
                    arrays["embedding"], arrays["anchors"], tuple(anchor_ids), maker,
                )  # fmt: skip
        except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile):
            return None

    def _stem(self, member: str, training: str, role: Role) -> Path:
        return self.folder / member / f"{training}-{role.value}"
