"""Runs a service until it is told to stop."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from faultline.errors import ConfigError
from faultline.extras import import_extra

if TYPE_CHECKING:
    from fastapi import FastAPI

MAX_CONNECTIONS = 64
"""Open at once; one more gets a 503. Bodies lie in memory or in a temporary file meanwhile."""
_LAST_PORT = 65_535
_GRACE = 30
"""Seconds that requests have to end in once the service is told to stop."""


def check_extras() -> None:
    """Make sure that what a service needs is installed.

    Raises:
        MissingExtraError: It is not.
    """
    for module in ("uvicorn", "fastapi", "python_multipart"):
        import_extra(module, "serve")


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. Done before weights are loaded, to fail at once.

    Raises:
        ConfigError: The address cannot be had.
    """
    if not 0 <= port <= _LAST_PORT:  # the system would take it modulo 65536
        raise ConfigError(f"--port {port}", remedy=f"give a number from 0 to {_LAST_PORT}")
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, number)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"cannot listen there: {error.strerror or error}",
            where=f"{host} port {port}",
            remedy="choose another --port, or an address of this machine as --host",
        ) from error
    return bound


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def run_server(app: FastAPI, bound: socket.socket, host: str, say: Callable[[str], None]) -> None:
    """Answer requests on the socket until SIGTERM or Ctrl-C; requests under way are answered."""
    import uvicorn

    shown = f"[{host}]" if ":" in host else host
    config = uvicorn.Config(
        app, log_level="info", ws="none", lifespan="off", limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE,
    )  # fmt: skip
    if not is_loopback(host):
        say(f"warning: whoever reaches {host} may use this: there is no password. "
            "Put a proxy with one in front of it.")  # fmt: skip
    bound.listen()  # whoever reads the line and asks at once has to wait, and is not refused
    say(f"listening on http://{shown}:{bound.getsockname()[1]}/ (Ctrl-C stops)")
    with _stopping_is_no_failure(), contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[bound])
    say("stopped")


@contextlib.contextmanager
def _stopping_is_no_failure() -> Iterator[None]:
    """uvicorn raises the signal again that stopped it: after a clean end it shall do nothing."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
