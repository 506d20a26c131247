"""`faultline pseudolabel make`: masks with tiers for the pictures of class folders."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faultline.data.images import read_image, sha256_file
from faultline.errors import DataError, FaultlineError
from faultline.files import check_writable, write_json
from faultline.progress import progress_bar
from faultline.pseudolabel.activation import Activations
from faultline.pseudolabel.activation import plant_belief as activation_belief
from faultline.pseudolabel.assign import Drawn, assign
from faultline.pseudolabel.channels import HEALTHY
from faultline.pseudolabel.class_table import ClassTable, PlantClass, load_class_table
from faultline.pseudolabel.colour import (
    HealthyGreen,
    green_nearby,
    measure_healthy,
    unlikeness,
)
from faultline.pseudolabel.fusion import ACTIVATION, GRABCUT, SAM, WEIGHTS, Belief
from faultline.pseudolabel.grabcut import GrabCutSettings, Pixels, plant_belief, without_dry
from faultline.pseudolabel.pictures import Picture, Pictures, check_apart, find_pictures
from faultline.pseudolabel.quality import Quality, judge
from faultline.pseudolabel.records import (
    keep_settings,
    read_settings,
    score_row,
    scored_labels,
    settings_key,
    tier_lines,
    write_chart,
    write_scores,
)
from faultline.pseudolabel.sam import SamSource
from faultline.pseudolabel.store import Label, LabelFolder

FAILURES_NAME = "failures.json"
_HEALTHY_PICTURES = 48


@dataclass(frozen=True)
class Sources:
    """What a mask is made of.

    Attributes:
        table: What is known of each class.
        classes: Class name of the data set -> what is known of it.
        grabcut: Settings of GrabCut.
        activations: Classifiers; None where there are none.
        sam: A SAM model; None where there is none.
    """

    table: ClassTable
    classes: dict[str, PlantClass]
    grabcut: GrabCutSettings = field(default_factory=GrabCutSettings)
    activations: Activations | None = None
    sam: SamSource | None = None

    @property
    def names(self) -> list[str]:
        """Names of the sources that vote."""
        given = {GRABCUT: True, ACTIVATION: self.activations, SAM: self.sam}
        return [name for name, source in given.items() if source is not None]

    def draw(self, picture: Pixels, class_name: str, healthy: HealthyGreen) -> Drawn:
        """The mask of a picture (H, W, 3) of a class."""
        cut = plant_belief(picture, self.grabcut)
        unlike = unlikeness(picture, cut > 0.5, healthy)
        green = green_nearby(picture, healthy)
        beliefs: dict[str, Belief] = {GRABCUT: without_dry(cut, unlike, green)}
        heat = None
        if self.activations is not None:
            heat = self.activations.heat(picture, class_name)
            beliefs[ACTIVATION] = activation_belief(heat)
        if self.sam is not None:
            beliefs[SAM] = self.sam.plant_belief(picture)
        return assign(self.classes[class_name], beliefs, unlike, green, heat)

    def judge(self, drawn: Label, class_name: str) -> Quality:
        """How good a mask is."""
        of = self.classes[class_name]
        return judge(drawn.bits, drawn.confidence, of, self.table.universal)


@dataclass(frozen=True)
class MakeRequest:
    """What `faultline pseudolabel make` is asked for.

    Attributes:
        overrides: Settings, `data=FOLDER` among them.
        weights: Runs of classifiers.
        output: Folder of the labels.
        channel_map: YAML of classes, see `class_table`.
        sam: Folder of a SAM model.
        device: See `resolve_device`.
        config_file: YAML of settings.
        say: Takes lines of text.
    """

    overrides: Sequence[str]
    weights: Sequence[Path]
    output: Path
    channel_map: Path | None = None
    sam: Path | None = None
    device: str = "auto"
    config_file: Path | None = None
    say: Callable[[str], None] = print


@dataclass
class Made:
    """What came of it.

    Attributes:
        made: Pictures labelled now.
        kept: Pictures that an earlier call had labelled.
        failed: (id, reason) of pictures that got no label.
    """

    made: int = 0
    kept: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def make_labels(request: MakeRequest) -> Made:
    """Label the pictures of training and validation; go on where an earlier call stopped.

    Raises:
        LeakageError: A classifier has seen pictures that test.
        ConfigError: A class is unknown, or the folder holds labels made otherwise.
        DataError: There is no data set.
        OutputError: The folder cannot be written.
    """
    table = load_class_table(request.channel_map)
    found = find_pictures(request.overrides, request.weights, request.config_file)
    sources = open_sources(table, found, request.sam, request.device)
    folder = LabelFolder(request.output)
    check_apart(request.output, found.root)
    check_writable(request.output)
    for line in _opening(found, sources):
        request.say(line)
    healthy = _settle(folder, found, sources)
    folder.write_channels()
    made, rows = Made(), []
    clashes = _clashes(found.pictures)
    with progress_bar("labels") as progress:
        for number, picture in enumerate(found.pictures, 1):
            try:
                rows.append(_labelled(folder, sources, picture, healthy, clashes, made))
            except FaultlineError as error:
                made.failed.append((picture.item.id, str(error)))
            progress(number, len(found.pictures))
    _finish(folder, found, rows, made, request.say)
    return made


def open_sources(
    table: ClassTable, found: Pictures, sam: Path | None, device: str, *, side: int | None = None
) -> Sources:
    """The sources that are there.

    Raises:
        ConfigError: A class of the data set is unknown to the table or to a classifier.
        BundleError: There is no SAM model in the folder `sam`.
    """
    classes = table.of_all(found.names)
    activations = Activations(found.bundles, found.names, device) if found.bundles else None
    grabcut = GrabCutSettings() if side is None else GrabCutSettings(side=side)
    model = None if sam is None else SamSource(sam, device)
    return Sources(table, classes, grabcut, activations, model)


def _opening(found: Pictures, sources: Sources) -> Iterator[str]:
    parts = [sum(1 for p in found.pictures if p.part == part) for part in ("train", "valid")]
    yield (
        f"{len(found.pictures)} pictures of {found.root} ({parts[0]} train, {parts[1]} "
        f"validation); {len(found.test_sha256)} test pictures get no label"
    )
    yield from (f"  {note}" for note in found.notes)
    used = sources.names
    total = sum(WEIGHTS[name] for name in used)
    yield "votes: " + ", ".join(f"{name} {WEIGHTS[name] / total:.3f}" for name in used)
    if sources.activations is None:
        yield "no classifier was given (--weights): there are no activation maps"
    if sources.sam is None:
        yield "no SAM model was given (--sam FOLDER): it is left out, the weights of the rest grow"


def _settle(folder: LabelFolder, found: Pictures, sources: Sources) -> HealthyGreen:
    """Record what the labels are made with; the hue of healthy tissue is measured once."""
    sam = None
    if sources.sam is not None:
        files = sorted(sources.sam.folder.glob("*.safetensors"))
        sam = [sha256_file(path) for path in files]
    values: dict[str, Any] = {
        "data": str(found.root.absolute()),
        "split": found.split,
        "test_sha256": found.test_sha256,
        "weights": {bundle.fingerprint: str(bundle.source) for bundle in found.bundles},
        "sam": sam,
        "grabcut": dataclasses.asdict(sources.grabcut),
        "classes": {
            name: {"channels": list(of.channels), "rules": [rule.text for rule in of.rules]}
            for name, of in sources.classes.items()
        },
        "universal": [rule.text for rule in sources.table.universal],
        "fusion": {name: WEIGHTS[name] for name in sources.names},
    }
    # Folders may move between two calls; what is in them may not change.
    fixed = {**values, "weights": sorted(values["weights"]), "data": None}
    key = settings_key(fixed)
    before = read_settings(folder)
    if before.get("key") == key:
        healthy = HealthyGreen(**before["healthy"])
    else:
        healthy = healthy_of(found, sources)
    keep_settings(folder, {"key": key, **values, "healthy": healthy.to_dict()})
    return healthy


def healthy_of(found: Pictures, sources: Sources) -> HealthyGreen:
    """Hue of the healthy pictures of the training part, evenly taken."""
    healthy = [
        picture
        for picture in found.pictures
        if picture.part == "train" and sources.classes[picture.class_name].primary == HEALTHY
    ]
    step = max(1, len(healthy) // _HEALTHY_PICTURES)

    def measured() -> Iterator[tuple[Pixels, NDArray[np.bool_]]]:
        for picture in healthy[::step][:_HEALTHY_PICTURES]:
            try:
                pixels = read_image(picture.item.path)
            except FaultlineError:
                continue  # told when its own label fails
            yield pixels, plant_belief(pixels, sources.grabcut) > 0.9

    return measure_healthy(measured())


def _labelled(
    folder: LabelFolder,
    sources: Sources,
    picture: Picture,
    healthy: HealthyGreen,
    clashes: dict[str, str],
    made: Made,
) -> dict[str, Any]:
    """Label one picture if it has none yet; its row of the table."""
    item = picture.item
    if item.id in clashes:
        raise FaultlineError(
            f"has the same name as {clashes[item.id]} but for the ending",
            where=item.id,
            remedy="rename one of them: both would have the same label files",
        )
    kept = _kept(folder, item.id)
    if kept is not None:
        made.kept += 1
        quality = sources.judge(kept, picture.class_name)
        # A later step may have changed the tier; its own score stands in the table.
        quality = dataclasses.replace(quality, tier=kept.tier)
        return score_row(item.id, picture.class_name, picture.part, quality)
    drawn = sources.draw(read_image(item.path), picture.class_name, healthy)
    # Judged as stored, so that reading it again gives the same score.
    label = Label(drawn.bits, drawn.confidence.astype(np.float16), "C")
    quality = sources.judge(label, picture.class_name)
    folder.write(item.id, dataclasses.replace(label, tier=quality.tier))
    made.made += 1
    return score_row(item.id, picture.class_name, picture.part, quality)


def _kept(folder: LabelFolder, item_id: str) -> Label | None:
    """The label that an earlier call made; None where there is none, or a damaged one."""
    if not folder.has(item_id):
        return None
    try:
        return folder.read(item_id)
    except DataError:
        return None


def _clashes(pictures: Sequence[Picture]) -> dict[str, str]:
    """Id -> id of an earlier picture that would have the same label files."""
    seen: dict[str, str] = {}
    clashes = {}
    for picture in pictures:
        stem = str(Path(picture.item.id).with_suffix("")).casefold()
        if stem in seen:
            clashes[picture.item.id] = seen[stem]
        seen.setdefault(stem, picture.item.id)
    return clashes


def _finish(
    folder: LabelFolder,
    found: Pictures,
    rows: Sequence[dict[str, Any]],
    made: Made,
    say: Callable[[str], None],
) -> None:
    made.failed[:0] = [(problem.file, problem.reason) for problem in found.problems]
    write_scores(folder, rows)
    failures = [{"file": file, "reason": reason} for file, reason in made.failed]
    write_json(folder.audit / FAILURES_NAME, failures)
    labels = scored_labels(folder)
    settings = found.config.evaluation
    chart = write_chart(folder, labels, settings.plot_format, settings.dpi)
    say(f"{made.made} labels made, {made.kept} kept from before, {len(made.failed)} failed")
    for line in tier_lines(labels):
        say(line)
    for file, reason in made.failed[:10]:
        say(f"  failed: {file}: {reason}")
    say(f"written: {folder.root}, scores and chart in {chart.parent}")
