"""Sound files of every kind, good and bad; resampling; cutting at silence."""

import io
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile
from speech_samples import say_tones

from faultline.errors import DataError
from faultline.speech.audio.disturbing import (
    add_noise,
    apply_gain,
    coloured_noise,
    reverberate,
    rms,
)
from faultline.speech.audio.reading import audio_info, read_audio, stream_audio
from faultline.speech.audio.resampling import change_speed, resample, resample_stream
from faultline.speech.audio.segments import cut_at_silence, cut_features, is_silent


def sine(hertz, rate, seconds):
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate).astype(np.float32)


@pytest.mark.parametrize(
    ("rate", "subtype", "suffix", "channels"),
    [(96_000, "PCM_24", "wav", 2), (44_100, "FLOAT", "wav", 1), (48_000, "PCM_16", "flac", 2),
     (8_000, "PCM_U8", "wav", 1), (11_025, "PCM_32", "wav", 3), (22_050, "DOUBLE", "wav", 1)],
)  # fmt: skip
def test_any_rate_width_and_channels_give_the_same_tone(tmp_path, rate, subtype, suffix, channels):
    path = tmp_path / f"tone.{suffix}"
    wave = 0.5 * sine(440, rate, 0.7)
    soundfile.write(path, np.repeat(wave[:, None], channels, 1), rate, subtype=subtype)
    found = read_audio(path, 16_000)
    assert found.dtype == np.float32
    assert abs(len(found) - 11_200) <= 1
    inner = slice(800, -800)
    tolerance = 0.02 if subtype == "PCM_U8" else 2e-3
    assert (
        np.abs(found[inner] - (0.5 * sine(440, 16_000, 0.7))[: len(found)][inner]).max() < tolerance
    )
    assert audio_info(path).rate == rate


def test_channels_are_averaged(tmp_path):
    path = tmp_path / "stereo.wav"
    left, right = np.full(900, 0.5, np.float32), np.full(900, -0.1, np.float32)
    soundfile.write(path, np.stack([left, right], 1), 8000, subtype="FLOAT")
    assert np.allclose(read_audio(path, 8000), 0.2)


@pytest.mark.parametrize(("rate", "target"), [(44_100, 16_000), (8_000, 16_000), (48_000, 8_000)])
def test_a_stream_is_resampled_as_the_whole(rate, target):
    rng = np.random.default_rng(0)
    wave = rng.standard_normal(rate * 3 + 123).astype(np.float32)
    blocks = np.split(wave, [1000, 1001, rate, rate * 2 + 7])
    streamed = np.concatenate(list(resample_stream(blocks, rate, target)))
    whole = resample(wave, rate, target)
    assert len(streamed) == len(whole)
    assert np.abs(streamed - whole).max() < 1e-5


def test_speed_changes_length_and_pitch():
    wave = sine(400, 8000, 1.0)
    fast = change_speed(wave, 1.1)
    assert len(fast) == pytest.approx(8000 / 1.1, abs=1)
    spectrum = np.abs(np.fft.rfft(fast * np.hanning(len(fast))))
    assert spectrum.argmax() * 8000 / len(fast) == pytest.approx(440, abs=2)


def wav_bytes(samples, promised, data=None):
    data = np.zeros(samples, "<i2").tobytes() if data is None else data
    whole = min(36 + promised, 0xFFFFFFFF)
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", whole, b"WAVE", b"fmt ", 16, 1, 1,
                       8000, 16000, 2, 16)  # fmt: skip
    return head + struct.pack("<4sI", b"data", promised) + data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello, this is a letter" * 9, "cannot be read as sound -> give one of wav"),
        (wav_bytes(0, 0), "holds no samples"),
        (
            wav_bytes(800, 160_000),
            "promises 160,000 bytes of sound, the file holds 1,600",
        ),
        (wav_bytes(8000, 100), "promises 100 bytes of sound, but 15,900 more follow"),
        (wav_bytes(0, 0, b"LIST\x04\0\0\0INFO"), "holds no samples"),
    ],
)
def test_files_that_are_no_sound_or_lie_about_it(tmp_path, content, message):
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_audio(path, 8000)
    assert str(path) in str(caught.value)


