"""The real command: a process on a free port, asked over a socket, ended by a signal."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest
from tiny_classification import run

from faultline.http.server import is_loopback


@contextlib.contextmanager
def serving(weights, *words):
    """A running `faultline serve`: (process, port, its lines)."""
    command = [sys.executable, "-m", "faultline", "serve", "--weights", str(weights), "--port", "0",
               "--device", "cpu", *words]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    # A service that never starts must not hang the tests.
    watch = threading.Timer(120, process.kill)
    watch.start()
    try:
        lines, port = [], None
        for line in process.stdout:
            lines.append(line)
            if found := re.match(r"listening on http://127\.0\.0\.1:(\d+)/", line):
                port = int(found[1])
                break
        assert port, "".join(lines)
        yield process, port, lines
    finally:
        watch.cancel()
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def form(data):
    head = (b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
            b"Content-Type: image/png\r\n\r\n")  # fmt: skip
    return head + data + b"\r\n--edge--\r\n", {"content-type": "multipart/form-data; boundary=edge"}


def ask(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.fixture(scope="module")
def trained(line_data, tmp_path_factory):
    """A run that another process can load: its network is one of the package."""
    out = tmp_path_factory.mktemp("runs")
    assert run("train", f"data={line_data}", f"output_dir={out}", "model=scratch_ed",
               "model.base_channels=4", "data.crop=32", "data.batch_size=4",
               "trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.precision=fp32",
               "trainer.tensorboard=false", "trainer.guard_epochs=0") == 0  # fmt: skip
    return out / "scratch_ed" / "latest"


def test_it_answers_and_ends_cleanly(trained, line_data):
    picture = sorted((line_data / "test").glob("*.[pj][np]g"))[0].read_bytes()
    with serving(trained, "--max-mb", "1") as (process, port, lines):
        assert "scratch_ed (segmentation): POST /segment\n" in lines
        status, body = ask(port, "GET", "/health")
        assert (status, json.loads(body)["task"]) == (200, "segmentation")
        status, body = ask(port, "POST", "/segment", *form(picture))
        assert (status, json.loads(body)["classes"][0]["name"] != "") == (200, True)
        status, body = ask(port, "POST", "/segment?format=png", *form(picture))
        assert (status, body[:4]) == (200, b"\x89PNG")
        status, body = ask(port, "POST", "/segment", *form(picture[: len(picture) // 2]))
        assert (status, "truncated" in json.loads(body)["error"]) == (400, True)
        status, _ = ask(port, "POST", "/segment", b"x" * 2**21)
        assert status == 413
        # Someone who hangs up while sending costs nothing.
        with socket.create_connection(("127.0.0.1", port)) as gone:
            gone.sendall(
                b"POST /segment HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n"
                b"content-type: multipart/form-data; boundary=edge\r\n\r\n--edge"
            )
        assert ask(port, "GET", "/health")[0] == 200
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(60) == 0
        assert rest.endswith("stopped\n")
        assert "Traceback" not in rest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--thresholds", "x.json"], "are for the gate"),
        (["--mm-per-px", "0"], "mm_per_px is 0"),
        (["--max-mb", "0"], "mebibytes is 0"),
        (["--host", "203.0.113.1"], "cannot listen there"),
        (["--port", "99999"], "--port 99999 -> give a number from 0 to 65535"),
        (["--base", "x"], "answer no prompts"),
    ],
)
def test_what_cannot_be_served(words, message, bundles, capsys):
    assert run("serve", "--weights", bundles["binary"], "--device", "cpu", *words) != 0
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_port_that_is_taken(bundles, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run("serve", "--weights", bundles["binary"], "--port", port) == 2
    assert f"127.0.0.1 port {port}: cannot listen there" in capsys.readouterr().err


def test_what_only_this_machine_reaches():
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("inspector.example")
