"""The parts of `docs/contracts.md` that tell of recognisers, made from the code as the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from faultline.evaluation.contract_page import (
    own_entries,
    records_tables,
    settings_text,
    stages_table,
)
from faultline.models import count_parameters
from faultline.models.stages import Stage, run_stages
from faultline.registry import Entry
from faultline.speech.data.samples import Sample, SpeechBatch
from faultline.speech.network_settings import FOLLOWING
from faultline.speech.paraformer import (
    RECOGNISERS,
    Recognised,
    RecogniserNetwork,
    TrainingOutputs,
    create_recogniser,
)
from faultline.speech.transcript import TokenSpan, Transcript

WINDOWS, MELS, TOKENS, VOCABULARY = 300, 80, 30, 32
RECORDS: tuple[type, ...] = (
    Sample, SpeechBatch, TrainingOutputs, Recognised, Transcript, TokenSpan
)  # fmt: skip
_FIRST_LETTER = 4
_OF_DATA = (*FOLLOWING, "tokens_per_frame")
"""Settings that follow from data and front end."""


def recognisers_part() -> str:
    """A section for each recogniser: settings, parameters, and the shapes of every stage."""
    return "\n\n".join(recogniser_section(entry) for entry in own_entries(RECOGNISERS))


def recogniser_section(entry: Entry[nn.Module]) -> str:
    """Heading, summary, settings, size and stages of a recogniser with its default settings."""
    network, stages = _measured(entry.name)
    return (
        f"### {entry.name}\n\n{entry.summary}\n\n"
        f"Settings: {settings_text(entry, without=_OF_DATA)}.\n\n"
        f"For {WINDOWS} windows of {MELS} channels, a text of {TOKENS} characters and a vocabulary "
        f"of {VOCABULARY}; {count_parameters(network):,} parameters.\n\n" + stages_table(stages)
    )


def _measured(name: str) -> tuple[RecogniserNetwork, list[Stage]]:
    """The stages of a training step: with a text its shapes follow from what is given."""
    # Drawn weights, which what others draw must not depend on.
    with torch.random.fork_rng(devices=[]):
        network = create_recogniser(name, vocabulary=VOCABULARY, mels=MELS).train()
        given = (
            torch.zeros(1, WINDOWS, MELS),
            torch.tensor([WINDOWS]),
            torch.full((1, TOKENS), _FIRST_LETTER),
            torch.tensor([TOKENS]),
        )
        return network, run_stages(network, *given, method=network.outputs)


PARTS: Mapping[str, Callable[[], str]] = {
    "speech records": lambda: records_tables(RECORDS),
    "recognisers": recognisers_part,
}
