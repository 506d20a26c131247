"""k-fold cross-validation: every picture is answered by a model that has not seen it.

Folds keep groups whole and classes in proportion (`data.folds`). Each fold is a run of its own,
with epoch and thresholds chosen on its validation part. The same call goes on where an
interrupted one stopped.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faultline.artifacts import provenance
from faultline.artifacts.bundle import load_bundle
from faultline.artifacts.contents import Threshold
from faultline.artifacts.run import RunFolder
from faultline.artifacts.unseen import check_unseen
from faultline.config.compose import to_yaml
from faultline.config.schema import Config
from faultline.data.manifest import Item, Problem
from faultline.data.prepare import Prepared, prepare
from faultline.errors import ConfigError, LeakageError
from faultline.evaluation.classification.pooled_report import pooled_page
from faultline.evaluation.classification.report import class_curves
from faultline.evaluation.classification.results import Results, score_tables
from faultline.evaluation.classification.scoring import ClassRun, score_pictures
from faultline.evaluation.classification.table import FOLDS_TABLE, predictions_csv
from faultline.evaluation.classification.words import BY_FOLD
from faultline.evaluation.curves import save_curves
from faultline.files import check_writable, write_json, write_text
from faultline.metrics import ClassificationScores
from faultline.predict.class_predictor import ClassPredictor
from faultline.tasks import CLASSIFICATION
from faultline.training.kinds import kind_of
from faultline.training.once import trained_once

RESULTS_NAME = "results.json"
REPORT_NAME = "report.html"
DEFAULT_FOLDS = 5
Say = Callable[[str], None]


@dataclass(frozen=True)
class Fold:
    """One fold, trained and scored.

    Attributes:
        number: From 0.
        run: Its run folder.
        scored: Its held-out pictures with their answers.
        prepared: Its data.
        trained: What the training's `results.json` holds.
    """

    number: int
    run: RunFolder
    scored: ClassRun
    prepared: Prepared
    trained: dict[str, Any]


@dataclass(frozen=True)
class CrossValidation:
    """What came of it.

    Attributes:
        folder: Where everything lies.
        results: What `results.json` holds; empty where it was interrupted.
        interrupted: Whether it was stopped from outside; the same call goes on.
    """

    folder: Path
    results: Results
    interrupted: bool = False


def crossvalidate(
    config: Config, save: str | Path | None = None, say: Say = print
) -> CrossValidation:
    """Train every fold, pool the answers to held-out pictures, and score them.

    Args:
        config: A training; `data.folds` of 0 means 5, `data.fold` is not used.
        save: The output folder; by default one below `output_dir` named by the settings, so that
            the same call finds it again.
        say: Takes lines of text.

    Raises:
        ConfigError: The task is not classification, or `save` holds other settings.
        LeakageError: A fold has seen a picture that it is scored on, or two folds score one.
        FaultlineError: See `faultline.training.fit.train`.
    """
    config = _checked(config)
    folder = Path(save) if save is not None else _own_folder(config)
    check_writable(folder)
    folds = []
    for number in range(config.data.folds):
        say(f"fold {number + 1} of {config.data.folds}")
        fold_config = _of_fold(config, folder, number)
        run = trained_once(fold_config, say)
        if run is None:
            return CrossValidation(folder, {}, interrupted=True)
        folds.append(_scored(fold_config, run, number))
        value = folds[-1].scored.scores.summary()["macro_f1"]
        say(f"fold {number + 1}: macro-F1 {value:.3f} on {len(folds[-1].scored.items)} pictures")
    return CrossValidation(folder, _pool(config, folder, folds))


def _checked(config: Config) -> Config:
    config = copy.deepcopy(config)
    kind = kind_of(config).name
    if kind != CLASSIFICATION:
        raise ConfigError(
            f"crossvalidate trains classification, and model {config.model['name']!r} is for "
            f"{kind}",
            remedy="add task=classification, or name a model of `faultline list models`",
        )
    config.task = CLASSIFICATION
    config.data.folds = config.data.folds or DEFAULT_FOLDS
    if config.data.folds < 2:
        raise ConfigError(f"data.folds={config.data.folds}: must be at least 2")
    return config


def _own_folder(config: Config) -> Path:
    """A folder named by the settings, so that the same call comes back to it."""
    plain = copy.deepcopy(config)
    plain.data.fold, plain.output_dir = 0, ""
    short = hashlib.sha256(to_yaml(plain).encode()).hexdigest()[:10]
    name = config.experiment or str(config.model["name"])
    return Path(config.output_dir) / f"{name}-folds" / short


def _of_fold(config: Config, folder: Path, number: int) -> Config:
    fold = copy.deepcopy(config)
    fold.data.fold = number
    fold.experiment, fold.output_dir = f"fold-{number}", str(folder)
    return fold


def _scored(config: Config, run: RunFolder, number: int) -> Fold:
    """Answers of a fold's best weights to the pictures that it held out."""
    prepared = prepare(config.data, config.seed, CLASSIFICATION)
    bundle = load_bundle(run.path)
    check_unseen(bundle, prepared.test, by_group=True)
    device = {"cpu": "cpu", "gpu": "cuda"}.get(config.trainer.accelerator, "auto")
    predictor = ClassPredictor(bundle, device, config.trainer.precision)
    scored = score_pictures(predictor, prepared.test, prepared.label_space)
    trained = json.loads(run.results.read_text(encoding="utf-8"))
    return Fold(number, run, scored, prepared, trained)


