"""The HTTP service: a real server on this machine, asked over a socket."""

import contextlib
import http.client
import io
import json
import socket
import threading
import time

import numpy as np
import pytest
import soundfile
from speech_samples import RATE, say_tones

from faultline.speech.recogniser import Recogniser

pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("python_multipart")


@pytest.fixture(scope="module")
def recogniser(tone_run):
    return Recogniser.load(tone_run)


@pytest.fixture(scope="module")
def port(recogniser):
    """A running service that takes 1 MiB and 20 seconds at most."""
    from faultline.speech.service import Limits, create_app

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    config = uvicorn.Config(create_app(recogniser, Limits(1.0, 20.0)), port=number,
                            log_level="error", lifespan="off", ws="none")  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield number
    server.should_exit = True
    thread.join(10)


def ask(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def ask_features(port, values):
    return ask(port, "POST", "/features", json.dumps(values), {"content-type": "application/json"})


def form(data, name="file"):
    edge = "----edge"
    head = (f"--{edge}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.wav\"\r\n"
            "Content-Type: audio/wav\r\n\r\n").encode()  # fmt: skip
    body = head + data + f"\r\n--{edge}--\r\n".encode()
    return body, {"content-type": f"multipart/form-data; boundary={edge}"}


def upload(port, wave, rate=RATE, name="file"):
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format="WAV")
    return ask(port, "POST", "/transcribe", *form(buffer.getvalue(), name))


def test_it_says_what_it_serves(port):
    status, answer = ask(port, "GET", "/health")
    assert (status, answer["status"], answer["model"]) == (200, "ok", "paraformer")
    assert answer["features"] == {"mels": 20, "hop_ms": 10.0}


def test_sound_and_its_features_give_the_same_text(port, recogniser):
    wave = say_tones("abc")
    status, heard = upload(port, wave)
    assert status == 200
    features = recogniser.frontend.features(wave)
    status, read = ask_features(port, {"features": features.tolist()})
    assert status == 200
    assert read["text"] == heard["text"]
    assert set(heard) == {"text", "confidence", "duration", "tokens"}
    assert len(heard["tokens"]) == len(heard["text"])


@pytest.mark.parametrize("count", [160, 16_000])
def test_silence_is_no_error(port, count):
    status, answer = upload(port, np.zeros(count))
    assert (status, answer["text"], answer["tokens"]) == (200, "", [])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"features": [[0.0] * 20, [0.0] * 19]}, "19 values in row 1, expected 20"),
        ({"features": [[0.0] * 7]}, "7 values in row 0, expected 20"),
        ({"features": []}, "expected (frames, 20)"),
        ({"features": [[[0.0] * 20]]}, "1 values in row 0, expected 20"),
        ({"wave": [0.0]}, "has no `features`; one feature object per request"),
        ([{"features": []}, {"features": []}], "one feature object per request"),
        ({"features": [["x"] * 20]}, "not a table of numbers: 'x' in row 0, column 0"),
        ({"features": [[0.0] * 19 + ["1"]]}, "not a table of numbers: '1' in row 0, column 19"),
        ({"features": [[0.0] * 19 + [True]]}, "not a table of numbers: True in row 0, column 19"),
        ({"features": [[0.0] * 19 + [7 * 10**399]]}, "0 in row 0, column 19, which is no log-mel"),
        ({"features": [[0.0] * 19 + [1e20]]}, "hold 1e+20 in row 0, column 19"),
        ({"features": None}, "not a table of numbers"),
    ],
)
def test_features_of_a_wrong_shape_are_told_so(port, values, message):
    status, answer = ask_features(port, values)
    assert status == 422
    assert message in answer["error"]


def test_bodies_that_are_no_json_and_no_sound_are_told_so(port):
    status, answer = ask(port, "POST", "/features", b"{broken")
    assert (status, "no JSON" in answer["error"]) == (422, True)
    status, answer = ask(port, "POST", "/features", b'{"features":' + b"[" * 200_000)
    assert (status, "nested too deeply; one feature" in answer["error"]) == (422, True)
    status, answer = ask(port, "POST", "/transcribe", *form(b"no sound at all" * 20))
    assert (status, answer["error"][:31]) == (422, "the file: cannot be read as sou")
    assert "/tmp" not in answer["error"]
    status, answer = upload(port, say_tones("a"), name="audio")
    assert (status, "field `file`" in answer["error"]) == (422, True)
    status, answer = ask(port, "POST", "/transcribe", b"RIFF", {"content-type": "audio/wav"})
    assert (status, "form field" in answer["error"]) == (422, True)


def test_a_gigabyte_is_refused_before_it_is_sent(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest("POST", "/transcribe")
    connection.putheader("content-type", "multipart/form-data; boundary=x")
    connection.putheader("content-length", str(2**30))
    connection.endheaders()
    start = time.monotonic()
    answer = connection.getresponse()
    assert answer.status == 413
    assert "larger than 1 MiB" in json.loads(answer.read())["error"]
    assert time.monotonic() - start < 5
    connection.close()


def test_a_body_without_a_length_is_counted(port):
    def blocks():
        for _ in range(40):
            yield b"x" * 65_536

    status, answer = ask(port, "POST", "/features", blocks())
    assert status == 413
    assert "larger than 1 MiB" in answer["error"]


def test_an_endless_body_is_cut_off(port):
    def send(sender, seconds):
        sender.sendall(b"POST /features HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sender.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")

    with socket.create_connection(("127.0.0.1", port), timeout=20) as sender:
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            send(sender, 15)
        assert sender.recv(12) == b"HTTP/1.1 413"


def test_long_sound_and_long_features_are_refused(port):
    status, answer = upload(port, np.zeros(RATE * 21))
    assert (status, answer["error"]) == (413, "lasts 21.0 s, more than 20 s are not taken")
    status, answer = ask_features(port, {"features": [[0] * 20] * 2100})
    assert status == 413


def test_many_askers_get_their_own_answers(port, recogniser):
    from concurrent.futures import ThreadPoolExecutor

    waves = [say_tones(text, seed=n) for n, text in enumerate(["abc", "a", "cb", "bb"] * 2)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda wave: upload(port, wave), waves))
    for wave, (status, answer) in zip(waves, answers, strict=True):
        assert status == 200
        rounded = np.round(wave * 32768).clip(-32768, 32767) / 32768
        alone = recogniser.transcribe_waves([rounded.astype(np.float32)])[0]
        assert answer["text"] == alone.text
