"""Scores a recogniser on recordings that it has not seen."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from faultline.artifacts import provenance
from faultline.artifacts.run import home_of
from faultline.artifacts.unseen import check_unseen
from faultline.data.manifest import Problem
from faultline.errors import DataError
from faultline.files import write_json, write_text
from faultline.speech.config import SpeechConfig
from faultline.speech.data.manifest import SPEECH, fingerprint
from faultline.speech.data.prepare import SampleSet
from faultline.speech.data.samples import collate
from faultline.speech.data.spoken import WaveStore, WholeUtterances
from faultline.speech.data.toy import ToySet, ToyTask
from faultline.speech.metrics import error_rates
from faultline.speech.paraformer import Paraformer
from faultline.speech.paraformer.phrase_choice import MARGIN
from faultline.speech.phrases import left_out_line
from faultline.speech.recogniser import Recogniser
from faultline.speech.scored_recordings import NamedTest, named_test, readable_utterances
from faultline.speech.tokenizer import normalise_text
from faultline.speech.transcribe import FEATURES, transcribe_paths
from faultline.speech.transcript import Transcript

SCHEMA = 1
_BATCH = 16
_TOY_TEST = 2
_SHOWN = 5


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
            lines.append(f"told the number of tokens: CER {self.results['cer_true_length']:.4f} "
                         f"({self.results['true_length_clips']} clips)")  # fmt: skip
        if left := len(self.results["left_out"]):
            lines.append(f"left out {left}: see left_out in the results")
        if told := self.results["phrases"]:
            other = f"{told['taken_for_a_phrase']} of {told['clips_of_other_texts']} clips"
            lines.append(f"told {told['expected']} phrases; {other} of other texts taken for one")
        speed = self.results["real_time_factor"]
        lines.append(f"real-time factor {speed:.4f}" if speed is not None else "")
        return [*filter(None, lines), f"results {self.folder / 'results.json'}"]


@dataclass(frozen=True)
class _Scored:
    """Clips with their texts, names and groups.

    `samples` are those that CIF can be told the number of tokens of.
    """

    names: list[str]
    texts: list[str]
    speakers: list[str]
    transcripts: list[Transcript]
    samples: SampleSet
    fingerprint: str
    seconds: float
    left_out: tuple[Problem, ...] = ()


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

    Recordings that cannot be read are said and listed in the results, and the rest goes on.

    Args:
        weights: Bundle or run folder.
        words: Settings that differ from those of the run, such as `data=other/` or
            `data.test=speaker:theo`. Of another manifest, `data.test=column` takes the rows whose
            split is `test`, or all if it has no splits; that is the rule if none is given.
        save: Output folder; by default `evaluation` in the run for what it set aside itself, and
            `evaluation-NAME` for other recordings; with phrases, `-phrases` behind that.
        phrases: What is expected to be said; the results tell that the recogniser was told.
        device: `auto`, `cpu` or `cuda`.
        say: Takes lines of text.

    Raises:
        BundleError: The weights hold no recogniser.
        ConfigError: No test recordings are named, or the network takes no phrases.
        DataError: There is no manifest, or none of the recordings can be read.
        LeakageError: The recogniser was trained or chosen on one of them.
    """
    recogniser = Recogniser.load(weights, device)
    test = named_test(weights, words)
    if phrases and (left := recogniser.expect(phrases)):
        say(left_out_line(left))
    name = test.folder_name(told=bool(phrases))
    folder = Path(save) if save is not None else home_of(weights) / name
    if test.root is None:
        scored = _score_toy(recogniser, test.config)
    else:
        scored = _score_recordings(recogniser, test, say)
    results = _results(recogniser, test, scored)
    write_json(folder / "results.json", results)
    write_text(folder / "transcripts.csv", _table(scored))
    return SpeechEvaluation(folder, results)


