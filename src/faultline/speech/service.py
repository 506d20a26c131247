"""The recogniser over HTTP: features as JSON, or a sound file, in; text out."""

from __future__ import annotations

import json
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from faultline import __version__
from faultline.errors import DataError
from faultline.http.body_limit import BodyLimit
from faultline.http.refusals import answer_failures
from faultline.http.upload import read_form
from faultline.speech.audio.reading import audio_info
from faultline.speech.frontend import check_features
from faultline.speech.recogniser import Recogniser
from faultline.speech.transcript import Transcript

_ONE = 'one feature object per request: {"features": [[...], ...]}'


@dataclass(frozen=True)
class Limits:
    """What a request may ask for.

    Attributes:
        mebibytes: Size of a request's body.
        seconds: Duration of the sound.
    """

    mebibytes: float = 20.0
    seconds: float = 120.0


def create_app(recogniser: Recogniser, limits: Limits | None = None) -> FastAPI:
    """The service. It keeps nothing of what it is sent.

    `POST /features` takes `{"features": [[M numbers], ...]}`, `POST /transcribe` a form with a
    sound file as `file`, and `GET /health` says what is served.
    """
    limits = limits or Limits()
    app = FastAPI(title="Faultline speech", version=__version__)
    app.add_middleware(BodyLimit, limit=int(limits.mebibytes * 2**20))
    answering = _Answering(recogniser, limits)

    async def health() -> dict[str, Any]:
        return answering.health()

    async def features(request: Request) -> dict[str, Any]:
        values = _parsed(await request.body())
        return (await run_in_threadpool(answering.features, values)).to_dict()

    async def transcribe(request: Request) -> dict[str, Any]:
        data = (await read_form(request, "sound file")).data
        return (await run_in_threadpool(answering.recording, data)).to_dict()

    app.add_api_route("/health", health, methods=["GET"], response_model=None)
    app.add_api_route("/features", features, methods=["POST"], response_model=None)
    app.add_api_route("/transcribe", transcribe, methods=["POST"], response_model=None)
    answer_failures(app)
    return app


class _Answering:
    """One answer at a time: threads of several requests would only take each other's cores."""

    def __init__(self, recogniser: Recogniser, limits: Limits) -> None:
        self.recogniser, self.limits = recogniser, limits
        self._lock = threading.Lock()

    def health(self) -> dict[str, Any]:
        """What is served, and its limits."""
        frontend = self.recogniser.frontend
        return {
            "status": "ok",
            "model": self.recogniser.bundle.model_name,
            "fingerprint": self.recogniser.bundle.fingerprint,
            "phrases": len(self.recogniser.phrases),
            "features": {"mels": frontend.mels, "hop_ms": frontend.hop_ms},
            "max_mebibytes": self.limits.mebibytes,
            "max_seconds": self.limits.seconds,
        }

    def features(self, values: Any) -> Transcript:
        """Text of features."""
        frontend = self.recogniser.frontend
        checked = check_features(values, frontend.mels)
        self._check_seconds(len(checked) * frontend.hop_ms / 1000)
        with self._lock:
            return self.recogniser.transcribe_features([checked])[0]

    def recording(self, data: bytes) -> Transcript:
        """Text of a sound file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "upload"
            path.write_bytes(data)
            try:
                self._check_seconds(audio_info(path).seconds)
                with self._lock:
                    return self.recogniser.transcribe_files([path])[0]
            except DataError as error:
                # Without the place of the temporary file, which is nobody's business.
                raise DataError(error.what, where="the file", remedy=error.remedy) from error

    def _check_seconds(self, seconds: float) -> None:
        if seconds > self.limits.seconds:
            raise HTTPException(
                413, f"lasts {seconds:.1f} s, more than {self.limits.seconds:g} s are not taken"
            )


def _parsed(body: bytes) -> Any:
    """The features of a JSON body."""
    try:
        values = json.loads(body)
    except RecursionError as error:
        raise HTTPException(422, f"the body is nested too deeply; {_ONE}") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise HTTPException(422, f"the body is no JSON ({error}); {_ONE}") from error
    if not isinstance(values, dict) or "features" not in values:
        raise HTTPException(422, f"the body has no `features`; {_ONE}")
    return values["features"]
