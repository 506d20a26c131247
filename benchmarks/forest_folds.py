"""A random forest on HOG and LBP features, on the folds of `faultline crossvalidate`.

The baseline that a network has to beat: same pictures, same folds, same thresholds chosen on the
validation part. It writes `out_of_fold.csv`, so that a network is compared with it by

    python benchmarks/forest_folds.py data=FOLDER data.folds=5 [key=value ...] --out DIR
    faultline crossvalidate data=FOLDER data.folds=5 [key=value ...] --against DIR

Settings of the data have to be the same in both calls.
"""

from __future__ import annotations

import argparse
import copy
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from skimage.feature import hog, local_binary_pattern
from sklearn.ensemble import RandomForestClassifier

from faultline.config import load_config
from faultline.data.images import read_image
from faultline.data.prepare import prepare
from faultline.data.targets import image_targets
from faultline.evaluation.classification.crossvalidate import pool
from faultline.evaluation.classification.scoring import ClassRun
from faultline.evaluation.classification.table import FOLDS_TABLE, predictions_csv
from faultline.files import write_text
from faultline.metrics import ClassificationScores, choose_class_thresholds
from faultline.types import LabelKind

SIDE = 128
LBP_SCALES = ((8, 1), (16, 2), (24, 3))


PLAIN_SCALES = ((8, 1),)


@cache
def features(path, scales):
    """HOG of cells of 16 pixels, and histograms of uniform LBP at each of `scales`."""
    grey = cv2.cvtColor(read_image(path), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    parts = [hog(small, orientations=9, pixels_per_cell=(16, 16), cells_per_block=(2, 2))]
    for points, radius in scales:
        codes = local_binary_pattern(small, points, radius, method="uniform")
        counts = np.bincount(codes.astype(int).ravel(), minlength=points + 2)
        parts.append(counts / counts.sum())
    return np.concatenate(parts)


def table(items, scales):
    return np.stack([features(str(item.path), scales) for item in items])


def probabilities(forest, x):
    """(N, K), one column a class, in the order of the label space."""
    answer = forest.predict_proba(x)
    if isinstance(answer, list):  # several labels a picture: a table of two columns a class
        return np.stack([part[:, -1] for part in answer], axis=1)
    return answer


def fold_answers(config, trees, refit, plain):
    """What the fold of `config` held out, with answers."""
    scales = PLAIN_SCALES if plain else LBP_SCALES
    data = prepare(config.data, config.seed, "classification")
    space = data.label_space
    several = space.kind is not LabelKind.MULTICLASS

    def fitted(items):
        truth = image_targets(items, space)
        forest = RandomForestClassifier(
            trees, class_weight=None if plain else "balanced", random_state=config.seed, n_jobs=1
        )
        return forest.fit(table(items, scales), truth if several else truth.argmax(1))

    forest = fitted(data.train)
    cuts = None
    if several and plain:
        cuts = np.full(len(space.names), 0.5)
    elif several:
        valid = probabilities(forest, table(data.valid, scales))
        choices = choose_class_thresholds(
            valid, image_targets(data.valid, space), space.names,
            min_positives=config.evaluation.min_positives,
        )  # fmt: skip
        cuts = np.array([one.value for one in choices.classes])
    if refit:  # the validation part, too, at the thresholds that were chosen on it
        forest = fitted([*data.train, *data.valid])
    answer = probabilities(forest, table(data.test, scales))
    decided = answer >= cuts if several else np.eye(len(space.names), dtype=bool)[answer.argmax(1)]
    truth = image_targets(data.test, space).astype(bool)
    scores = ClassificationScores(space.names, space.kind, answer, truth, decided)
    return ClassRun(data.test, scores, [], 0.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="settings of the data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trees", type=int, default=500)
    parser.add_argument("--refit", action="store_true", help="fit on the validation part, too")
    parser.add_argument("--plain", action="store_true", help="one LBP, no weights, cut at 0.5")
    asked = parser.parse_args()
    config = load_config(asked.words)
    parts = []
    for number in range(config.data.folds):
        fold = copy.deepcopy(config)
        fold.data.fold = number
        parts.append(fold_answers(fold, asked.trees, asked.refit, asked.plain))
        print(f"fold {number}: macro-F1 {parts[-1].scores.summary()['macro_f1']:.3f}", flush=True)
    pooled, numbers = pool(parts)
    write_text(asked.out / FOLDS_TABLE, predictions_csv(pooled, numbers))
    print(f"pooled macro-F1 {pooled.scores.summary()['macro_f1']:.3f}")
    for one in pooled.scores.classes():
        print(f"  {one.name}: F1 {one.f1:.3f}, AP {one.average_precision:.3f}")
    print(f"written: {asked.out / FOLDS_TABLE}")


if __name__ == "__main__":
    main()
