"""What the training of a recogniser provides; the rest is shared with every other training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader

from faultline.config.paths import make_absolute
from faultline.speech.averaging import AverageOfBest
from faultline.speech.bundle import SPEECH_TASK, label_space_of
from faultline.speech.config import SpeechConfig
from faultline.speech.data.lengths import LengthSampler
from faultline.speech.data.prepare import TOY, PreparedSpeech, prepare_speech
from faultline.speech.data.samples import collate
from faultline.speech.network_settings import check_network
from faultline.speech.scoring import ErrorRateScorer
from faultline.speech.settings import load_speech_config, to_yaml
from faultline.speech.task import SpeechTask
from faultline.training.kinds import TrainingKind, shown
from faultline.training.resume import ResumableLoader
from faultline.training.selection import SelectBest


@final
class SpeechKind(TrainingKind[PreparedSpeech]):
    """From recordings and texts to a network that writes."""

    name = SPEECH_TASK

    def prepare(self, config: Any) -> PreparedSpeech:
        """Read recordings, make the vocabulary, check that every text fits its frames."""
        # Before recordings are read, which may take minutes.
        check_network(config)
        return prepare_speech(config)

    def task(self, config: Any, prepared: PreparedSpeech) -> SpeechTask:
        """The module to train."""
        return SpeechTask(config, prepared)

    def training_loader(self, config: Any, prepared: PreparedSpeech) -> ResumableLoader:
        """Augmented utterances, in batches of similar length that depend on seed and epoch."""
        count = len(prepared.training_set)
        size = min(config.data.batch_size, count)
        return ResumableLoader(
            prepared.training_set,  # type: ignore[arg-type]
            batch_size=size,
            sampler=LengthSampler(count, config.seed, size, prepared.training_set.size),
            collate_fn=collate,
            num_workers=config.data.num_workers,
            drop_last=count > size,
            persistent_workers=config.data.num_workers > 0,
            # Loaders draw a number each epoch; not from the state that dropout uses.
            generator=torch.Generator().manual_seed(config.seed),
        )

    def validation_loader(self, config: Any, prepared: PreparedSpeech) -> DataLoader[Any]:
        """Whole utterances as they are."""
        return DataLoader(
            prepared.validation_set,  # type: ignore[arg-type]
            batch_size=config.data.batch_size,
            collate_fn=collate,
            generator=torch.Generator().manual_seed(config.seed),
        )

    def scorer(self, config: Any, prepared: PreparedSpeech, precision: str) -> ErrorRateScorer:
        """Counts wrong characters."""
        return ErrorRateScorer(prepared.tokenizer)

    def guards(
        self,
        config: Any,
        prepared: PreparedSpeech,
        selection: SelectBest,
        say: Callable[[str], None],
    ) -> list[pl.Callback]:
        """The mean of the best epochs at the end."""
        scorer = selection.scorer
        assert isinstance(scorer, ErrorRateScorer)
        loader = self.validation_loader(config, prepared)
        return [AverageOfBest(selection, scorer, loader, config.average, say)]

    def describe(self, config: Any, prepared: PreparedSpeech, task: Any) -> dict[str, Any]:
        """Vocabulary, front end, and the longest clip that training has shown."""
        extra = {
            "tokens": list(prepared.tokenizer.tokens),
            "frontend": prepared.frontend.to_dict(),
            "skip": config.frontend.skip,
            "longest": round(prepared.longest, 2),
        }
        return {"label_space": label_space_of(prepared.tokenizer), "extra": extra}

    def results(self, config: Any, prepared: PreparedSpeech, task: Any) -> dict[str, Any]:
        """Plain values of the loss, and what the data was."""
        return {
            "loss": asdict(config.loss),
            "vocabulary": len(prepared.tokenizer),
            "frontend": asdict(config.frontend),
            "left_out": len(prepared.problems),
        }

    def line(self, row: dict[str, Any]) -> str:
        """Error rates and the parts of the loss."""
        logged = [name for name in ("ctc", "ce", "quantity") if f"train/{name}" in row]
        parts = " ".join(f"{name} {shown(row, f'train/{name}')}" for name in logged)
        return (
            f"({parts})  CER {shown(row, 'val/cer')}  exact {shown(row, 'val/exact_match')}  "
            f"tokens {shown(row, 'val/token_accuracy')}"
        )

    def verdict(self, best: dict[str, Any]) -> str:
        """Best error rate."""
        note = f" ({best['note']})" if best.get("note") else ""
        return (
            f"best validation CER {best['cer']:.4f}, exact match {best['exact_match']:.3f}, "
            f"epoch {best['epoch']}{note}"
        )

    def read_config(self, path: Path) -> SpeechConfig:
        """The configuration of a run that goes on."""
        return load_speech_config(file=path)

    def settle_paths(self, config: Any) -> None:
        """Absolute paths; the toy task is none, whatever lies in a folder of its name."""
        is_toy = config.data.manifest == TOY
        make_absolute(config)
        if is_toy:
            config.data.manifest = TOY

    def write_config(self, config: Any) -> str:
        """The run's `config.yaml`."""
        return to_yaml(config)
