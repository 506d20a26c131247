"""`faultline pseudolabel refine`: one round of self-training on the labels (layer 6).

A round makes new labels beside the old ones, and the rules decide whether they take their place, so
that a round that makes matters worse leaves nothing behind. Only labels of the training part are
refined: those of validation judge what comes of it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from faultline.artifacts.bundle import Bundle, load_bundle
from faultline.artifacts.figures import new_figure, save_figure
from faultline.data.images import read_image
from faultline.errors import ConfigError, DataError, FaultlineError, LeakageError
from faultline.files import write_json
from faultline.predict.dual_head import segmenter_of
from faultline.predict.predictor import Predictor
from faultline.progress import progress_bar
from faultline.pseudolabel.class_table import ClassTable, PlantClass, load_class_table
from faultline.pseudolabel.gate.segmenter import check_channels
from faultline.pseudolabel.quality import judge
from faultline.pseudolabel.records import (
    Scored,
    data_root,
    read_scores,
    read_settings,
    score_row,
    scored_labels,
    tier_lines,
    write_chart,
    write_scores,
)
from faultline.pseudolabel.refine_rules import (
    BLOCKED,
    CONTINUE,
    CONVERGED,
    MAX_ROUNDS,
    Outcome,
    changed_share,
    judge_round,
    merge,
)
from faultline.pseudolabel.store import AUDIT, Label, LabelFolder, open_labels

LOG_NAME = "refinement_log.json"
DRIFT_NAME = "refinement_drift.json"
OSCILLATING_NAME = "oscillating_samples.json"
CHART_STEM = "refinement_drift_chart"
STAGING = "refining"
FLAGGED = 20
TRAIN = "train"


@dataclass(frozen=True)
class RefineRequest:
    """What `faultline pseudolabel refine` is asked for.

    Attributes:
        labels: Folder of labels.
        weights: The trained segmenter.
        data: Where the pictures are, if they moved.
        channel_map: YAML of classes, if labels were made with one.
        restart: Forget earlier rounds, after a manual fix.
        device: See `Predictor`.
        plot_format: Any that matplotlib writes.
        dpi: Of the chart.
        say: Takes lines of text.
    """

    labels: Path
    weights: Path
    data: Path | None = None
    channel_map: Path | None = None
    restart: bool = False
    device: str = "auto"
    plot_format: str = "png"
    dpi: int = 120
    say: Callable[[str], None] = print


@dataclass
class Changes:
    """What one round would change.

    Attributes:
        shares: Id -> share of its pixels that change.
        pixels: Id -> number of its pixels.
        tiers: Id -> (tier before, tier after).
        rows: Id -> row of the table.
        failed: (id, reason) of labels that could not be refined.
    """

    shares: dict[str, float] = field(default_factory=dict)
    pixels: dict[str, int] = field(default_factory=dict)
    tiers: dict[str, tuple[str, str]] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)

    @property
    def drift(self) -> float:
        """Changed pixels in per cent of all pixels."""
        changed = sum(share * self.pixels[one] for one, share in self.shares.items())
        return 100.0 * changed / max(1, sum(self.pixels.values()))


def refine(request: RefineRequest) -> Outcome:
    """Make one round; a stopped call goes on where it was.

    Raises:
        ConfigError: The rounds are at an end, or these weights have made one already.
        LeakageError: The segmenter has seen pictures that test.
        BundleError: It segments into other channels.
        DataError: There are no labels, or none could be refined.
    """
    folder = open_labels(request.labels)
    bundle = load_bundle(request.weights)
    check_channels(bundle)
    _check_unseen(bundle, folder)
    rounds = [] if request.restart else read_rounds(folder)
    _check_may_go_on(rounds, bundle, folder)
    table = load_class_table(request.channel_map)
    known = [one for one in scored_labels(folder) if one.part == TRAIN]
    if not known:
        raise DataError("holds no labels of training pictures", where=request.labels)
    classes = table.of_all({one.class_name for one in known})
    staging = LabelFolder(folder.audit / STAGING / f"{len(rounds) + 1}-{bundle.fingerprint[:12]}")
    root = data_root(folder, request.data)
    predictor = Predictor(segmenter_of(bundle), request.device)
    changes = _propose(folder, staging, known, root, predictor, classes, table)
    if not changes.shares:
        raise DataError(
            f"no label could be refined; the first: {changes.failed[0]}", where=request.labels
        )
    outcome = judge_round([*(one["drift_pct"] for one in rounds), changes.drift])
    if outcome.accepted:
        _take_over(folder, staging, changes)
    shutil.rmtree(staging.root.parent, ignore_errors=True)
    rounds.append(_round(len(rounds) + 1, bundle, changes, outcome, known))
    _record(folder, rounds, outcome, request)
    for line in _lines(folder, changes, outcome, rounds):
        request.say(line)
    return outcome


def read_rounds(folder: LabelFolder) -> list[dict[str, Any]]:
    """The rounds so far.

    Raises:
        DataError: The log is damaged.
    """
    path = folder.audit / LOG_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return [dict(one) for one in values["rounds"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"cannot be read: {error}", where=path, remedy="remove it, or give --restart"
        ) from error


def drift_figure(drifts: Sequence[float]) -> Figure:
    """Drift in per cent of every round, and the limit for convergence."""
    figure = new_figure(5.0, 3.2)
    axes = figure.subplots()
    numbers = list(range(1, len(drifts) + 1))
    axes.plot(numbers, drifts, "o-", color="#1f5fa8")
    axes.axhline(CONVERGED, color="#c8443c", linestyle="--", linewidth=1)
    for number, drift in zip(numbers, drifts, strict=True):
        axes.annotate(f"{drift:.1f} %", (number, drift), (4, 6), textcoords="offset points")
    axes.set_xticks(numbers)
    axes.set_ylim(0, 1.2 * max([*drifts, CONVERGED]))
    axes.set_xlabel("round")
    axes.set_ylabel("changed pixels in %")
    return figure


def _check_unseen(bundle: Bundle, folder: LabelFolder) -> None:
    """The test pictures are known by hash since the labels were made."""
    test = set(read_settings(folder).get("test_sha256", ()))
    seen = {part: test & set(hashes) for part, hashes in bundle.seen.items()}
    found = [f"the {part} saw {len(hashes)}" for part, hashes in sorted(seen.items()) if hashes]
    if found:
        raise LeakageError(
            f"the segmenter has seen pictures that test: {'; '.join(found)} of {len(test)}",
            where=bundle.source,
            remedy="train it on the split that the labels were made with",
        )


def _check_may_go_on(
    rounds: Sequence[Mapping[str, Any]], bundle: Bundle, folder: LabelFolder
) -> None:
    place = folder.audit / LOG_NAME
    if rounds and (rounds[-1]["status"] != CONTINUE or len(rounds) >= MAX_ROUNDS):
        raise ConfigError(
            f"refinement ended with round {len(rounds)}: {rounds[-1]['reason']}",
            where=place,
            remedy="give --restart to begin again from round 1 with the labels as they are",
        )
    if any(one["segmenter"] == bundle.fingerprint for one in rounds):
        raise ConfigError(
            "these weights have made a round already: they would agree with themselves",
            where=place,
            remedy="train a segmenter on the refined labels, and give that",
        )


def _propose(
    folder: LabelFolder,
    staging: LabelFolder,
    known: Sequence[Scored],
    root: Path,
    predictor: Predictor,
    classes: Mapping[str, PlantClass],
    table: ClassTable,
) -> Changes:
    """Put the new labels into `staging`; those that an interrupted call put there are taken."""
    changes = Changes()
    with progress_bar("labels") as progress:
        for number, one in enumerate(known, 1):
            try:
                before = folder.read(one.id)
                after = _refined(staging, one, before, root, predictor)
                quality = judge(
                    after.bits, after.confidence, classes[one.class_name], table.universal
                )
                if after.tier != quality.tier:
                    after = replace(after, tier=quality.tier)
                    staging.write(one.id, after)
            except FaultlineError as error:
                changes.failed.append((one.id, str(error)))
            else:
                changes.shares[one.id] = changed_share(before.bits, after.bits)
                changes.pixels[one.id] = before.bits.size
                changes.tiers[one.id] = (before.tier, after.tier)
                changes.rows[one.id] = score_row(one.id, one.class_name, one.part, quality)
            progress(number, len(known))
    return changes


def _refined(
    staging: LabelFolder, one: Scored, before: Label, root: Path, predictor: Predictor
) -> Label:
    if staging.has(one.id):
        return staging.read(one.id)
    picture = read_image(root / one.id)
    if picture.shape[:2] != before.bits.shape:
        raise DataError(
            f"the picture is {picture.shape[:2]}, its label {before.bits.shape}",
            where=root / one.id,
            remedy="make the label again: the picture has changed",
        )
    probability = predictor.predict(picture).probability
    drawn = merge(before.bits, before.confidence, probability, predictor.threshold.value)
    label = Label(drawn.bits, drawn.confidence.astype(np.float16), before.tier)
    staging.write(one.id, label)
    return label


def _take_over(folder: LabelFolder, staging: LabelFolder, changes: Changes) -> None:
    for item_id in changes.shares:
        folder.write(item_id, staging.read(item_id))
    rows = [changes.rows.get(row["id"], row) for row in read_scores(folder)]
    write_scores(folder, rows)


def _round(
    number: int, bundle: Bundle, changes: Changes, outcome: Outcome, known: Sequence[Scored]
) -> dict[str, Any]:
    """One entry of the log."""
    before = [a for a, _ in changes.tiers.values()]
    after = [b for _, b in changes.tiers.values()]
    return {
        "round": number,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "segmenter": bundle.fingerprint,
        "weights": str(bundle.source),
        "drift_pct": round(changes.drift, 4),
        "status": outcome.status,
        "accepted": outcome.accepted,
        "reason": outcome.reason,
        "pictures": len(changes.shares),
        "tiers_before": {tier: before.count(tier) for tier in "ABC"},
        "tiers_after": {tier: after.count(tier) for tier in "ABC"},
        "upgraded": sorted(i for i, (a, b) in changes.tiers.items() if b < a),
        "downgraded": sorted(i for i, (a, b) in changes.tiers.items() if b > a),
        "to_review": _flagged(changes, known),
        "changed_pct": {i: round(100 * share, 3) for i, share in changes.shares.items()},
        "failed": [{"file": file, "reason": reason} for file, reason in changes.failed],
    }


def _flagged(changes: Changes, known: Sequence[Scored]) -> dict[str, list[str]]:
    """Class -> the labels that the segmenter disagrees with most, up to 20."""
    flagged: dict[str, list[str]] = {}
    for name in sorted({one.class_name for one in known}):
        own = [x.id for x in known if x.class_name == name and changes.shares.get(x.id, 0) > 0]
        flagged[name] = sorted(own, key=lambda one: -changes.shares[one])[:FLAGGED]
    return flagged


def _record(
    folder: LabelFolder,
    rounds: Sequence[Mapping[str, Any]],
    outcome: Outcome,
    request: RefineRequest,
) -> None:
    drifts = [one["drift_pct"] for one in rounds]
    write_json(folder.audit / LOG_NAME, {"rounds": list(rounds)})
    write_json(
        folder.audit / DRIFT_NAME,
        {"drift_pct": {str(n): drift for n, drift in enumerate(drifts, 1)},
         "converged_below_pct": CONVERGED, "status": outcome.status},
    )  # fmt: skip
    save_figure(drift_figure(drifts), folder.audit / CHART_STEM, request.plot_format, request.dpi)
    write_chart(folder, scored_labels(folder), request.plot_format, request.dpi)
    path = folder.audit / OSCILLATING_NAME
    if outcome.status == BLOCKED:
        write_json(path, {"samples": oscillating(rounds)})
    else:
        path.unlink(missing_ok=True)


def oscillating(rounds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Labels that the last round changes beyond the limit, the worst first, with their history."""
    last = rounds[-1]["changed_pct"]
    worst = sorted((one for one in last if last[one] > CONVERGED), key=lambda one: -last[one])
    return [{"id": one, "changed_pct": [r["changed_pct"].get(one) for r in rounds]}
            for one in worst]  # fmt: skip


def _lines(
    folder: LabelFolder,
    changes: Changes,
    outcome: Outcome,
    rounds: Sequence[Mapping[str, Any]],
) -> list[str]:
    now = rounds[-1]
    lines = [
        f"{outcome.status.upper() if outcome.status == BLOCKED else outcome.status}: "
        f"{outcome.reason}",
        f"{len(now['upgraded'])} tiers up, {len(now['downgraded'])} down, "
        f"{len(changes.failed)} failed" + ("" if outcome.accepted else "; nothing was replaced"),
        *tier_lines(scored_labels(folder)),
    ]
    lines += [f"  failed: {file}: {reason}" for file, reason in changes.failed[:10]]
    return [*lines, f"written: {folder.root / AUDIT / LOG_NAME}"]
