"""Tones that stand for letters: recordings for tests that need sound and no real voice."""

import json

import numpy as np
import soundfile

RATE = 8000
TONES = {"a": 400.0, "b": 900.0, "c": 2000.0, " ": 0.0}
SMALL = (
    "model.dim=32", "model.encoder_depth=1", "model.decoder_depth=1", "model.heads=2",
    "data.batch_size=8", "frontend.mels=20", "trainer.tensorboard=false",
    "scheduler.warmup_steps=5",
)  # fmt: skip


def say_tones(text, rate=RATE, seconds=0.12, seed=0):
    """A wave of one tone a letter, with a little noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    swell = np.sin(np.pi * time / seconds)
    pieces = [0.3 * swell * np.sin(2 * np.pi * TONES[letter] * time) for letter in text]
    wave = np.concatenate([np.zeros(rate // 50), *pieces, np.zeros(rate // 50)])
    return (wave + 1e-3 * rng.standard_normal(len(wave))).astype(np.float32)


def write_tones(folder, count=24, seed=0, first=0):
    """`count` recordings of 1 to 3 letters with a manifest of train and test rows.

    Sets with another `first` have no recording in common.
    """
    rng = np.random.default_rng(seed)
    (folder / "wav").mkdir(parents=True)
    rows = []
    for number in range(count):
        text = "".join(rng.choice(["a", "b", "c"], int(rng.integers(1, 4))))
        name = f"wav/{text}_{'xy'[number % 2]}_{number}.wav"
        wave = say_tones(text, seed=first + number)
        soundfile.write(folder / name, wave, RATE, subtype="PCM_16")
        rows.append({"audio": name, "text": text, "speaker": "xy"[number % 2],
                     "duration": len(wave) / RATE,
                     "split": "test" if number % 4 == 3 else "train"})  # fmt: skip
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
