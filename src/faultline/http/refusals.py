"""Every failure becomes `{"error": "one sentence"}`; what went wrong inside stays in the log."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from faultline.errors import FaultlineError

_GONE = 499
"""What nginx logs for a client that hung up; nobody is there to read it."""


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
    # A detail that has parts says more than the sentence.
    parts = error.detail if isinstance(error.detail, dict) else {"error": error.detail}
    return JSONResponse(parts, error.status_code, error.headers)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=_GONE)


async def _broken(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "something went wrong here; the server's log says what"}, 500)
