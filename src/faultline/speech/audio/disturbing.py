"""Noise, reverberation and gain: what a microphone on a site adds to a voice."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve, lfilter

from faultline.speech.audio.resampling import Wave

_QUIET = 1e-5  # RMS of a clip that holds only digital silence


def coloured_noise(count: int, colour: float, rng: np.random.Generator) -> Wave:
    """Noise (S,) of RMS 1: `colour` 0 is white, towards 1 its energy moves to low frequencies.

    First-order autoregression x_t = colour * x_{t-1} + e_t.
    """
    noise = lfilter([1.0], [1.0, -colour], rng.standard_normal(count))
    return np.asarray(noise / max(rms(noise), 1e-12), np.float32)


def add_noise(wave: Wave, snr_db: float, rng: np.random.Generator) -> Wave:
    """`wave` (S,) plus noise of random colour, `snr_db` below it in RMS over the whole clip."""
    noise = coloured_noise(len(wave), rng.uniform(0, 0.95), rng)
    level = max(rms(wave), _QUIET) * 10 ** (-snr_db / 20)
    return wave + np.float32(level) * noise


def reverberate(wave: Wave, seconds: float, share: float, rate: int, rng: np.random.Generator
                ) -> Wave:  # fmt: skip
    """`wave` (S,) in a room: a direct path and an exponential tail of noise (Polack's model).

    Args:
        wave: (S,).
        seconds: Time in which the tail falls by 60 dB.
        share: RMS of the tail relative to the direct path.
        rate: Samples per second.
        rng: Draws the tail.
    """
    count = max(2, int(seconds * rate))
    tail = rng.standard_normal(count) * np.exp(-6.9 * np.arange(count) / count)
    tail *= share / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return np.asarray(fftconvolve(wave, tail)[: len(wave)], np.float32)


def apply_gain(wave: Wave, decibels: float) -> Wave:
    """`wave` (S,) louder by `decibels`, at most to full scale."""
    factor = 10 ** (decibels / 20)
    peak = float(np.abs(wave).max(initial=0.0))
    return wave * np.float32(min(factor, 1.0 / peak) if peak * factor > 1.0 else factor)


def rms(wave: np.ndarray) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0