def _pool(config: Config, folder: Path, folds: Sequence[Fold]) -> Results:
    pooled, numbers = pool([fold.scored for fold in folds])
    groups = [item.group for item in pooled.items]
    multiclass = pooled.scores.kind.value == "multiclass"
    status = "most_probable" if multiclass else BY_FOLD
    threshold = Threshold(status=status, source="the validation part of each fold")
    first = folds[0].prepared
    results: Results = {
        "schema": 1,
        "task": CLASSIFICATION,
        "split": f"{len(folds)} folds, out of fold",
        "images": len(pooled.items),
        "groups": len(set(groups)),
        "kind": pooled.scores.kind.value,
        "threshold": {**threshold.to_dict(), "origin": threshold.source},
        **score_tables(pooled.scores, groups, threshold, seed=config.seed),
        "folds": [_fold_row(fold) for fold in folds],
        "class_shares": [],
        "balance": None,
        "data": {
            "name": Path(str(config.data.root)).name,
            "root": str(config.data.root),
            "fingerprint": first.fingerprint,
            "label_space": first.label_space.to_dict(),
            "split_hash": None,
        },
        "problems": [_problem(one) for one in (*first.problems, *pooled.problems)],
        "leakage": {"checked": True, "by_group": True, "overlap": 0, "seen_pictures": {}},
        "config": dataclasses.asdict(config),
        "provenance": provenance.collect(
            seed=config.seed, data_fingerprint=first.fingerprint, precision=config.trainer.precision
        ),
    }
    write_text(folder / FOLDS_TABLE, predictions_csv(pooled, numbers))
    settings = config.evaluation
    charts = save_curves(
        class_curves(pooled, results), folder / "plots", settings.plot_format, settings.dpi
    )
    write_text(folder / REPORT_NAME, pooled_page(results, charts))
    write_json(folder / RESULTS_NAME, results)
    return results


def pool(parts: Sequence[ClassRun]) -> tuple[ClassRun, list[int]]:
    """The answers of all folds as one, and the fold of each picture.

    Raises:
        LeakageError: Two folds answer for one picture.
    """
    items: list[Item] = [item for part in parts for item in part.items]
    seen: set[str] = set()
    twice = [item.id for item in items if item.id in seen or seen.add(item.id)]  # type: ignore[func-returns-value]
    if twice:
        raise LeakageError(
            f"{len(twice)} pictures were held out in two folds: {', '.join(twice[:5])}",
            remedy="the folds come from different splits; start again in another folder",
        )
    first = parts[0].scores
    tables = [
        np.concatenate([getattr(part.scores, name) for part in parts])
        for name in ("probability", "truth", "decided")
    ]
    scores = ClassificationScores(first.names, first.kind, *tables)
    problems: list[Problem] = [problem for part in parts for problem in part.problems]
    numbers = [number for number, part in enumerate(parts) for _ in part.items]
    return ClassRun(items, scores, problems, sum(part.seconds for part in parts)), numbers


def _fold_row(fold: Fold) -> dict[str, Any]:
    """A row of the table of folds."""
    summary, best = fold.scored.scores.summary(), fold.trained.get("best") or {}
    return {
        "fold": fold.number,
        "run": str(fold.run.path),
        "train": len(fold.prepared.train),
        "validation": len(fold.prepared.valid),
        "held_out": len(fold.scored.items),
        "macro_f1": summary["macro_f1"],
        "validation_macro_f1": best.get("macro_f1"),
        "epoch": best.get("epoch"),
        "seconds": fold.trained.get("seconds"),
    }


def _problem(problem: Problem) -> dict[str, str]:
    return {"file": problem.file, "reason": problem.reason}
