"""Runs functions in threads, results in order, with a bounded number of them in flight."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def mapped(
    executor: Executor, function: Callable[[T], R], things: Iterable[T], window: int
) -> Iterator[R]:
    """Results of `function` in the order of `things`, at most `window` of them ahead of the caller.

    `Executor.map` would start them all, and hold every result that is not yet asked for.
    """
    running: deque[Future[R]] = deque()
    try:
        for thing in things:
            running.append(executor.submit(function, thing))
            if len(running) >= window:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()


class Outbox(Generic[R]):
    """Hands work to threads and takes the results back in order, at most `window` in flight.

    Args:
        executor: The threads.
        window: Number in flight; `put` waits for the oldest above it.
        take: Called with each result, in the order of `put`, in the caller's thread.
    """

    def __init__(self, executor: Executor, window: int, take: Callable[[R], None]) -> None:
        self._executor = executor
        self._window = window
        self._take = take
        self._running: deque[Future[R]] = deque()

    def put(self, function: Callable[[], R]) -> None:
        """Start `function`; raises what an earlier one, or `take`, raised."""
        self._running.append(self._executor.submit(function))
        while len(self._running) > self._window:
            self._next()

    def finish(self) -> None:
        """Wait for everything; raises what one of them, or `take`, raised."""
        while self._running:
            self._next()

    def rescue(self) -> None:
        """Take every result that can still be had, after a failure; raises nothing of its own."""
        while self._running:
            with contextlib.suppress(Exception):
                self._next()

    def _next(self) -> None:
        # Removed only once there: an interrupt while waiting must not lose a finished result.
        oldest = self._running[0]
        try:
            result = oldest.result()
        except Exception:
            self._running.popleft()
            raise
        self._running.popleft()
        self._take(result)
