"""What cannot be used is told so in one sentence; what is too much is refused; nothing hangs."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import numpy as np
import pytest
from fastapi import Request
from PIL import Image
from starlette.exceptions import HTTPException

from faultline.errors import ConfigError
from faultline.http import upload
from faultline.serving.options import Limits


def post(client, data, path="/segment"):
    return client.post(path, files={"file": ("a.png", data)})


def eps():
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "EPS")
    return stream.getvalue()


def floats():
    stream = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.float32)).save(stream, "TIFF")
    return stream.getvalue()


def test_bad_pictures(client, cracked, png):
    service = client("binary")
    whole, jpeg = png(cracked), png(cracked, "JPEG")
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    cases = [
        (b"", 400, "the picture: the file is empty"),
        (b"no picture at all", 415, "the picture: not a picture"),
        (b"%PDF-1.4 and so on", 415, "not a picture"),
        (eps(), 415, "EPS is not taken"),
        (floats(), 415, "no known value range"),
        (whole[: len(whole) // 2], 400, "truncated"),
        (whole[:20], 400, "truncated"),
        (jpeg[: len(jpeg) // 2], 400, "truncated"),
        (bytes(damaged), 400, "cannot be decoded"),
    ]
    for data, status, message in cases:
        answer = post(service, data)
        assert (answer.status_code, list(answer.json())) == (status, ["error"]), message
        assert message in answer.json()["error"].replace("Truncated", "truncated")
        assert "Traceback" not in answer.text
        assert "\n" not in answer.json()["error"]
    assert post(service, whole).status_code == 200


def test_forms_that_are_none(client, cracked, png):
    service = client("binary")
    raw = service.post("/segment", content=png(cracked), headers={"content-type": "image/png"})
    assert (raw.status_code, "form field `file`" in raw.json()["error"]) == (415, True)
    other = service.post("/segment", files={"picture": ("a.png", png(cracked))})
    assert (other.status_code, "field `file`" in other.json()["error"]) == (422, True)
    text = service.post("/segment", files={"x": ("", b"")}, data={"file": "text"})
    assert text.status_code == 422
    broken = service.post("/segment", content=b"--x\r\nnothing",
                          headers={"content-type": "multipart/form-data; boundary=y"})  # fmt: skip
    assert broken.status_code in (400, 422)
    assert list(broken.json()) == ["error"]
    assert service.get("/segment").status_code == 405
    assert service.get("/docs").status_code == 404


def test_too_large(client, cracked, png):
    service = client("binary", limits=Limits(mebibytes=0.0625, megapixels=0.002))
    answer = post(service, png(cracked))
    assert answer.status_code == 413
    assert "60x40" in answer.json()["error"]
    assert post(service, png(cracked[:20])).status_code == 200
    answer = post(service, b"x" * 100_000)
    assert (answer.status_code, answer.json()["error"]) == (
        413, "the request is larger than 0.0625 MiB"
    )  # fmt: skip


@pytest.mark.parametrize("limit", [{"mebibytes": 0}, {"megapixels": -1.0}, {"waiting": -1}])
def test_limits_that_are_none(limit):
    with pytest.raises(ConfigError):
        Limits(**limit)


def test_an_error_of_ours_is_not_shown(client, cracked, png, monkeypatch):
    from faultline.predict.predictor import Predictor

    def fail(self, image):
        raise ValueError("a secret path")

    monkeypatch.setattr(Predictor, "predict", fail)
    answer = post(client("binary"), png(cracked))
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "log" in answer.json()["error"]


def test_memory_that_runs_out_is_told(client, cracked, png, monkeypatch):
    from faultline.predict.predictor import Predictor

    def fail(self, image):
        raise MemoryError

    service = client("binary")
    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "predict", fail)
        answer = post(service, png(cracked))
    assert (answer.status_code, "60x40" in answer.json()["error"]) == (413, True)
    assert post(service, png(cracked)).status_code == 200


def test_one_at_a_time_and_a_queue_that_ends(client, cracked, png, monkeypatch):
    from faultline.predict.predictor import Predictor

    go, running, most = threading.Event(), [0], [0]
    real = Predictor.predict

    def slow(self, image):
        running[0] += 1
        most[0] = max(most[0], running[0])
        assert go.wait(30)
        time.sleep(0.05)
        running[0] -= 1
        return real(self, image)

    monkeypatch.setattr(Predictor, "predict", slow)
    data = png(cracked)
    with client("binary", limits=Limits(waiting=2)) as service, ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(post, service, data) for _ in range(6)]
        deadline = time.monotonic() + 30
        while sum(one.done() for one in asked) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert service.get("/health").status_code == 200  # while one is answered
        go.set()
        answers = [one.result(30) for one in asked]
    assert sorted(one.status_code for one in answers) == [200, 200, 200, 503, 503, 503]
    refused = next(one for one in answers if one.status_code == 503)
    assert refused.headers["retry-after"] == "2"
    assert "try again" in refused.json()["error"]
    assert most[0] == 1


def test_the_page_needs_nothing_from_elsewhere(client):
    answer = client("binary").get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for sign in ("http://", "https://", "//cdn", '<link rel="stylesheet', "<script src"):
        assert sign not in answer.text
    for word in ("/health", "served.endpoints", "overlay", "measurements"):
        assert word in answer.text


@pytest.mark.parametrize("kind", [b"multipart/form-data; boundary=x", b"image/png"])
def test_a_sender_that_is_too_slow(kind, monkeypatch):
    async def never():
        await anyio.sleep(30)

    monkeypatch.setattr(upload, "SECONDS", 0.05)
    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind)]}
    with pytest.raises(HTTPException) as refused:
        anyio.run(upload.read_form, Request(scope, never), "picture")
    assert refused.value.status_code == 408
