"""Log-mel features against the textbook; statistics; masks; features from outside."""

import numpy as np
import pytest
from speech_samples import say_tones

from faultline.errors import BundleError, DataError
from faultline.speech.config import AugmentConfig, FrontEndConfig
from faultline.speech.data.prepare import settle_front_end
from faultline.speech.frontend import FrontEnd, check_features
from faultline.speech.normalisation import ChannelStatistics
from faultline.speech.spec_augment import spec_augment


def mel(hertz):
    return 1127.0 * np.log(1.0 + hertz / 700.0)


def textbook_fbank(wave, rate, mels, window, hop, low=20.0):
    """Kaldi's fbank, written out: DC removal, pre-emphasis, hamming, power, triangles, log."""
    frames = 1 + (len(wave) - window) // hop
    size = 1 << (window - 1).bit_length()
    angle = 2 * np.pi * np.arange(window) / (window - 1)
    hamming = 0.54 - 0.46 * np.cos(angle)
    edges = np.linspace(mel(low), mel(rate / 2), mels + 2)
    bins = mel(np.arange(size // 2) * rate / size)
    rise = (bins[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins[None]) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0, np.minimum(rise, fall))
    result = []
    for start in range(0, frames * hop, hop):
        frame = wave[start : start + window].astype(np.float64) * 32768
        frame = frame - frame.mean()
        frame = np.concatenate([[frame[0] * (1 - 0.97)], frame[1:] - 0.97 * frame[:-1]])
        power = np.abs(np.fft.rfft(frame * hamming, size))[: size // 2] ** 2
        result.append(np.log(np.maximum(triangles @ power, np.finfo(np.float32).eps)))
    return np.array(result)


@pytest.mark.parametrize(("rate", "mels"), [(8000, 40), (16_000, 80)])
def test_features_are_those_of_the_textbook(rate, mels):
    rng = np.random.default_rng(0)
    wave = (0.1 * rng.standard_normal(rate)).astype(np.float32)
    frontend = FrontEnd(rate, mels)
    found = frontend.features(wave)
    wanted = textbook_fbank(wave, rate, mels, frontend.window, rate // 100)
    assert found.shape == wanted.shape == (frontend.frames(len(wave)), mels)
    assert np.abs(found - wanted).max() < 2e-3


def test_short_clips_are_filled_up_and_silence_is_floored():
    frontend = FrontEnd(8000, 40)
    assert frontend.features(np.ones(10, np.float32)).shape == (1, 40)
    assert np.array_equal(frontend.features(np.zeros(800, np.float32)), np.zeros((8, 40)))
    with pytest.raises(DataError, match="no samples"):
        frontend.features(np.zeros(0, np.float32))


def test_the_front_end_travels_as_plain_values():
    frontend = FrontEnd(8000, 40, 20.0, 5.0)
    assert FrontEnd.from_dict(frontend.to_dict()) == frontend
    with pytest.raises(BundleError, match="front end cannot be used"):
        FrontEnd.from_dict({"mels": 40})


@pytest.mark.parametrize(
    ("rates", "rate", "mels"),
    [([8000, 44_100], 8000, 40), ([44_100], 16_000, 80), ([16_000, 16_000], 16_000, 80)],
)
def test_the_lowest_rate_of_the_recordings_is_taken(rates, rate, mels):
    config = FrontEndConfig()
    settle_front_end(config, rates)
    assert (config.sample_rate, config.mels) == (rate, mels)


def test_statistics_are_those_of_all_frames():
    rng = np.random.default_rng(0)
    parts = [rng.normal(3, 2, (n, 4)).astype(np.float32) for n in (5, 1, 30)]
    statistics = ChannelStatistics()
    for part in parts:
        statistics.add(part)
    mean, std = statistics.mean_and_std()
    joined = np.concatenate(parts)
    assert np.allclose(mean, joined.mean(0), atol=1e-5)
    assert np.allclose(std, joined.std(0), atol=1e-5)


def test_a_channel_that_stands_still_has_a_floor():
    statistics = ChannelStatistics()
    statistics.add(np.full((9, 2), 7.0, np.float32))
    assert statistics.mean_and_std()[1] == [0.1, 0.1]
    with pytest.raises(DataError, match="no frame"):
        ChannelStatistics().mean_and_std()


def test_masks_set_whole_stripes_to_the_mean_and_no_more():
    features = np.arange(50 * 20, dtype=np.float32).reshape(50, 20)
    config = AugmentConfig(time_masks=1, time_width=0.5, mel_masks=1, mel_width=0.5)
    mean = np.full(20, -1.0)
    seen = 0
    for seed in range(20):
        masked = spec_augment(features, mean.tolist(), config, np.random.default_rng(seed))
        changed = masked != features
        assert (masked[changed] == -1).all()
        rows, columns = changed.all(1), changed.all(0)
        assert np.array_equal(changed, rows[:, None] | columns[None])
        assert rows.sum() <= 25
        assert columns.sum() <= 10
        seen += changed.any()
    assert seen > 10


def test_features_from_outside_are_checked():
    good = [[0.0] * 4, [1.0] * 4]
    assert check_features(good, 4).shape == (2, 4)
    for values, message in [
        ([[0.0] * 4, [1.0] * 3], "3 values in row 1, expected 4"),
        ([1.0, 2.0], "a float as row 0, expected"),
        (np.zeros((3, 5)), r"shape \(3, 5\), expected \(frames, 4\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\)"),
        ([[0.0, 0.0, float("nan"), 0.0]], "hold nan in row 0, column 2"),
        ([["a", "b", "c", "d"]], "not a table of numbers: 'a' in row 0, column 0"),
        ([[0.0] * 4, [0.0, 0.0, "1", 0.0]], "not a table of numbers: '1' in row 1, column 2"),
        ([[0.0, True, 0.0, 0.0]], "not a table of numbers: True in row 0, column 1"),
        ([[0.0, None, 0.0, 0.0]], "not a table of numbers: None in row 0, column 1"),
        ([[0, 0, 0, 10**400]], r"hold 10000\d+\.\.\.0+ in row 0, column 3, which is no log-mel"),
        ([[0.0, 1e20, 0.0, 0.0]], r"hold 1e\+20 in row 0, column 1, .*\(-1000 to 1000\)"),
        (np.full((2, 4), 1e20), r"hold 1e\+20 in row 0, column 0, which is no log-mel energy"),
        (np.full((2, 4), 1e300), r"hold 1e\+300 in row 0, column 0"),
        (np.full((2, 4), -np.inf, np.float32), "hold -inf in row 0, column 0"),
        (np.full((2, 4), "1"), "not a table of numbers, but of type <U1"),
        (np.ones((2, 4), bool), "not a table of numbers, but of type bool"),
        ("hello", "not a table of numbers"),
    ]:
        with pytest.raises(DataError, match=message):
            check_features(values, 4)


def test_a_thousand_threads_worth_of_calls_agree():
    """The extractor keeps state, so each call makes its own."""
    from concurrent.futures import ThreadPoolExecutor

    frontend, waves = FrontEnd(8000, 20), [say_tones("abc", seed=n) for n in range(16)]
    alone = [frontend.features(wave) for wave in waves]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(frontend.features, waves))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
