"""One request at a time, and a queue that ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

T = TypeVar("T")


class Turns:
    """Gives requests their turn, in the order in which they came.

    Threads of several requests would only take each other's cores, and each holds a picture.

    Args:
        waiting: Requests that may wait while one is answered.
    """

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        self._inside = 0
        self._lock = anyio.Lock()

    async def take(self, request: Request, work: Callable[[], T]) -> T:
        """What `work` returns, called in a thread when it is its turn.

        Raises:
            HTTPException: 503, too many are waiting.
            ClientDisconnect: Whoever asked has gone; nothing was done.
        """
        if self._inside > self.waiting:
            raise HTTPException(
                503, f"{self._inside} requests are being answered or wait: try again in a moment",
                {"retry-after": "2"},
            )  # fmt: skip
        self._inside += 1
        try:
            async with self._lock:
                if await request.is_disconnected():
                    raise ClientDisconnect
                return await run_in_threadpool(work)
        finally:
            self._inside -= 1
