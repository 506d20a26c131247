"""Everything that one run has to be asked, in one go: one network is in memory at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faultline.analysis.features import FeatureMeter, StageFacts
from faultline.analysis.kept import GRID, Answers, Observed, read_kept, write_kept
from faultline.analysis.regions import Masks, heat_shares, try_regions
from faultline.analysis.sample import Shown
from faultline.analysis.subject import Run, Subject
from faultline.data.images import read_image
from faultline.data.manifest import Item, Problem
from faultline.data.prepare_checks import at_positions_of
from faultline.errors import FaultlineError
from faultline.evaluation.classification.gradcam import GradCam
from faultline.evaluation.classification.scoring import ClassRun, score_pictures
from faultline.predict.class_predictor import ClassPredictor
from faultline.progress import progress_bar

_FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """What every run is asked.

    Attributes:
        subject: Runs and pictures.
        sample: Pictures to look into.
        train: Training pictures to answer for.
        masks: Where objects are.
        device: See `resolve_device`.
        precision: See `resolve_precision`.
    """

    subject: Subject
    sample: list[Shown]
    train: list[Item]
    masks: Masks
    device: str = "auto"
    precision: str = "auto"

    def key(self, run: Run) -> str:
        """Hash of all that shapes what is found of `run`."""
        shown = [[one.item.sha256, one.class_index, self.masks.hash_of(one.item)]
                 for one in self.sample]  # fmt: skip
        values = {
            "format": _FORMAT, "bundle": run.fingerprint, "sample": shown,
            "threshold": run.threshold.to_dict(),
            "valid": [[one.sha256, one.targets] for one in self.subject.valid],
            "train": [[one.sha256, one.targets] for one in self.train],
            "space": self.subject.space.to_dict(), "channels": self.masks.channels,
            "confidence": self.subject.config.phases.confidence, "precision": self.precision,
        }  # fmt: skip
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def observe(plan: Plan, run: Run, kept: Path) -> tuple[Observed, bool]:
    """What `run` shows, and whether it was there already, from an earlier call.

    Args:
        plan: What to ask.
        run: Whom.
        kept: File in which it is kept.

    Raises:
        MissingExtraError: captum is not installed.
        DataError: No picture can be read.
        OutputError: The file cannot be written.
    """
    key = plan.key(run)
    before = read_kept(kept, key)
    if before is not None:
        return before, True
    found = _ask(plan, run)
    write_kept(kept, key, found)
    return found, False


def _ask(plan: Plan, run: Run) -> Observed:
    predictor = ClassPredictor(run.load(), plan.device, plan.precision)
    problems: list[Problem] = []
    heat, shares = _look(plan, predictor, run.name, problems)
    stages, pooled, ids = _features(plan, predictor, run.name)
    valid, train = (
        _answers(plan, predictor, items, f"{run.name}: {what}", problems)
        for items, what in ((plan.subject.valid, "validation"), (plan.train, "training"))
    )
    return Observed(heat, shares, stages, pooled, ids, valid, train, problems)


def _look(
    plan: Plan, predictor: ClassPredictor, name: str, problems: list[Problem]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Activation maps of the sample, and where their heat falls."""
    maps = GradCam(predictor)
    names = plan.subject.space.names
    heat = np.full((len(plan.sample), GRID, GRID), np.nan, np.float32)
    shares = np.full((len(plan.sample), len(plan.masks.channels), 2), np.nan)
    with progress_bar(f"{name}: activation maps") as progress:
        for row, shown in enumerate(plan.sample):
            try:
                picture = read_image(shown.item.path)
            except FaultlineError as error:
                problems.append(Problem(shown.item.id, error.what))
                continue
            class_name = names[shown.class_index]
            found = maps.heat_on(picture, predictor.names.index(class_name))
            regions = try_regions(plan.masks, shown.item, class_name, problems)
            if regions is not None:
                shares[row] = heat_shares(found, *regions)
            heat[row] = cv2.resize(found, (GRID, GRID), interpolation=cv2.INTER_AREA)
            progress(row + 1, len(plan.sample))
    return heat.astype(np.float16).astype(np.float32), shares  # as it is kept


def _features(
    plan: Plan, predictor: ClassPredictor, name: str
) -> tuple[list[StageFacts], dict[str, NDArray[np.float32]], list[str]]:
    """Features of every picture of the sample, once each."""
    items = {one.item.id: one.item for one in plan.sample}
    meter, ids = FeatureMeter(predictor), []
    with progress_bar(f"{name}: features") as progress:
        for number, (id_, item) in enumerate(items.items(), 1):
            try:
                picture = read_image(item.path)
            except FaultlineError:
                continue  # listed where its map was to be made
            meter.add(predictor.fit(picture))
            ids.append(id_)
            progress(number, len(items))
    return meter.stages(), meter.pooled(), ids


def _answers(
    plan: Plan,
    predictor: ClassPredictor,
    items: Sequence[Item],
    what: str,
    problems: list[Problem],
) -> Answers:
    """Answers for `items`, columns in the order of the data set's classes."""
    space = plan.subject.space
    with progress_bar(what) as progress:
        run: ClassRun = score_pictures(
            predictor, at_positions_of(predictor.bundle.label_space, items, space),
            predictor.bundle.label_space, progress=progress,
        )  # fmt: skip
    problems += run.problems
    order = [predictor.names.index(name) for name in space.names]
    scores = run.scores
    return Answers(
        [item.id for item in run.items], [item.group for item in run.items],
        scores.probability[:, order], scores.truth[:, order], scores.decided[:, order],
    )  # fmt: skip