def encoded(form, endian="FILE", samples=8000):
    """A tone as the bytes of a file of this format, 16 bits a sample."""
    stream = io.BytesIO()
    wave = 0.3 * sine(300, 8000, samples / 8000)
    soundfile.write(stream, wave, 8000, format=form, endian=endian, subtype="PCM_16")
    return stream.getvalue()


FORMATS = [("WAV", "LITTLE"), ("WAV", "BIG"), ("RF64", "FILE"), ("AIFF", "FILE"),
           ("AIFF", "LITTLE"), ("AU", "BIG"), ("AU", "LITTLE")]  # fmt: skip


@pytest.mark.parametrize(("form", "endian"), FORMATS)
def test_a_cut_file_of_any_format_is_no_whole_one(tmp_path, form, endian):
    whole = encoded(form, endian)
    path = tmp_path / "cut.sound"
    path.write_bytes(whole)
    assert len(read_audio(path, 8000)) == 8000
    path.write_bytes(whole[:-6000])
    with pytest.raises(DataError, match="promises 16,000 bytes of sound, the file holds 10,000"):
        read_audio(path, 8000)


def with_length(content, form, endian, value):
    """The bytes of a file with another length of the sound in its header."""
    order = "<" if endian == "LITTLE" and form != "AIFF" else ">"
    place, pack = {
        "WAV": (content.find(b"data") + 4, f"{order}I"),
        "RF64": (content.find(b"ds64") + 16, "<Q"),
        "AIFF": (content.find(b"SSND") + 4, f"{order}I"),
        "AU": (8, f"{order}I"),
    }[form]
    size = struct.calcsize(pack)
    every_bit = 2 ** (8 * size) - 1
    written = struct.pack(pack, every_bit if value is None else value)
    return content[:place] + written + content[place + size :]


@pytest.mark.parametrize(("form", "endian"), FORMATS)
@pytest.mark.parametrize(
    "value",
    [0, None, 0x7FFFF000, 0x7FFFEFF4, 0x7FFFFFFF, 0x80000000],
    ids=["zero", "every bit", "sox", "sox, five channels", "31 bits", "arecord"],
)
def test_a_header_written_into_a_pipe_is_believed(tmp_path, form, endian, value):
    content = encoded(form, endian)
    path = tmp_path / "piped.sound"
    path.write_bytes(with_length(content, form, endian, value))
    found = read_audio(path, 8000)
    assert np.abs(found - 0.3 * sine(300, 8000, 1.0)).max() < 1e-4
    assert audio_info(path).seconds == 1.0
    assert path.read_bytes()[-100:] == content[-100:], "the file is left as it is"


@pytest.mark.parametrize(("form", "endian"), FORMATS)
def test_sound_that_a_header_leaves_out_is_found(tmp_path, form, endian):
    path = tmp_path / "short.sound"
    counted = 1000 + 8 * (form == "AIFF")
    path.write_bytes(with_length(encoded(form, endian), form, endian, counted))
    with pytest.raises(DataError, match="promises 1,000 bytes of sound, but 15,000 more follow"):
        read_audio(path, 8000)


def test_samples_that_are_no_numbers_are_refused(tmp_path):
    path = tmp_path / "nan.wav"
    wave = np.zeros(1000, np.float32)
    wave[[3, 5]] = np.nan, np.inf
    soundfile.write(path, wave, 8000, subtype="FLOAT")
    with pytest.raises(DataError, match="2 of its samples are not finite numbers"):
        read_audio(path, 8000)


@pytest.mark.parametrize(("size", "shown"), [(1e37, "1e+37"), (32_767.0, "3.277e+04")])
def test_samples_of_an_impossible_size_are_refused(tmp_path, size, shown):
    path = tmp_path / "loud.wav"
    soundfile.write(path, size * sine(400, 8000, 0.5), 8000, subtype="FLOAT")
    with pytest.raises(DataError) as caught:
        read_audio(path, 8000)
    assert str(caught.value) == (
        f"{path}: its samples reach {shown}, where full scale is 1 -> export it again as 16-bit PCM"
    )
    soundfile.write(path, 3 * sine(400, 8000, 0.5), 8000, subtype="FLOAT")
    assert read_audio(path, 8000).max() == pytest.approx(3, rel=1e-3)


