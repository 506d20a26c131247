"""Other throats and microphones: a tone moves where it should, and curves are what they say."""

import numpy as np
import pytest

from faultline.speech.config import AugmentConfig
from faultline.speech.frontend import FrontEnd
from faultline.speech.other_voices import another_voice, microphone, warp_frequencies

FRONTEND = FrontEnd(sample_rate=16000, mels=80)


def tone(hertz, seconds=0.3):
    time = np.arange(int(seconds * FRONTEND.sample_rate)) / FRONTEND.sample_rate
    return FRONTEND.features((0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32))


def loudest(features):
    return FRONTEND.centres()[features.mean(0).argmax()]


@pytest.mark.parametrize("hertz", [300, 1000, 3000, 6000])
def test_centres_are_where_tones_are_loudest(hertz):
    centres = FRONTEND.centres()
    width = np.diff(centres)[np.abs(centres[:-1] - hertz).argmin()]
    assert abs(loudest(tone(hertz)) - hertz) <= width


@pytest.mark.parametrize("hertz", [400, 1000, 3000])
@pytest.mark.parametrize("factor", [0.85, 1.0, 1.2])
def test_a_tone_comes_to_lie_at_its_frequency_times_the_factor(hertz, factor):
    moved = loudest(warp_frequencies(tone(hertz), factor, FRONTEND.centres()))
    width = np.diff(FRONTEND.centres())[np.abs(FRONTEND.centres()[:-1] - hertz * factor).argmin()]
    assert abs(moved - loudest(tone(hertz * factor))) <= 1.01 * width


def test_a_factor_of_one_changes_nothing():
    features = tone(700)
    np.testing.assert_allclose(
        warp_frequencies(features, 1.0, FRONTEND.centres()), features, atol=1e-5
    )


def test_the_curve_of_a_microphone_is_smooth_and_of_the_size_that_it_should_be():
    rng = np.random.default_rng(0)
    curves = np.stack([microphone(80, 6.0, rng) for _ in range(3000)])
    np.testing.assert_allclose(curves.mean(1), 0, atol=1e-5)
    assert curves.std() * 10 / np.log(10) == pytest.approx(6.0, rel=0.03)
    assert np.abs(np.diff(curves, axis=1)).max() < 0.15 * np.abs(curves).max()


def test_switched_off_it_changes_nothing_and_draws_nothing():
    rng, untouched = np.random.default_rng(3), np.random.default_rng(3)
    features = tone(700)
    off = AugmentConfig(warp=0.0, microphone_db=0.0)
    assert another_voice(features, FRONTEND, off, rng) is features
    assert rng.random() == untouched.random()


def test_each_draw_is_another_voice_of_finite_numbers():
    rng = np.random.default_rng(0)
    config = AugmentConfig(warp=0.2, microphone_db=6.0)
    one, two = (another_voice(tone(700), FRONTEND, config, rng) for _ in range(2))
    assert one.dtype == np.float32
    assert one.shape == two.shape == tone(700).shape
    assert np.isfinite(one).all()
    assert not np.allclose(one, two)
