"""Who may ask: the host that is named, the page that asks, and the token.

Invariant: a request is refused before its body is read. A page of another site cannot read or start anything here, even
if its name is made to resolve to this machine (DNS rebinding): its requests name its host, or its origin.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from trsr_lite.serve.http.faults import Fault, answer

LOCAL_HOSTS = frozenset(["localhost", "127.0.0.1", "::1"])
OPEN = frozenset(["/", "/health", "/openapi.json"])
"""Paths that tell nothing of anybody, and need no token."""


@dataclass(frozen=True)
class Access:
    """Attributes
    ----------
    token: what a client must send as `Authorization: Bearer …`; None where everybody on this machine may ask.
    hosts: names by which the server may be asked for; None for any, which needs a token.
    """

    token: str | None = None
    hosts: Collection[str] | None = LOCAL_HOSTS

    def refuse(self, path: str, headers: Headers) -> Fault | None:
        """Why a request is refused; None where it is not."""
        host = headers.get("host", "")
        name = _name(host)
        if name is None or (self.hosts is not None and name not in self.hosts):
            text = "this server is not asked for by that host name"
            return Fault(HTTPStatus.MISDIRECTED_REQUEST, text, hint="use `localhost` or `127.0.0.1`")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if (origin is not None and urlsplit(origin).netloc != host) or site not in ("none", "same-origin"):
            return Fault(HTTPStatus.FORBIDDEN, "pages of other sites are not served")
        if self.token is not None and path not in OPEN and not self._knows(headers.getlist("authorization")):
            hint = "send `Authorization: Bearer TOKEN`, with the token of the server's token file"
            return Fault(HTTPStatus.UNAUTHORIZED, "the token is missing or wrong", hint=hint, www_authenticate="Bearer")
        return None

    def _knows(self, given: list[str]) -> bool:
        """Whether the token was sent; takes as long for any wrong one, whatever it has in common with the right one."""
        scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        same = hmac.compare_digest(_digest(token.strip()), _digest(self.token or ""))
        return same and scheme.lower() == "bearer"


class Guard:
    """An app that only those reach who may."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on or refuse."""
        if scope["type"] == "http":
            refused = self._access.refuse(scope["path"], Headers(scope=scope))
            if refused is not None:
                refused.headers["connection"] = "close"  # its body is not read
                await answer(refused)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _name(host: str) -> str | None:
    """The host of a `Host` header, without its port; None where it is not one."""
    try:
        return urlsplit(f"//{host}").hostname if host and not set(host) & set("/@?#\\") else None
    except ValueError:
        return None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
