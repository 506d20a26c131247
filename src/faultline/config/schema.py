"""Every setting of a run, typed and documented. The YAML files beside this one hold the values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class DataConfig:
    """Where the pictures are, how they are labelled, and how they are fed.

    Attributes:
        root: Folder of the data set.
        masks: Folder of pseudo-labels for the pictures of `root` (docs/dual-head.md); for the
            dual-head network only.
        sources: Data sets that prompted segmentation trains on together: folders, options with
            `root:`, or one YAML file that lists them (docs/prompts.md).
        format: Importer name, or `auto` to find out.
        positive: Classes that count as foreground: text that their names contain (any case),
            comma-separated; `*` for all.
        test: Another data set to evaluate on; its pictures may not be in `root`'s training part.
        test_format: Importer name for `test`.
        kind: Relation between classes: `auto`, `binary`, `multiclass` or `multilabel`.
        classes: Class names of index masks, background first.
        mask_rule: How mask files encode classes: `auto`, `binary01`, `binary0255`, `index`,
            `rgb`, `palette`, or `threshold` (128 and above is foreground; never found out, since
            soft edges may also be damage by JPEG).
        mask_colours: For `rgb` masks: class name -> [red, green, blue].
        validation: Where validation pictures come from: `split` (the shipped `valid`), `train` (a
            share of `train` by group), or `auto`: the shipped one if there is also a test set,
            else a share of `train`, and the shipped `valid` becomes the test set.
        valid_fraction: Share of the training groups that validates.
        test_fraction: Share of the groups that tests, where a data set has no split at all.
        group_by: What shows the same thing and stays together: `name` or `near_duplicates`.
        duplicate_distance: How unlike two `near_duplicates` may be, 0 to 1.
        split_strategy: `auto` takes the shipped splits and divides what has none; `shipped` takes
            nothing else; `grouped` divides anew by group; `stratified_70_15_15`,
            `stratified_80_10_10` (or any other per cent of train, valid and test) divide anew by
            group so that every class gets its share of every part.
        split_seed: Seed of the split; null takes `seed`.
        split_file: A saved split (`faultline split --save`) to use instead.
        folds: Folds of a cross-validation, 0 for none. One fold tests, a share of the others
            (`valid_fraction`) validates.
        fold: The fold that tests, from 0.
        thin: Classes that are made rare in training and validation, to study that: class -> n for
            at most one picture in n.
        min_pixels: Pixels that a class has to cover for a picture to show it.
        on_error: `skip` lists bad items and goes on, `raise` stops.
        crop: Side of the square training crops in pixels; 0 trains on whole pictures.
        resize: Longest side that pictures are resized to first; 0 keeps their size.
        image_size: Side, or [height, width], of the pictures that are classified.
        keep_aspect: Whether these are padded rather than stretched to that size.
        sampler: What an epoch of classification draws: `uniform` every picture once, `weighted`
            pictures of rare classes more often, `class_aware` a class by turns.
        foreground_share: Share of the crops that are placed around a foreground pixel.
        crops_per_image: Crops of each picture an epoch; 0 means as many as cover it once.
        batch_size: Crops per step. 0, for the dual-head network only: by the backbone's class of
            memory (`tiers`).
        num_workers: Loader processes; -1 chooses (0 on a CPU, up to 8 with a GPU).
        cache: Where decoded pictures are kept: `ram`, `disk` or `none`.
        cache_gib: Memory that the cache may take.
    """

    root: str | None = None
    masks: str | None = None
    sources: list[Any] = field(default_factory=list)
    format: str = "auto"
    positive: str = "crack"
    test: str | None = None
    test_format: str = "auto"
    kind: str = "auto"
    classes: list[str] = field(default_factory=list)
    mask_rule: str = "auto"
    mask_colours: dict[str, Any] = field(default_factory=dict)
    validation: str = "auto"
    valid_fraction: float = 0.15
    test_fraction: float = 0.15
    group_by: str = "name"
    duplicate_distance: float = 0.15
    split_strategy: str = "auto"
    split_seed: int | None = None
    split_file: str | None = None
    folds: int = 0
    fold: int = 0
    thin: dict[str, Any] = field(default_factory=dict)
    min_pixels: int = 1
    on_error: str = "skip"
    crop: int = 256
    resize: int = 0
    image_size: Any = 224
    keep_aspect: bool = False
    sampler: str = "uniform"
    foreground_share: float = 0.5
    crops_per_image: int = 0
    batch_size: int = 8
    num_workers: int = -1
    cache: str = "ram"
    cache_gib: float = 4.0


@dataclass
class OptimizerConfig:
    """How weights move.

    Attributes:
        name: `adamw` or `sgd`.
        lr: Learning rate.
        weight_decay: Decoupled weight decay (AdamW) or L2 penalty (SGD).
        momentum: Momentum of SGD.
    """

    name: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 1e-4
    momentum: float = 0.9


@dataclass
class SchedulerConfig:
    """How the learning rate changes.

    Attributes:
        name: `cosine` (with warm-up, over epochs or `trainer.max_time`, whichever ends first),
            `plateau` (alias `ReduceLROnPlateau`) or `none`.
        warmup_steps: Steps of linear warm-up (`cosine`).
        min_factor: Last learning rate as a share of the first.
        patience: Epochs without a better validation loss before a cut (`plateau`).
        factor: What a cut multiplies the learning rate by (`plateau`).
    """

    name: str = "cosine"
    warmup_steps: int = 50
    min_factor: float = 0.01
    patience: int = 5
    factor: float = 0.5


@dataclass
class TrainerConfig:
    """How long and on what to train.

    Attributes:
        max_epochs: Epochs; -1 means 80, or no limit where `max_time` is set.
        max_time: Wall-clock budget: `15m`, `1h30m`, `90s` or `DD:HH:MM:SS`.
        max_steps: Optimizer steps at most; -1 for no limit.
        precision: `auto`, `fp32`, `bf16` or `fp16`; resolved once and stored.
        accelerator: `auto`, `cpu` or `gpu`.
        devices: Number of devices.
        strategy: Lightning strategy, for example `ddp`.
        accumulate: Batches an optimizer step. 0, for the dual-head network only: as many as make
            `tiers.effective_batch`.
        gradient_clip: Largest gradient norm; 0 for none.
        early_stopping_patience: Epochs without a better validation score (IoU, macro-F1) before
            stopping; 0 is off.
        ema: Decay of averaged weights; 0 is off.
        keep_best: Bundles that stay: the best one, and above 1 those that were the best before it.
        checkpoint_every_steps: Steps between resume points, besides one per epoch; 0 for none.
            Only the last point stays.
        validate_every: Epochs between validations.
        guard_epochs: Validations with dead foreground before training says so; 0 is off.
        guard_action: `warn` prints the diagnosis and goes on, `stop` ends the training.
        tensorboard: Whether to write TensorBoard logs.
    """

    max_epochs: int = -1
    max_time: str | None = None
    max_steps: int = -1
    precision: str = "auto"
    accelerator: str = "auto"
    devices: int = 1
    strategy: str = "auto"
    accumulate: int = 1
    gradient_clip: float = 1.0
    early_stopping_patience: int = 0
    ema: float = 0.0
    keep_best: int = 1
    checkpoint_every_steps: int = 200
    validate_every: int = 1
    guard_epochs: int = 3
    guard_action: str = "warn"
    tensorboard: bool = True


@dataclass
class EvaluationConfig:
    """What is measured, and how it is drawn.

    Attributes:
        radius: Tolerance of precision, recall and F1 in pixels.
        tau: Tolerance of clIoU in pixels.
        examples: Pictures shown of each of best, median and worst; of a classification, of each
            class as many right and wrong ones.
        min_positives: Validation pictures of a class from which it gets a threshold of its own.
        plot_format: Any format that matplotlib writes.
        dpi: Resolution of plots.
    """

    radius: float = 2.0
    tau: int = 4
    examples: int = 3
    min_positives: int = 5
    plot_format: str = "png"
    dpi: int = 120


@dataclass
class PromptsConfig:
    """What prompted segmentation is asked in training, and how its answers are decided.

    Attributes:
        table: YAML of classes, prompts and synonyms, added to the package's own.
        held_out: Wordings to keep out of training, besides those of the table.
        vary: Make new wordings in training (templates, synonyms, slips of the pen).
        per_picture: Questions about each training picture.
        absent_share: Share of the questions that ask for what the picture does not show.
        unknown_share: Share of those that ask for something that is no class at all.
        absence_weight: Weight of the loss of false answers, on questions with an empty mask.
        text_weight: Weight of the loss that keeps wordings of one class together.
        criterion: What thresholds are chosen by: `iou`, `dice`, or `percentile`, which needs no
            labels.
        percentile: For `percentile`: share of the pixels, in per cent, that stays unpainted.
        max_false_rate: Share of the questions about something absent that may be answered
            falsely; thresholds are chosen under it.
        clean_up: Try clean-up of masks (morphology, a random field over colours) on validation,
            and keep it where it helps.
        cache_features: Keep what a frozen backbone sees of a picture, where nothing is augmented.
    """

    table: str | None = None
    held_out: list[str] = field(default_factory=list)
    vary: bool = True
    per_picture: int = 2
    absent_share: float = 0.5
    unknown_share: float = 0.1
    absence_weight: float = 1.0
    text_weight: float = 0.2
    criterion: str = "iou"
    percentile: float = 95.0
    max_false_rate: float = 0.05
    clean_up: bool = True
    cache_features: bool = True


@dataclass
class InitConfig:
    """What a training starts from.

    Attributes:
        weights: Run or bundle whose backbone the dual-head network starts with, and whose head,
            where it names the same classes.
    """

    weights: str | None = None


@dataclass
class PhaseConfig:
    """One phase of the dual-head network's training.

    Attributes:
        epochs: Epochs at most; 0 leaves the phase out.
        patience: Epochs without a better score before the phase ends; 0 is off.
        lr_backbone: Learning rate of the backbone; 0 freezes it.
        lr_masks: Learning rate of the decoder of masks; 0 freezes it.
        lr_classes: Learning rate of the classification head; 0 freezes it.
        loss_masks: Factor of the loss of masks.
        loss_classes: Factor of the loss of classes.
        warmup_steps: Steps of linear warm-up.
        hard_examples: Weight that a picture gains in the loss of classes for being answered
            wrongly: 1 + this times the probability that its truth was not given.
        object_weight: How far the loss of classes is weighted by the share of the picture that
            the masks take for object: 0 not at all, 1 wholly.
    """

    epochs: int
    patience: int
    lr_backbone: float
    lr_masks: float
    lr_classes: float
    loss_masks: float
    loss_classes: float
    warmup_steps: int = 50
    hard_examples: float = 0.0
    object_weight: float = 0.0


@dataclass
class PhasesConfig:
    """The phases of the dual-head network's training, and what stops it after the second.

    Attributes:
        a: Masks alone, on a frozen backbone.
        b: Both heads and the backbone.
        c: Classes alone, the decoder frozen.
        class_loss: Loss of classes; a name of `faultline list losses` that does whole pictures, or
            `auto`: `cross_entropy` where a picture has one class, `bce` where it may have several.
            `loss` is that of masks.
        confidence: Pixels of pseudo-labels below this confidence are ignored.
        tier_a: Factor of a picture's loss of masks where its pseudo-label is of tier A, or of
            hand-made masks.
        tier_b: Likewise of tier B. Pseudo-labels of tier C are not used.
        max_drop: After phase b: classification may have become worse than that of `init.weights`
            by this much (accuracy; mean average precision where a picture has several classes).
        min_iou: After phase b: least mean IoU of the masks.
    """

    a: PhaseConfig = field(default_factory=lambda: PhaseConfig(30, 5, 0.0, 1e-3, 0.0, 1.0, 0.0))
    b: PhaseConfig = field(default_factory=lambda: PhaseConfig(25, 5, 1e-5, 1e-4, 1e-4, 0.4, 0.6))
    c: PhaseConfig = field(
        default_factory=lambda: PhaseConfig(15, 3, 1e-6, 0.0, 1e-4, 0.0, 1.0, 0, 2.0, 0.5)
    )
    class_loss: str = "auto"
    confidence: float = 0.6
    tier_a: float = 1.0
    tier_b: float = 0.5
    max_drop: float = 0.005
    min_iou: float = 0.5


@dataclass
class TierConfig:
    """How a backbone of one class of memory is trained (dual-head document, sections 3.2, 14).

    Attributes:
        batch: Pictures at a time.
        decoder_channels: Width of the decoder of masks.
        skip_channels: Width of what joins it from finer maps.
        checkpointing: Compute again what a backward pass needs, instead of keeping it.
    """

    batch: int
    decoder_channels: int
    skip_channels: int
    checkpointing: bool = False


@dataclass
class TiersConfig:
    """What follows from the class of memory of a backbone, where settings do not say it.

    Attributes:
        tier: `auto`, or LIGHT, MEDIUM, HIGH or HEAVY as `faultline profile backbones` measures
            it. `auto` takes the document's for backbones in full size; nano ones are LIGHT, and
            keep the network's own narrow decoder.
        effective_batch: Pictures an optimizer step, whatever fits at a time.
        light: See TierConfig.
        medium: See TierConfig.
        high: See TierConfig.
        heavy: See TierConfig.
    """

    tier: str = "auto"
    effective_batch: int = 32
    light: TierConfig = field(default_factory=lambda: TierConfig(32, 256, 48))
    medium: TierConfig = field(default_factory=lambda: TierConfig(16, 256, 48))
    high: TierConfig = field(default_factory=lambda: TierConfig(8, 192, 32))
    heavy: TierConfig = field(default_factory=lambda: TierConfig(4, 128, 32, True))


@dataclass
class Config:
    """One run.

    Attributes:
        experiment: Folder name under `output_dir`; the model's name by default.
        output_dir: Where run folders go.
        seed: Seed of every random source.
        deterministic: Take kernels that repeat where there are any; the others, all of a GPU, run
            with a warning.
        task: What is learnt: `segmentation`, `classification`, `prompted`, `dual_head`, or `auto`:
            what the model is made for.
        threshold: `auto` (chosen on validation) or a number, then recorded as set by hand.
        data: See DataConfig.
        model: `name` and the settings of that model.
        loss: `name` (or `type`) and the settings of that loss.
        augment: Augmentation name -> its settings, applied in this order; null switches one off.
        optimizer: See OptimizerConfig.
        scheduler: See SchedulerConfig.
        trainer: See TrainerConfig.
        evaluation: See EvaluationConfig.
        prompts: See PromptsConfig.
        init: See InitConfig.
        phases: See PhasesConfig; for the dual-head network only.
        tiers: See TiersConfig; for the dual-head network only.
    """

    experiment: str | None = None
    output_dir: str = "runs"
    seed: int = 0
    deterministic: bool = False
    task: str = "auto"
    threshold: Any = "auto"
    data: DataConfig = field(default_factory=DataConfig)
    model: dict[str, Any] = field(default_factory=lambda: {"name": "scratch_ed_plus"})
    loss: dict[str, Any] = field(default_factory=lambda: {"name": "bce_dice"})
    augment: dict[str, Any] = field(default_factory=dict)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    init: InitConfig = field(default_factory=InitConfig)
    phases: PhasesConfig = field(default_factory=PhasesConfig)
    tiers: TiersConfig = field(default_factory=TiersConfig)


OPEN_SECTIONS = ("model", "loss", "augment", "data.mask_colours", "data.thin")
"""Sections whose keys depend on a name; their registry checks them."""

NESTED_SECTIONS = (
    "phases.a", "phases.b", "phases.c", "tiers.light", "tiers.medium", "tiers.high", "tiers.heavy",
)  # fmt: skip
"""Sections within sections."""
