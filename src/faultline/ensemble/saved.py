"""An ensemble on disk: its members' bundles, the chosen stage, and what all need to answer.

ensemble.json              members, stage, classes, threshold, who was seen
stage.safetensors          what the stage learnt, and each member's anchor embeddings
members/NAME.safetensors   bundles
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from faultline.artifacts.bundle import load_bundle
from faultline.artifacts.contents import Threshold
from faultline.ensemble.stage import Arrays, Stage, describe, load_stage, part_of, under
from faultline.ensemble.tables import Singles, Table
from faultline.errors import BundleError
from faultline.files import link_or_copy, write_bytes, write_json
from faultline.types import LabelSpace

FORMAT, VERSION = "faultline-ensemble", 1
FOLDER, RECORD, TENSORS, MEMBERS = "ensemble", "ensemble.json", "stage.safetensors", "members"


@dataclass(frozen=True)
class Ensemble:
    """What answers.

    Attributes:
        folder: Where it lies.
        label: Name of the stage, or of the member where a single one was chosen.
        stage: The fitted stage.
        members: Names, in the order of the stage's inputs.
        fingerprints: Of the members' bundles.
        anchors: (A, D) of each member.
        label_space: The classes.
        threshold: Where validation says to cut.
        fingerprint: SHA-256 over members, stage and arrays.
    """

    folder: Path
    label: str
    stage: Stage
    members: tuple[str, ...]
    fingerprints: tuple[str, ...]
    anchors: tuple[Singles, ...]
    label_space: LabelSpace
    threshold: Threshold
    fingerprint: str

    def weights(self, member: str) -> Path:
        """The bundle of a member."""
        return self.folder / MEMBERS / f"{member}.safetensors"


def save_ensemble(
    folder: Path, label: str, stage: Stage, bundles: Sequence[Path], valid: Sequence[Table],
    space: LabelSpace, threshold: Threshold, seen: dict[str, list[str]], extra: dict[str, Any],
) -> Path:  # fmt: skip
    """Write an ensemble; return its folder.

    Args:
        folder: Where `ensemble/` goes.
        label: Name of the stage, or of its one member.
        stage: Fitted.
        bundles: The members' weights, in the order of the stage's inputs.
        valid: The members' tables of validation, which hold their anchors.
        space: The classes.
        threshold: Where validation says to cut.
        seen: SHA-256 of the pictures that each part was fitted or chosen on.
        extra: Scores, settings and where it came from.

    Raises:
        OutputError: It cannot be written.
    """
    home = folder / FOLDER
    (home / MEMBERS).mkdir(parents=True, exist_ok=True)
    for table, file in zip(valid, bundles, strict=True):
        link_or_copy(file, home / MEMBERS / f"{table.member}.safetensors")
    arrays = {f"anchors/{table.member}": table.anchors[0] for table in valid}
    arrays |= under("stage", stage.arrays())
    record = {
        "format": FORMAT,
        "format_version": VERSION,
        "label": label,
        "members": [
            {"name": table.member, "fingerprint": table.makers[0].fingerprint} for table in valid
        ],
        "stage": describe(stage),
        "label_space": space.to_dict(),
        "threshold": threshold.to_dict(),
        "seen": seen,
        **extra,
    }
    record["fingerprint"] = _fingerprint(record, arrays)
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_bytes(home / TENSORS, safetensors.numpy.save(plain))
    write_json(home / RECORD, record)
    return home


def forget_ensemble(folder: Path) -> None:
    """Take away the record of an earlier ensemble in `folder`, which then answers no more."""
    (folder / FOLDER / RECORD).unlink(missing_ok=True)


def load_ensemble(path: str | Path) -> Ensemble:
    """Read what `save_ensemble` wrote, from its folder or from that of the run above it.

    Raises:
        BundleError: It is not there, damaged, or of a newer version.
    """
    folder = Path(path)
    home = next((one for one in (folder, folder / FOLDER) if (one / RECORD).is_file()), None)
    if home is None:
        raise BundleError(
            f"holds no {RECORD}", where=path,
            remedy="give the folder of a finished `faultline ensemble run`",
        )  # fmt: skip
    try:
        record = json.loads((home / RECORD).read_text(encoding="utf-8"))
        if record["format"] != FORMAT or int(record["format_version"]) > VERSION:
            raise BundleError(
                f"is of format {record['format']} {record['format_version']}", where=home / RECORD,
                remedy=f"this Faultline reads {FORMAT} up to {VERSION}",
            )  # fmt: skip
        arrays: Arrays = safetensors.numpy.load((home / TENSORS).read_bytes())
        if _fingerprint(record, arrays) != record["fingerprint"]:
            raise BundleError(
                "its content does not match the fingerprint stored with it", where=home,
                remedy="copy it again",
            )  # fmt: skip
        names = tuple(str(one["name"]) for one in record["members"])
        return Ensemble(
            home, str(record["label"]), load_stage(record["stage"], part_of(arrays, "stage")),
            names, tuple(str(one["fingerprint"]) for one in record["members"]),
            tuple(arrays[f"anchors/{name}"] for name in names),
            LabelSpace.from_dict(record["label_space"]),
            Threshold.from_dict(record["threshold"]), str(record["fingerprint"]),
        )  # fmt: skip
    except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
        raise BundleError(
            f"is damaged: {type(error).__name__} {error}", where=home, remedy="copy it again"
        ) from error


def check_members(ensemble: Ensemble) -> None:
    """Make sure that the bundles are those that the stage was fitted on.

    Raises:
        BundleError: One is missing, or another one.
    """
    for name, expected in zip(ensemble.members, ensemble.fingerprints, strict=True):
        bundle = load_bundle(ensemble.weights(name))
        if bundle.fingerprint != expected:
            raise BundleError(
                "is not the member that the ensemble was fitted with",
                where=ensemble.weights(name),
                remedy="copy the ensemble's folder again, as a whole",
            )


def _fingerprint(record: dict[str, Any], arrays: Arrays) -> str:
    """Over all that shapes an answer; the threshold only cuts it."""
    shaping = {key: record[key] for key in ("members", "stage", "label_space")}
    digest = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
