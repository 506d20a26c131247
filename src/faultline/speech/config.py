"""Every setting of a recogniser's training, typed and documented."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from faultline.config.schema import (
    EvaluationConfig,
    OptimizerConfig,
    SchedulerConfig,
    TrainerConfig,
)


@dataclass
class SpeechDataConfig:
    """Where the recordings are, who tests and validates, and how they are fed.

    Attributes:
        manifest: JSONL or CSV, or a folder that holds `manifest.jsonl`; `toy` makes features
            with known tokens instead, without audio.
        test: Which rows test: see `faultline.speech.data.splits` (`column`, `index:0-4`,
            `speaker:theo`, `fraction:0.1`, `none`).
        valid: Which of the other rows validate, likewise.
        more: Manifests of further recordings, which only train: their rows whose split is `train`
            or empty. Drawn voices beside few real ones, for example.
        batch_size: Utterances per step.
        max_seconds: Longer recordings are left out of training and listed.
        speeds: Factors of the speed perturbation.
        join: Share of the training samples that are several utterances in a row.
        join_count: Utterances in a row at most.
        silence: Share of the training samples that are silence or noise without any text.
        noise: Share of the training samples that get noise at 10 to 30 dB.
        gain_db: Training samples are made louder or quieter by up to this.
        num_workers: Loader processes.
        toy_count: Training items of the toy task; a quarter of it validates, another tests.
        toy_tokens: Different characters of the toy task.
        toy_length: Characters of a toy item at most.
        toy_noise: Standard deviation of the noise on toy features, which are of size 1.
    """

    manifest: str | None = None
    test: str = "column"
    valid: str = "fraction:0.1"
    more: list[str] = field(default_factory=list)
    batch_size: int = 32
    max_seconds: float = 20.0
    speeds: list[float] = field(default_factory=lambda: [0.9, 1.0, 1.1])
    join: float = 0.3
    join_count: int = 3
    silence: float = 0.08
    noise: float = 0.3
    gain_db: float = 6.0
    num_workers: int = 0
    toy_count: int = 2000
    toy_tokens: int = 12
    toy_length: int = 10
    toy_noise: float = 0.3


@dataclass
class FrontEndConfig:
    """From samples to the frames that a network sees.

    Attributes:
        sample_rate: Hertz; recordings of other rates are resampled. 0 takes the lowest rate
            among the training recordings, and 16000 at most.
        mels: Mel channels M; 0 takes 40 up to 8 kHz and 80 above.
        window_ms: Length of a window.
        hop_ms: Step from window to window.
        stack: Windows that are joined to one frame.
        skip: Windows from one frame to the next: the frame rate is 1 / (hop_ms * skip).
    """

    sample_rate: int = 0
    mels: int = 0
    window_ms: float = 25.0
    hop_ms: float = 10.0
    stack: int = 4
    skip: int = 2


@dataclass
class AugmentConfig:
    """Other voices, and SpecAugment (Park et al. 2019), on the log-mel frames of training clips.

    Attributes:
        warp: Frequencies are moved up or down by up to this share (vocal tract length).
        microphone_db: Standard deviation of a smooth random gain over the channels, in decibels.
        time_masks: Stripes of time that are blanked.
        time_width: Length of a stripe at most, as a share of the utterance.
        mel_masks: Stripes of mel channels that are blanked.
        mel_width: Width of a stripe at most, as a share of the channels.
    """

    warp: float = 0.0
    microphone_db: float = 0.0
    time_masks: int = 2
    time_width: float = 0.08
    mel_masks: int = 2
    mel_width: float = 0.2


@dataclass
class SpeechLossConfig:
    """Loss = ctc * CTC + (1 - ctc) * CE + quantity * |L - sum(alpha)|.

    Attributes:
        ctc: Weight of the CTC head.
        quantity: Weight of the number of tokens.
        smoothing: Label smoothing of the cross-entropy.
    """

    ctc: float = 0.3
    quantity: float = 1.0
    smoothing: float = 0.1


def _trainer() -> TrainerConfig:
    """fp32 by default: these networks are small, and casts cost more than they gain."""
    return TrainerConfig(precision="fp32", gradient_clip=5.0, guard_epochs=0)


@dataclass
class SpeechConfig:
    """One training of a recogniser.

    Attributes:
        experiment: Folder name under `output_dir`; the model's name by default.
        output_dir: Where run folders go.
        seed: Seed of every random source.
        deterministic: Take kernels that repeat where there are any; the others, all of a GPU, run
            with a warning.
        task: Always `speech`.
        average: The best so many validated epochs are averaged at the end, where that is better.
        data: See SpeechDataConfig.
        frontend: See FrontEndConfig.
        augment: See AugmentConfig.
        model: `name` (`paraformer`, `autoregressive` or `ctc`) and the settings of that network.
        loss: See SpeechLossConfig.
        optimizer: As for pictures.
        scheduler: As for pictures.
        trainer: As for pictures, but fp32 by default; -1 epochs means 80 where no limit is set.
        evaluation: As for pictures; format and resolution of plots.
    """

    experiment: str | None = None
    output_dir: str = "runs"
    seed: int = 0
    deterministic: bool = False
    task: str = "speech"
    average: int = 5
    data: SpeechDataConfig = field(default_factory=SpeechDataConfig)
    frontend: FrontEndConfig = field(default_factory=FrontEndConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: dict[str, Any] = field(default_factory=lambda: {"name": "paraformer"})
    loss: SpeechLossConfig = field(default_factory=SpeechLossConfig)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(lr=1e-3))
    scheduler: SchedulerConfig = field(
        default_factory=lambda: SchedulerConfig(warmup_steps=200, min_factor=0.02)
    )
    trainer: TrainerConfig = field(default_factory=_trainer)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
