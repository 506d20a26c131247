"""Every failure becomes `{"error": "one sentence"}`; what went wrong inside stays in the log."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from faultline.errors import FaultlineError

_GONE = 499
"""What nginx logs for a client that hung up; nobody is there to read it."""


class Refusal(HTTPException):
    """A request that is refused with more than a sentence.

    Args:
        status: Of HTTP.
        sentence: Why.
        more: Further entries of the answer, as plain JSON values.
    """

    def __init__(self, status: int, sentence: str, **more: Any) -> None:
        super().__init__(status, sentence)
        self.more = more


def answer_failures(app: FastAPI) -> None:
    """Make `app` answer failures as JSON: 422 for what cannot be used, 500 for what is our fault.

    A `HTTPException` keeps its status. An unexpected error is raised again once it is answered, so
    that the server logs it.
    """
    app.add_exception_handler(FaultlineError, _unusable)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _broken)


async def _unusable(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 422)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    more = error.more if isinstance(error, Refusal) else {}
    return JSONResponse({"error": error.detail, **more}, error.status_code, error.headers)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=_GONE)


async def _broken(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "something went wrong here; the server's log says what"}, 500)
