"""A request's body, from clients that may send too much, too slowly, or something else.

Invariant: no body is held beyond `LINE_BYTES`, and of all requests together not more than `JOBS_BYTES` while they come
in; one that is not whole after `BODY_SECONDS` is refused.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

from trsr_lite.serve.http.faults import AGAIN_SECONDS, Fault
from trsr_lite.serve.job import JOBS_BYTES
from trsr_lite.serve.message import LINE_BYTES

BODY_SECONDS = 30.0


class Bodies:
    """The bodies that come in."""

    def __init__(self, *, seconds: float = BODY_SECONDS, limit: int = LINE_BYTES, together: int = JOBS_BYTES) -> None:
        self._seconds, self._limit, self._together = seconds, limit, together
        self._held = 0

    async def read(self, request: Request) -> bytes:
        """The body; raises `Fault`, and `ClientDisconnect` where the client has gone."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            text = f"the body must be JSON, not {kind[:100] or 'without a type'}"
            hint = "send `Content-Type: application/json`"
            raise Fault(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text, hint=hint, connection="close")
        if request.headers.get("content-encoding", "identity") != "identity":
            text = "the body must not be compressed"
            raise Fault(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text, connection="close")
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit:
            raise self._too_long()
        try:
            async with asyncio.timeout(self._seconds):
                return await self._whole(request)
        except TimeoutError:
            text = f"the request was not whole after {self._seconds:g} seconds"
            raise Fault(HTTPStatus.REQUEST_TIMEOUT, text, connection="close") from None

    async def _whole(self, request: Request) -> bytes:
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                self._held += len(part)
                if len(body) > self._limit:
                    raise self._too_long()
                if self._held > self._together and self._held > len(body):  # one alone always has room
                    text = "too many long requests come in at once"
                    again = {"retry_after": str(AGAIN_SECONDS), "connection": "close"}
                    raise Fault(HTTPStatus.SERVICE_UNAVAILABLE, text, **again)
            return bytes(body)
        finally:
            self._held -= len(body)

    def _too_long(self) -> Fault:
        text = f"the body is longer than {self._limit} bytes"
        return Fault(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text, hint="send fewer or shorter items", connection="close")


async def until_gone(request: Request) -> None:
    """Return once the client has gone; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


__all__ = ["Bodies", "ClientDisconnect", "until_gone"]
