"""Scores a recogniser on recordings that it has not seen."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from faultline.artifacts import provenance
from faultline.artifacts.run import CONFIG_NAME, home_of
from faultline.artifacts.unseen import check_unseen
from faultline.errors import ConfigError
from faultline.files import write_json, write_text
from faultline.speech.config import SpeechConfig
from faultline.speech.data.manifest import SPEECH, Utterance, fingerprint, read_manifest
from faultline.speech.data.prepare import TOY
from faultline.speech.data.samples import Sample, collate
from faultline.speech.data.splits import take
from faultline.speech.data.spoken import WaveStore, WholeUtterances
from faultline.speech.data.toy import ToySet, ToyTask
from faultline.speech.metrics import error_rates
from faultline.speech.paraformer import Paraformer
from faultline.speech.paraformer.phrase_choice import MARGIN
from faultline.speech.phrases import left_out_line
from faultline.speech.recogniser import Recogniser
from faultline.speech.settings import load_speech_config
from faultline.speech.tokenizer import normalise_text
from faultline.speech.transcript import Transcript

SCHEMA = 1
_BATCH = 16
_TOY_TEST = 2


@dataclass(frozen=True)
class SpeechEvaluation:
    """Where results lie, and what they are."""

    folder: Path
    results: dict[str, Any]

    def summary(self) -> list[str]:
        """A few lines for a person."""
        all_of_it = self.results["metrics"]
        lines = [
            f"{all_of_it['clips']} clips: CER {all_of_it['cer']:.4f}  WER {all_of_it['wer']:.4f}  "
            f"exact match {all_of_it['exact_match']:.4f}",
            f"substitutions {all_of_it['substitutions']}, deletions {all_of_it['deletions']}, "
            f"insertions {all_of_it['insertions']} of {all_of_it['characters']} characters",
        ]
        if all_of_it["silent_clips"]:
            lines.append(f"silent clips without any text: {all_of_it['silent_right']} of "
                         f"{all_of_it['silent_clips']}")  # fmt: skip
        if "cer_true_length" in self.results:
            lines.append(f"told the number of tokens: CER {self.results['cer_true_length']:.4f}")
        if told := self.results["phrases"]:
            other = f"{told['taken_for_a_phrase']} of {told['clips_of_other_texts']} clips"
            lines.append(f"told {told['expected']} phrases; {other} of other texts taken for one")
        speed = self.results["real_time_factor"]
        lines.append(f"real-time factor {speed:.4f}" if speed is not None else "")
        return [*filter(None, lines), f"results {self.folder / 'results.json'}"]


@dataclass(frozen=True)
class _Scored:
    """Clips with their texts, names and groups."""

    names: list[str]
    texts: list[str]
    speakers: list[str]
    transcripts: list[Transcript]
    samples: Sequence[Sample]
    fingerprint: str
    seconds: float


def evaluate_speech(
    weights: str | Path,
    words: Sequence[str] = (),
    *,
    save: str | Path | None = None,
    phrases: Sequence[str] = (),
    device: str = "auto",
    say: Callable[[str], None] = print,
) -> SpeechEvaluation:
    """Score the recogniser at `weights` on test recordings; write results and transcripts.

    Args:
        weights: Bundle or run folder.
        words: Settings that differ from those of the run, such as `data=other/` or
            `data.test=speaker:theo`. Of another manifest, `data.test=column` takes the rows whose
            split is `test`, or all if it has no splits; that is the rule if none is given.
        save: Output folder; `evaluation` beside the weights by default, `evaluation-phrases` with
            phrases.
        phrases: What is expected to be said; the results tell that the recogniser was told.
        device: `auto`, `cpu` or `cuda`.
        say: Takes lines of text.

    Raises:
        BundleError: The weights hold no recogniser.
        ConfigError: No test recordings are named, or the network takes no phrases.
        LeakageError: The recogniser was trained or chosen on one of them.
    """
    recogniser = Recogniser.load(weights, device)
    config = _config(weights, words)
    if phrases and (left := recogniser.expect(phrases)):
        say(left_out_line(left))
    name = "evaluation-phrases" if phrases else "evaluation"
    folder = Path(save) if save is not None else home_of(weights) / name
    if config.data.manifest == TOY:
        scored = _score_toy(recogniser, config)
    else:
        scored = _score_recordings(recogniser, config, say)
    results = _results(recogniser, config, scored)
    write_json(folder / "results.json", results)
    write_text(folder / "transcripts.csv", _table(scored))
    return SpeechEvaluation(folder, results)


def _config(weights: str | Path, words: Sequence[str]) -> SpeechConfig:
    file = home_of(weights) / CONFIG_NAME
    named = {word.partition("=")[0] for word in words}
    if named & {"data", "data.manifest"} and "data.test" not in named:
        words = [*words, "data.test=column"]  # the rule of the run is about its own manifest
    config = load_speech_config(words, file=file if file.is_file() else None)
    if not config.data.manifest:
        raise ConfigError("no recordings to score", remedy="give data=MANIFEST")
    return config


def _score_toy(recogniser: Recogniser, config: SpeechConfig) -> _Scored:
    data = config.data
    task = ToyTask(data.toy_tokens, data.toy_length, data.toy_noise, seed=config.seed)
    items = ToySet(task, _TOY_TEST, max(1, data.toy_count // 4)).samples
    started = time.perf_counter()
    answers = recogniser.transcribe_features([item.features for item in items])
    return _Scored(
        [item.id for item in items], [item.text for item in items], [""] * len(items), answers,
        items, f"toy-{task}", time.perf_counter() - started,
    )  # fmt: skip


def _score_recordings(
    recogniser: Recogniser, config: SpeechConfig, say: Callable[[str], None]
) -> _Scored:
    items = _test_items(config)
    check_unseen(recogniser.bundle, items, what="recordings")
    unknown = sorted({c for item in items for c in recogniser.tokenizer.unknown(item.text)})
    if unknown:
        say(f"characters that this recogniser cannot write: {' '.join(unknown)}")
    started = time.perf_counter()
    answers = recogniser.transcribe_files([item.path for item in items])
    seconds = time.perf_counter() - started
    store = WaveStore(recogniser.frontend.sample_rate)
    whole = WholeUtterances(items, store, recogniser.frontend, recogniser.tokenizer)
    spoken = [whole[i] for i, item in enumerate(items) if item.kind == SPEECH]
    return _Scored(
        [item.id for item in items], [item.text for item in items],
        [item.speaker for item in items], answers, spoken, fingerprint(items), seconds,
    )  # fmt: skip


def _test_items(config: SpeechConfig) -> list[Utterance]:
    manifest = read_manifest(str(config.data.manifest))
    rule = config.data.test
    if rule == "column" and not any(u.split for u in manifest.utterances):
        return list(manifest.utterances)
    chosen = take(manifest.utterances, rule, "test", np.random.default_rng(config.seed))
    if not chosen:
        raise ConfigError(f"data.test={rule} names no recording", where=manifest.source)
    return [u for u in manifest.utterances if u in chosen]


def _results(recogniser: Recogniser, config: SpeechConfig, scored: _Scored) -> dict[str, Any]:
    texts = [answer.text for answer in scored.transcripts]
    sound = sum(answer.duration for answer in scored.transcripts)
    bundle = recogniser.bundle
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "metrics": error_rates(scored.texts, texts).to_dict(),
        "by_speaker": _by_speaker(scored, texts),
        "phrases": _phrases(recogniser, scored) if recogniser.phrases else None,
        "data": {"manifest": config.data.manifest, "test": config.data.test,
                 "fingerprint": scored.fingerprint},
        "bundle": {"file": str(bundle.source), "fingerprint": bundle.fingerprint,
                   "model": bundle.model_name, "settings": bundle.model_settings},
        "seconds": round(scored.seconds, 3),
        "audio_seconds": round(sound, 3),
        "real_time_factor": scored.seconds / sound if sound else None,
        "leakage": {"checked": bool(bundle.seen), "overlap": 0 if bundle.seen else None},
        "provenance": provenance.collect(device=recogniser.device),
    }  # fmt: skip
    if isinstance(recogniser.network, Paraformer) and scored.samples:
        results["cer_true_length"] = _with_true_length(recogniser, scored.samples)
    return results


def _phrases(recogniser: Recogniser, scored: _Scored) -> dict[str, Any]:
    """What was expected, and how the clips fared that said something else."""
    expected = set(recogniser.phrases)
    other = [
        (text, answer.text)
        for text, answer in zip(scored.texts, scored.transcripts, strict=True)
        if normalise_text(text) not in expected
    ]
    return {
        "expected": len(expected),
        "margin": MARGIN,
        "clips_of_other_texts": len(other),
        "taken_for_a_phrase": sum(answer in expected for _, answer in other),
    }


def _by_speaker(scored: _Scored, texts: Sequence[str]) -> dict[str, Any]:
    names = sorted(set(scored.speakers))
    if names in ([], [""]):
        return {}
    rows = list(zip(scored.speakers, scored.texts, texts, strict=True))
    return {
        name: error_rates([t for s, t, _ in rows if s == name],
                          [h for s, _, h in rows if s == name]).to_dict()
        for name in names
    }  # fmt: skip


@torch.inference_mode()
def _with_true_length(recogniser: Recogniser, samples: Sequence[Sample]) -> float:
    """CER where CIF is told the number of tokens: what is left is the decoder's share."""
    network, found = recogniser.network, []
    for first in range(0, len(samples), _BATCH):
        batch = collate(samples[first : first + _BATCH]).to(recogniser.device)
        outputs = network.outputs(batch.features, batch.lengths, batch.tokens, batch.token_lengths)
        assert outputs.first_pass is not None
        assert outputs.target_lengths is not None
        for row, length in zip(outputs.first_pass.tolist(), outputs.target_lengths.tolist(),
                               strict=True):  # fmt: skip
            found.append(recogniser.tokenizer.decode(row[:length]).strip())
    return error_rates([sample.text for sample in samples], found).cer


def _table(scored: _Scored) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["clip", "speaker", "said", "recognised", "right", "confidence", "seconds"])
    for name, speaker, text, answer in zip(
        scored.names, scored.speakers, scored.texts, scored.transcripts, strict=True
    ):
        row = [name, speaker, text, answer.text, int(text == answer.text),
               f"{answer.confidence:.4f}", f"{answer.duration:.3f}"]  # fmt: skip
        writer.writerow(row)
    return stream.getvalue()
