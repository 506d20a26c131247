"""`faultline pseudolabel gold`: a sample to be outlined by hand, with drafts to start from.

Document 2, section 13, phase 0.5. Copies, never moves; none of the pictures that test.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faultline.data.images import read_image
from faultline.errors import ConfigError, FaultlineError
from faultline.files import atomic_path, check_writable, write_json
from faultline.predict.pictures import write_picture
from faultline.progress import progress_bar
from faultline.pseudolabel.class_table import GOLD_COUNT, PlantClass, load_class_table
from faultline.pseudolabel.colour import HealthyGreen
from faultline.pseudolabel.gate.calibrate import DRAFT_END
from faultline.pseudolabel.make import healthy_of, open_sources
from faultline.pseudolabel.pictures import Picture, check_apart, find_pictures
from faultline.pseudolabel.store import MASK_END, LabelFolder

PROGRESS_NAME = "progress.json"


@dataclass(frozen=True)
class GoldRequest:
    """What `faultline pseudolabel gold` is asked for; see `MakeRequest` for what is the same.

    Attributes:
        overrides: Settings, `data=FOLDER` among them.
        output: Folder of the gold set.
        per_class: Pictures of each class; classes that the table gives more get more.
        seed: Of the sample.
        weights: Runs of classifiers, for better drafts; may be none.
        channel_map: YAML of classes.
        sam: Folder of a SAM model.
        device: See `resolve_device`.
        config_file: YAML of settings.
        say: Takes lines of text.
    """

    overrides: Sequence[str]
    output: Path
    per_class: int = GOLD_COUNT
    seed: int = 42
    weights: Sequence[Path] = ()
    channel_map: Path | None = None
    sam: Path | None = None
    device: str = "auto"
    config_file: Path | None = None
    say: Callable[[str], None] = print


def make_gold(request: GoldRequest) -> dict[str, Any]:
    """Copy a sample with draft masks, and write `progress.json`; return what it holds.

    Called again it makes what is missing, touches no mask, and counts those that are corrected.

    Raises:
        ConfigError: `per_class` is not positive, or a class is unknown.
        DataError: There is no data set.
        OutputError: The folder cannot be written.
    """
    if request.per_class < 1:
        raise ConfigError(f"--per-class is {request.per_class}, must be at least 1")
    table = load_class_table(request.channel_map)
    found = find_pictures(request.overrides, request.weights, request.config_file)
    sources = open_sources(table, found, request.sam, request.device)
    check_apart(request.output, found.root)
    check_writable(request.output)
    folder = LabelFolder(request.output)
    folder.write_channels()
    chosen = sample(found.pictures, sources.classes, request.per_class, request.seed)
    healthy: HealthyGreen | None = None
    failed: dict[str, str] = {}
    with progress_bar("drafts") as progress:
        for number, (name, picture) in enumerate(chosen.items(), 1):
            draft = (folder.root / name).with_suffix("")
            draft = draft.with_name(draft.name + DRAFT_END)
            try:
                _copy(picture.item.path, folder.root / name)
                if not draft.is_file():
                    healthy = healthy or healthy_of(found, sources)
                    drawn = sources.draw(
                        read_image(folder.root / name), picture.class_name, healthy
                    )
                    write_picture(draft, drawn.bits)
            except FaultlineError as error:
                failed[name] = str(error)
            progress(number, len(chosen))
    state = _progress(folder, chosen, failed, request)
    write_json(folder.root / PROGRESS_NAME, state)
    request.say(f"{len(chosen)} pictures in {folder.root}, {state['verified']} corrected by hand")
    request.say(f"correct each *{DRAFT_END} and save it as <stem>{MASK_END}; then gate calibrate")
    for name, reason in failed.items():
        request.say(f"  failed: {name}: {reason}")
    return state


def sample(
    pictures: Sequence[Picture], classes: Mapping[str, PlantClass], per_class: int, seed: int
) -> dict[str, Picture]:
    """Path in the gold set (`<class>/<file>`) -> picture, drawn at random from each class.

    A class that the table gives more than the usual number gets as many more here.
    """
    rng = np.random.default_rng(seed)
    chosen: dict[str, Picture] = {}
    for name in sorted(classes):
        own = sorted((p for p in pictures if p.class_name == name), key=lambda p: p.item.id)
        count = per_class + max(0, classes[name].gold - GOLD_COUNT)
        for row in sorted(rng.permutation(len(own))[:count]):
            file = own[row].item.path
            key = f"{name}/{file.name}"
            if any(Path(other).with_suffix("") == Path(key).with_suffix("") for other in chosen):
                key = f"{name}/{own[row].part}-{file.name}"
            chosen[key] = own[row]
    return chosen


def _copy(source: Path, target: Path) -> None:
    if target.is_file():
        return
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _progress(
    folder: LabelFolder,
    chosen: Mapping[str, Picture],
    failed: Mapping[str, str],
    request: GoldRequest,
) -> dict[str, Any]:
    pictures = {
        name: {
            "source": picture.item.id,
            "verified": folder.paths(name)[0].is_file(),
            "fault": failed.get(name),
        }
        for name, picture in chosen.items()
    }
    return {
        "seed": request.seed,
        "per_class": request.per_class,
        "total": len(pictures),
        "verified": sum(1 for one in pictures.values() if one["verified"]),
        "pictures": pictures,
    }