def _score_toy(recogniser: Recogniser, config: SpeechConfig) -> _Scored:
    data = config.data
    task = ToyTask(data.toy_tokens, data.toy_length, data.toy_noise, seed=config.seed)
    items = ToySet(task, _TOY_TEST, max(1, data.toy_count // 4)).samples
    started = time.perf_counter()
    answers = recogniser.transcribe_features([item.features for item in items], whole=True)
    return _Scored(
        [item.id for item in items], [item.text for item in items], [""] * len(items), answers,
        items, f"toy-{task}", time.perf_counter() - started,
    )  # fmt: skip


def _score_recordings(
    recogniser: Recogniser, test: NamedTest, say: Callable[[str], None]
) -> _Scored:
    items, problems = readable_utterances(test)
    check_unseen(recogniser.bundle, items, what="recordings")
    unknown = sorted({c for item in items for c in recogniser.tokenizer.unknown(item.text)})
    if unknown:
        say(f"characters that this recogniser cannot write: {' '.join(unknown)}")
    started = time.perf_counter()
    written = transcribe_paths(recogniser, [item.path for item in items])
    seconds = time.perf_counter() - started
    pairs = list(zip(items, written, strict=True))
    problems += [Problem(item.id, answer.error) for item, answer in pairs if answer.error]
    _say_left_out(problems, say)
    heard = [(item, found) for item, answer in pairs if (found := answer.transcript) is not None]
    if not heard:
        raise DataError(f"none of its recordings can be read: {problems[0]}", where=test.root)
    frontend, tokenizer = recogniser.frontend, recogniser.tokenizer
    whole = [item for item, answer in heard if item.kind == SPEECH
             and answer.duration <= recogniser.longest
             and item.path.suffix.lower() != FEATURES]  # fmt: skip
    # Nothing is kept in memory: each clip is decoded when its batch comes.
    samples = WholeUtterances(whole, WaveStore(frontend.sample_rate, 0.0), frontend, tokenizer)
    items = [item for item, _ in heard]
    return _Scored(
        [item.id for item in items], [item.text for item in items],
        [item.speaker for item in items], [answer for _, answer in heard], samples,
        fingerprint(items), seconds, tuple(problems),
    )  # fmt: skip


def _say_left_out(problems: Sequence[Problem], say: Callable[[str], None]) -> None:
    for problem in problems[:_SHOWN]:
        say(f"left out {problem}")
    if len(problems) > _SHOWN:
        say(f"left out {len(problems) - _SHOWN} more, listed in the results")


def _results(recogniser: Recogniser, test: NamedTest, scored: _Scored) -> dict[str, Any]:
    texts = [answer.text for answer in scored.transcripts]
    sound = sum(answer.duration for answer in scored.transcripts)
    bundle = recogniser.bundle
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "metrics": error_rates(scored.texts, texts).to_dict(),
        "by_speaker": _by_speaker(scored, texts),
        "phrases": _phrases(recogniser, scored) if recogniser.phrases else None,
        "data": {"name": test.name, "root": None if test.root is None else str(test.root),
                 "manifest": test.config.data.manifest, "test": test.config.data.test,
                 "fingerprint": scored.fingerprint},
        "left_out": [asdict(problem) for problem in scored.left_out],
        "bundle": {"file": str(bundle.source), "fingerprint": bundle.fingerprint,
                   "model": bundle.model_name, "settings": bundle.model_settings},
        "seconds": round(scored.seconds, 3),
        "audio_seconds": round(sound, 3),
        "real_time_factor": scored.seconds / sound if sound else None,
        "leakage": {"checked": bool(bundle.seen), "overlap": 0 if bundle.seen else None},
        "provenance": provenance.collect(device=recogniser.device),
    }  # fmt: skip
    if isinstance(recogniser.network, Paraformer) and len(scored.samples):
        results["cer_true_length"] = _with_true_length(recogniser, scored.samples)
        results["true_length_clips"] = len(scored.samples)
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
def _with_true_length(recogniser: Recogniser, samples: SampleSet) -> float:
    """CER where CIF is told the number of tokens: what is left is the decoder's share."""
    network, found, said = recogniser.network, [], list[str]()
    for first in range(0, len(samples), _BATCH):
        numbers = range(first, min(first + _BATCH, len(samples)))
        batch = collate([samples[number] for number in numbers]).to(recogniser.device)
        said += batch.texts
        outputs = network.outputs(batch.features, batch.lengths, batch.tokens, batch.token_lengths)
        assert outputs.first_pass is not None
        assert outputs.target_lengths is not None
        for row, length in zip(outputs.first_pass.tolist(), outputs.target_lengths.tolist(),
                               strict=True):  # fmt: skip
            found.append(recogniser.tokenizer.decode(row[:length]).strip())
    return error_rates(said, found).cer


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
