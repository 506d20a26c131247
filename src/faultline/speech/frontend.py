"""The front end: samples to log-mel frames, compatible with Kaldi's `compute-fbank-feats`."""

from __future__ import annotations

import reprlib
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faultline.errors import BundleError, DataError
from faultline.extras import import_extra
from faultline.speech.audio.resampling import Wave
from faultline.speech.config import FrontEndConfig

Features = NDArray[np.float32]
_FULL_SCALE = 32768.0  # Kaldi's samples are 16-bit integers
_FLOOR = 0.0
_LOW_HERTZ = 20.0
_LARGEST = 1000.0  # log energies are far below, natural ones as well as decibels


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """Log-mel filter banks (M channels) of hamming windows, without dither.

    Attributes:
        sample_rate: Hertz of the samples that it takes.
        mels: M.
        window_ms: Length of a window.
        hop_ms: Step from window to window.
    """

    sample_rate: int
    mels: int
    window_ms: float = 25.0
    hop_ms: float = 10.0

    @classmethod
    def from_config(cls, config: FrontEndConfig) -> FrontEnd:
        """The front end that a training's settings describe."""
        return cls(config.sample_rate, config.mels, config.window_ms, config.hop_ms)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FrontEnd:
        """Inverse of `to_dict`.

        Raises:
            BundleError: A value is missing.
        """
        try:
            return cls(int(values["sample_rate"]), int(values["mels"]),
                       float(values["window_ms"]), float(values["hop_ms"]))  # fmt: skip
        except (LookupError, TypeError, ValueError) as error:
            raise BundleError(f"its front end cannot be used: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @property
    def window(self) -> int:
        """Samples a window."""
        return round(self.sample_rate * self.window_ms / 1000)

    def frames(self, samples: int) -> int:
        """Number of frames T that so many samples give; at least one."""
        hop = round(self.sample_rate * self.hop_ms / 1000)
        return 1 + max(0, samples - self.window) // hop

    def centres(self) -> NDArray[np.float64]:
        """(M,) hertz of the middles of the channels, even in mel(f) = 1127 ln(1 + f / 700)."""
        low, high = (1127 * np.log1p(f / 700) for f in (_LOW_HERTZ, self.sample_rate / 2))
        mels = low + (high - low) * np.arange(1, self.mels + 1) / (self.mels + 1)
        return np.asarray(700 * np.expm1(mels / 1127), np.float64)

    def features(self, wave: Wave) -> Features:
        """Samples (S,) of size 1 at full scale -> log-mel energies (T, M).

        Clips shorter than a window are filled up with zeros. Energies are floored at that of
        less than the rounding of 16-bit samples, so that digital silence is no outlier.

        Raises:
            DataError: There are no samples.
            MissingExtraError: The extra `speech` is not installed.
        """
        if not len(wave):
            raise DataError("holds no samples")
        fbank = self._extractor()
        if len(wave) < self.window:
            wave = np.pad(wave, (0, self.window - len(wave)))
        fbank.accept_waveform(self.sample_rate, np.asarray(wave * _FULL_SCALE, np.float32).tolist())
        fbank.input_finished()
        frames = [fbank.get_frame(number) for number in range(fbank.num_frames_ready)]
        return np.maximum(np.asarray(frames, np.float32), np.float32(_FLOOR))

    def _extractor(self) -> Any:
        """A new one each time: it keeps state, so threads may not share it."""
        knf = import_extra("kaldi_native_fbank", "speech")
        options = knf.FbankOptions()
        options.frame_opts.dither = 0.0
        options.frame_opts.samp_freq = float(self.sample_rate)
        options.frame_opts.window_type = "hamming"
        options.frame_opts.frame_length_ms = self.window_ms
        options.frame_opts.frame_shift_ms = self.hop_ms
        options.frame_opts.snip_edges = True
        options.mel_opts.num_bins = self.mels
        options.mel_opts.low_freq = _LOW_HERTZ
        options.mel_opts.high_freq = 0.0  # the Nyquist frequency
        return knf.OnlineFbank(options)


def check_features(values: Any, mels: int) -> Features:
    """Features from outside (JSON, `.npy`) as float32 (T, M).

    Raises:
        DataError: They are not a table of `mels` numbers per row of a size that log energies can
            have; the message says where.
    """
    if isinstance(values, (list, tuple)):
        _check_rows(values, mels)
    try:
        features = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise DataError(f"features are not a table of numbers: {error}") from error
    if features.dtype.kind not in "fiu":
        raise DataError(f"features are not a table of numbers, but of type {features.dtype}")
    if features.ndim != 2 or features.shape[1] != mels or features.shape[0] < 1:
        raise DataError(
            f"features have shape {features.shape}, expected (frames, {mels}) with 1 frame or more"
        )
    possible = (features >= -_LARGEST) & (features <= _LARGEST)
    if not possible.all():
        row, column = np.argwhere(~possible)[0]
        raise _impossible(features[row, column], int(row), int(column))
    return np.asarray(features, np.float32)


def _check_rows(rows: list[Any] | tuple[Any, ...], mels: int) -> None:
    for number, row in enumerate(rows):
        if not isinstance(row, (list, tuple)):
            raise DataError(
                f"features have a {type(row).__name__} as row {number}, "
                f"expected (frames, {mels}): a list of rows of {mels} numbers"
            )
        if len(row) != mels:
            raise DataError(f"features have {len(row)} values in row {number}, expected {mels}")
        for column, value in enumerate(row):
            if not _is_number(value):
                raise DataError(
                    f"features are not a table of numbers: "
                    f"{reprlib.repr(value)} in row {number}, column {column}"
                )
            # Before NumPy sees it: an integer of many digits fits into none of its types.
            if not -_LARGEST <= value <= _LARGEST:
                raise _impossible(value, number, column)


def _is_number(value: Any) -> bool:
    """Whether it is one as it stands: NumPy would take the text "1", and true, for numbers."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _impossible(value: Any, row: int, column: int) -> DataError:
    shown = reprlib.repr(value) if isinstance(value, int) else f"{value:.4g}"
    return DataError(
        f"features hold {shown} in row {row}, column {column}, "
        f"which is no log-mel energy ({-_LARGEST:g} to {_LARGEST:g})"
    )
