"""The socket and the event loop: where is listened, and for how long a client is waited for.

Invariant: nothing but this machine can connect, unless that was allowed and a token is asked for. A connection that
brings no whole request line and headers in time, or that takes no answer, is closed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from trsr_lite.errors import SettingsError, TrsrError
from trsr_lite.serve.http.guard import LOCAL_HOSTS, Access
from trsr_lite.serve.service import Service

HEADER_SECONDS = 10.0
IDLE_SECONDS = 30
ANSWER_SECONDS = 60.0  # for an answer to be taken, once it is complete
LAST_SECONDS = 5  # for answers to be sent when the server ends
CONNECTIONS = 512
HEADER_BYTES = 64 << 10
TOKEN_LENGTH = 16
"""Shortest token."""


@dataclass(frozen=True)
class Address:
    """Where is listened."""

    host: str = "127.0.0.1"
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Address:
        """`[HOST:]PORT`; raises `SettingsError`."""
        host, _, port = text.rpartition(":")
        number = int(port) if port.isascii() and port.isdecimal() else -1
        if not 0 <= number <= 65535 or (":" in host and not (host.startswith("[") and host.endswith("]"))):
            raise SettingsError(f"--http: {text[:100]!r} is not [HOST:]PORT", hint="such as `8080` or `[::1]:8080`")
        return cls(host.strip("[]") or cls.host, number)


def open_socket(address: Address, *, remote: bool, token: str | None) -> socket.socket:
    """A listening socket; raises `SettingsError` where others could reach it without leave, else `TrsrError`."""
    try:
        family, _, _, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "is not a host name"
        raise SettingsError(f"--http: {address.host}: {reason}") from error
    if not ipaddress.ip_address(str(where[0]).partition("%")[0]).is_loopback:
        if not remote:
            hint = "listen on 127.0.0.1, or allow it with `--allow-remote` and `--token-file FILE`"
            raise SettingsError(f"--http: other machines could reach {address.host}", hint=hint)
        if token is None:
            hint = "write one: python -c 'import secrets; print(secrets.token_urlsafe(32))' > token.txt"
            raise SettingsError("--allow-remote needs a token: give `--token-file FILE`", hint=hint)
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # on Windows others could then take the port, too
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(where)
        found.listen(CONNECTIONS)
    except OSError as error:
        found.close()
        raise TrsrError(
            f"--http: {address.host}:{address.port}: {error.strerror}", hint="choose another port; 0 finds a free one"
        ) from error
    return found


def read_token(path: str | Path) -> str:
    """The token of a file: its only line; raises `SettingsError`."""
    try:
        token = Path(path).read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not ASCII'}") from error
    if len(token) < TOKEN_LENGTH or not token.isprintable() or " " in token:
        hint = "write one: python -c 'import secrets; print(secrets.token_urlsafe(32))' > token.txt"
        raise SettingsError(f"{path}: a token is one line of at least {TOKEN_LENGTH} characters", hint=hint)
    return token


def access(address: Address, *, remote: bool, token: str | None) -> Access:
    """Who may ask: with `remote` whoever knows the token, by any name of this machine."""
    return Access(token, None if remote and token else LOCAL_HOSTS | {address.host})


def url(found: socket.socket) -> str:
    """Where a browser of this machine finds it."""
    host, port = found.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is not listened to here
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def serve(
    app: ASGIApp,
    found: socket.socket,
    service: Service,
    *,
    started: Callable[[uvicorn.Server], None] = lambda _server: None,
    header_seconds: float = HEADER_SECONDS,
) -> None:
    """Serve until the process is told to end; what runs then is stopped, and the service closed.

    `started` is given the server, whose `should_exit` ends it too.
    """
    server = _Server(
        uvicorn.Config(
            app,
            http=_patient(header_seconds),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=LAST_SECONDS,
            limit_concurrency=CONNECTIONS,
            h11_max_incomplete_event_size=HEADER_BYTES,
        )
    )
    server.service = service
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what clients do wrong is not the server's trouble
    started(server)
    server.run(sockets=[found])


class _Server(uvicorn.Server):
    """uvicorn's server, which ends the service with itself: it raises signals again before `run` returns."""

    service: Service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.to_thread(self.service.stop, "ended")  # so that no client waits for what will not come
        await super().shutdown(sockets)
        await asyncio.to_thread(self.service.close, float(LAST_SECONDS))


def _patient(header_seconds: float) -> type[H11Protocol]:
    """The protocol of uvicorn, whose patience has no end by itself."""

    class Patient(H11Protocol):
        _due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._due = self.loop.call_later(header_seconds, transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            self._disarm()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._disarm()  # a request is here: its body has a time of its own
            elif self._due is None:
                self._due = self.loop.call_later(header_seconds, self.transport.abort)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.transport.is_closing():
                self.loop.call_later(ANSWER_SECONDS, self.transport.abort)

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            self.loop.call_later(ANSWER_SECONDS, self.transport.abort)

        def _disarm(self) -> None:
            if self._due is not None:
                self._due.cancel()
                self._due = None

    return Patient
