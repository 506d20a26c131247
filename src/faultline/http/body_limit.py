"""Refuses request bodies that are too large, before they are read."""

from __future__ import annotations

from typing import Any, Final

import anyio
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER: Final = 2.0
"""Seconds for which the rest of a refused body is taken in and dropped."""


class BodyLimit:
    """ASGI middleware: 413 as soon as a body is, or says it is, larger than `limit` bytes.

    Args:
        app: What answers the rest.
        limit: Bytes.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self._declared(scope) > self.limit:
            # The sender may still be sending: closing tells it to stop.
            refusal = JSONResponse({"error": self.reason}, 413, {"connection": "close"})
            await refusal(scope, receive, send)
            return
        await self.app(scope, self._counting(receive), send)

    @property
    def reason(self) -> str:
        """What a refused sender is told."""
        return f"the request is larger than {self.limit / 2**20:g} MiB"

    def _declared(self, scope: Scope) -> int:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        value = headers.get(b"content-length", b"0")
        return int(value) if value.isdigit() else 0

    def _counting(self, receive: Receive) -> Receive:
        """Chunked bodies declare no length; those that lie about it are counted as well."""
        total = 0

        async def counted() -> Message:
            nonlocal total
            message: dict[str, Any] = dict(await receive())
            total += len(message.get("body", b""))
            if total > self.limit:
                if message.get("more_body"):
                    await _linger(receive)
                raise HTTPException(413, self.reason, {"connection": "close"})
            return message

        return counted


async def _linger(receive: Receive) -> None:
    """Drop what is still under way, for a while.

    A connection that is closed with bytes unread is reset, and the sender may lose the answer
    (RFC 9112, section 9.6).
    """
    with anyio.move_on_after(LINGER):
        while (await receive()).get("more_body"):
            pass