def test_missing_files_folders_and_long_ones_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_audio(tmp_path / "none.wav", 8000)
    with pytest.raises(DataError, match="is a folder"):
        read_audio(tmp_path, 8000)
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(16_000), 8000)
    with pytest.raises(DataError, match=r"lasts 2\.0 s, more than 1 s"):
        read_audio(path, 8000, max_seconds=1)


def test_a_short_recording_stays_whole():
    (segment,) = cut_at_silence([sine(300, 8000, 1.0)], 8000, 4.0)
    assert (segment.start, len(segment.wave), segment.silent) == (0.0, 8000, False)


def test_long_sound_is_cut_where_it_is_quiet():
    pause = np.zeros(4000, np.float32)
    wave = np.concatenate([sine(300, 8000, 3), pause, sine(300, 8000, 2.6), pause,
                           sine(300, 8000, 2)])  # fmt: skip
    segments = list(cut_at_silence(np.array_split(wave, 7), 8000, 4.0))
    assert np.array_equal(np.concatenate([s.wave for s in segments]), wave)
    cuts = [s.start for s in segments[1:]]
    assert len(cuts) == 2
    assert 3.0 < cuts[0] < 3.5
    assert 6.1 < cuts[1] < 6.6
    assert all(len(s.wave) <= 4.0 * 8000 for s in segments)


def test_long_features_are_cut_where_they_are_quiet():
    features = np.full((1000, 4), 9.0, np.float32)
    features[300:320] = features[640:660] = 1.0
    pieces = list(cut_features(features, 10.0, 400))
    assert np.array_equal(np.concatenate([part for _, part in pieces]), features)
    starts = [start for start, _ in pieces]
    assert starts[0] == 0
    assert 300 < starts[1] < 320
    assert 640 < starts[2] < 660
    assert all(len(part) <= 400 for _, part in pieces)
    assert {start % 7 for start, _ in cut_features(features, 10.0, 400, step=7)} == {0}
    ((_, whole),) = cut_features(features, 10.0, 1000)
    assert len(whole) == 1000


def test_hours_of_silence_take_little_memory():
    blocks = (np.zeros(80_000, np.float32) for _ in range(1080))  # three hours at 8 kHz
    tracemalloc.start()
    count = silent = 0
    for segment in cut_at_silence(blocks, 8000, 20.0):
        count, silent = count + 1, silent + segment.silent
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == silent
    assert count < 1200
    assert peak < 30e6


def test_silence_is_told_from_sound_whatever_its_offset():
    assert is_silent(np.full(8000, 0.3, np.float32), 8000)
    assert is_silent(np.zeros(0, np.float32), 8000)
    assert not is_silent(0.01 * sine(300, 8000, 0.1), 8000)


def test_a_file_is_streamed_in_blocks(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, 0.1 * sine(200, 8000, 25), 8000)
    blocks = list(stream_audio(path, 8000))
    assert len(blocks) == 3
    assert sum(map(len, blocks)) == 200_000


def test_noise_has_the_ratio_and_gain_the_level_asked_for():
    rng = np.random.default_rng(0)
    wave = say_tones("abcabc")
    noisy = add_noise(wave, 10, rng)
    assert 20 * np.log10(rms(wave) / rms(noisy - wave)) == pytest.approx(10, abs=0.01)
    assert rms(coloured_noise(5000, 0.9, rng)) == pytest.approx(1, rel=1e-6)
    assert np.abs(apply_gain(wave, 60)).max() == pytest.approx(1, rel=1e-5)
    assert rms(apply_gain(wave, -6)) == pytest.approx(rms(wave) * 10**-0.3, rel=1e-5)


def test_a_room_adds_a_tail_behind_the_sound():
    click = np.zeros(8000, np.float32)
    click[1000] = 1.0
    echo = reverberate(click, 0.3, 0.5, 8000, np.random.default_rng(0))
    assert echo[1000] == pytest.approx(1.0, abs=1e-5)
    assert np.abs(echo[:1000]).max() < 1e-5
    assert rms(echo[1001:1400]) > 3 * rms(echo[2400:2800])
