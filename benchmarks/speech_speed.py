"""Parallel against autoregressive decoding, and ONNX against torch, on one core.

python benchmarks/speech_speed.py                                  # untrained, 30 tokens, batch 8
python benchmarks/speech_speed.py --weights runs/paraformer/latest --clips prompts/
                                # real-time factor and ONNX too, on the first clips of --split
python benchmarks/speech_speed.py --weights runs/paraformer/latest \\
    --against runs/autoregressive/latest --clips prompts/ --split test
                                # both trained, on the clips whose texts are nearest to 30 tokens
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from faultline.speech.paraformer import Autoregressive, Paraformer
from faultline.speech.paraformer.cif import integrate
from faultline.speech.paraformer.encoder import real_frames
from faultline.speech.paraformer.network import without_specials
from faultline.speech.tokenizer import END_ID

VOCABULARY, MELS, ROUNDS = 32, 80, 15


def median_ms(action):
    """Of CPU time, on one thread: another program on the machine does not count."""
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        action()
        times.append(1e3 * (time.process_time() - started))
    return statistics.median(times[3:])


def prediction_and_decoding(batch, tokens, frames):
    """Times of what lies behind the same encoder; both write exactly `tokens` tokens."""
    torch.manual_seed(0)
    parallel = Paraformer(VOCABULARY, MELS, skip=3).eval()
    causal = Autoregressive(VOCABULARY, MELS, skip=3).eval()
    with torch.no_grad():
        causal.output.bias[END_ID] = -1e4  # an untrained network never ends by itself
    features = torch.randn(batch, 3 * frames, MELS)
    lengths = torch.full((batch,), 3 * frames)
    with torch.inference_mode():
        hidden, mask, _ = parallel.encoder(features, lengths)

        def in_parallel():
            alpha = parallel.predictor(hidden, mask)
            vectors = integrate(alpha, hidden, tokens)
            real = real_frames(torch.full((batch,), tokens), tokens)
            logits = parallel.decoder(vectors, real, hidden, mask)
            return without_specials(logits).softmax(-1).max(-1)

        def one_by_one():
            return causal.write(hidden, mask, torch.full((batch,), tokens - 1))

        assert one_by_one().tokens.shape == (batch, tokens)
        encoding = median_ms(lambda: parallel.encoder(features, lengths))
        return encoding, median_ms(in_parallel), median_ms(one_by_one)


def on_clips(weights, against, manifest, split, batch, tokens):
    """Times behind the encoder on real clips, and the error rates of both on the whole part."""
    from faultline.speech.audio.reading import read_audio
    from faultline.speech.data.manifest import read_manifest
    from faultline.speech.data.samples import pad_features
    from faultline.speech.recogniser import Recogniser

    parallel, causal = Recogniser.load(weights, "cpu"), Recogniser.load(against, "cpu")
    rows = [row for row in read_manifest(manifest).utterances if row.split == split]
    if not rows:
        raise SystemExit(f"{manifest} has no rows whose split is {split!r}")
    near = sorted(rows, key=lambda row: abs(len(row.text) + 1 - tokens))[:batch]
    clips = [parallel.frontend.features(read_audio(r.path, parallel.frontend.sample_rate))
             for r in near]  # fmt: skip
    features, lengths = pad_features(clips)
    with torch.inference_mode():
        hidden, mask, frames = parallel.network.encoder(features, lengths)
        other, other_mask, _ = causal.network.encoder(features, lengths)
        found = parallel.network.answer(hidden, mask, frames)
        written = causal.network.write(other, other_mask, frames)
        encoding = median_ms(lambda: parallel.network.encoder(features, lengths))
        fast = median_ms(lambda: parallel.network.answer(hidden, mask, frames))
        slow = median_ms(lambda: causal.network.write(other, other_mask, frames))
    return {
        "clips": len(clips), "frames": hidden.shape[1],
        "tokens": [found.tokens.shape[1], written.tokens.shape[1]],
        "encoder_ms": round(encoding, 2), "paraformer_ms": round(fast, 2),
        "autoregressive_ms": round(slow, 2), "gain": round(slow / fast, 1),
        "gain_end_to_end": round((encoding + slow) / (encoding + fast), 1),
        "cer": [error_rate(recogniser, rows) for recogniser in (parallel, causal)],
    }  # fmt: skip


def error_rate(recogniser, rows):
    """CER over `rows`."""
    from faultline.speech.metrics import error_rates

    said = recogniser.transcribe_files([row.path for row in rows])
    return round(error_rates([r.text for r in rows], [t.text for t in said]).cer, 4)


def trained(weights, manifest, split):
    """Real-time factor, and the gain of ONNX on the first sixteen clips, in batches of eight."""
    from faultline.speech.data.manifest import read_manifest
    from faultline.speech.export import ExportedRecogniser, export_onnx, open_session
    from faultline.speech.export_check import speeds
    from faultline.speech.recogniser import Recogniser
    from faultline.speech.transcribe import spoken_clips

    recogniser = Recogniser.load(weights, "cpu")
    rate = recogniser.frontend.sample_rate
    rng = torch.Generator().manual_seed(0)
    waves = [0.1 * torch.randn(2 * rate, generator=rng).numpy() for _ in range(30)]
    seconds = median_ms(lambda: recogniser.transcribe_waves(waves)) / 1e3
    found = {"real_time_factor": round(seconds / 60, 5)}
    rows = [row for row in read_manifest(manifest).utterances if row.split == split][:16]
    clips = spoken_clips(recogniser, [row.path for row in rows])
    with tempfile.TemporaryDirectory() as folder:
        for name, int8 in (("onnx", False), ("int8", True)):
            path = Path(folder) / f"{name}.onnx"
            done = export_onnx(recogniser, path, clips, int8)
            module = ExportedRecogniser(recogniser.network, recogniser.frame_seconds)
            alone = speeds(module, open_session(path), clips[:1])
            found[name] = {
                "same": f"{done.agreement.same} of {done.agreement.clips}",
                "eager_ms": round(done.eager_ms, 2), "onnx_ms": round(done.onnx_ms, 2),
                "gain": round(done.eager_ms / done.onnx_ms, 2),
                "gain_of_one_clip": round(alone[0] / alone[1], 2),
                "MiB": round(path.stat().st_size / 2**20, 2),
            }  # fmt: skip
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=30)
    parser.add_argument("--frames", type=int, default=75, help="2.2 s in frames of 30 ms")
    parser.add_argument("--weights", help="a paraformer, for real-time factor and ONNX")
    parser.add_argument("--against", help="an autoregressive recogniser, to compare on --clips")
    parser.add_argument("--clips", help="manifest, or the folder of one")
    parser.add_argument("--split", default="test", help="which rows of --clips")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.against:
        row = on_clips(given.weights, given.against, given.clips, given.split,
                       given.batch, given.tokens)  # fmt: skip
        print(json.dumps(row))
        return
    encoder, parallel, causal = prediction_and_decoding(given.batch, given.tokens, given.frames)
    row = {
        "batch": given.batch, "tokens": given.tokens, "encoder_ms": round(encoder, 2),
        "paraformer_ms": round(parallel, 2), "autoregressive_ms": round(causal, 2),
        "gain": round(causal / parallel, 1),
        "gain_end_to_end": round((encoder + causal) / (encoder + parallel), 1),
    }  # fmt: skip
    print(json.dumps(row))
    if given.weights:
        if not given.clips:
            parser.error("--weights needs --clips, to compare ONNX on speech")
        print(json.dumps(trained(given.weights, given.clips, given.split)))


if __name__ == "__main__":
    main()
