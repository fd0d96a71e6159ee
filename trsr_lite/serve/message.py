"""Lines to requests, and answers to lines: the part of JSON-RPC 2.0 that knows nothing of recommending.

Invariant: whatever bytes arrive, the next good line is read as if they had not. Of a line that is too long only the
beginning is held. Of a line that is refused, the id is read wherever it can be, so that its request is settled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from trsr_lite.errors import SettingsError, TrsrError

LINE_BYTES = 16 << 20
"""Longest message: a history of 10,000 long items."""

BEGINNING = 1024  # bytes of a line that is too long, in which its id is looked for
_TOKEN = re.compile(rb'"id"\s*:\s*(?P<id>"(?:[^"\\]|\\.)*"|-?\d+)(?=\s*[,}])|"(?:[^"\\]|\\.)*"|[{}\[\]]')
"""What matters of JSON to find an id: texts, brackets, and the field itself, whose value may be a text or a number."""

ID_LENGTH = 256  # an id is repeated in every message about its request
ERROR_LENGTH = 1000  # an error repeats the value that it is about

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
BUSY = -32000

Id = str | int


class Refused(Exception):
    """A message that cannot be served; `code` is JSON-RPC's, `to` the id of the request, where it has one."""

    def __init__(self, code: int, message: str, *, to: Id | None = None, **data: Any) -> None:
        super().__init__(message)
        self.code, self.to, self.data = code, to, data


@dataclass(frozen=True)
class Request:
    """What a client asks for; without an id it is a notification, which is never answered."""

    id: Id | None
    method: str
    params: Any
    size: int


class Lines:
    """Bytes as they come, to whole lines. A line that is too long comes as None, once, and its bytes are dropped.

    `beginning` is that of the last one that was too long.
    """

    def __init__(self, limit: int = LINE_BYTES) -> None:
        self._limit, self._held, self._dropping, self.beginning = limit, bytearray(), False, b""

    @property
    def held(self) -> int:
        """Bytes of the line that has not ended yet."""
        return len(self._held)

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """The lines that `data` completes."""
        *whole, rest = data.split(b"\n")
        for part in whole:
            yield from self._add(part)
            if not self._dropping:
                yield bytes(self._held)
            self._held, self._dropping = bytearray(), False
        yield from self._add(rest)

    def end(self) -> Iterator[bytes]:
        """The last line, where it was not ended."""
        if self._held and not self._dropping:
            yield bytes(self._held)

    def _add(self, part: bytes) -> Iterator[None]:
        if self._dropping:
            return
        if len(self._held) + len(part) > self._limit:
            self.beginning = bytes((self._held + part)[:BEGINNING])
            self._held, self._dropping = bytearray(), True
            yield None
        else:
            self._held += part


def read(line: bytes | None, beginning: bytes = b"") -> Request | None:
    """The request of a line; None for a blank line, and for an answer, which nobody has asked for.

    Answering an answer with an error could go on for ever between two peers. Of a line that was too long there is its
    `beginning`. Raises `Refused`.
    """
    if line is None:
        raise Refused(
            INVALID_REQUEST,
            f"a message is longer than {LINE_BYTES} bytes",
            to=id_of(beginning),
            hint="send fewer or shorter items",
        )
    line = line.strip().removeprefix(b"\xef\xbb\xbf")
    if not line:
        return None
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Refused(
            PARSE_ERROR, f"column {error.colno}: not valid JSON: {error.msg}", to=id_of(line), hint=_way_out(line)
        ) from None
    if isinstance(data, list):
        raise Refused(INVALID_REQUEST, "batches are not supported", hint="send one message a line")
    if not isinstance(data, dict):
        raise Refused(INVALID_REQUEST, "a message must be an object")
    if "method" not in data and ("result" in data or "error" in data):
        return None
    return Request(_id(data), _method(data), data.get("params", {}), len(line))


def id_of(line: bytes) -> Id | None:
    """The id of a message that cannot be read as a whole: a field of the object itself, not of one inside it."""
    depth = 0
    for token in _TOKEN.finditer(line):
        sign = token[0]
        if sign in b"{[":
            depth += 1
        elif sign in b"}]":
            depth -= 1
        elif depth == 1 and token["id"]:
            try:
                return _id({"id": orjson.loads(token["id"])})
            except (orjson.JSONDecodeError, Refused):
                return None
    return None


def answer(to: Id, result: Any) -> bytes:
    """A request's result."""
    return _line({"id": to, "result": result})


def failure(to: Id | None, code: int, message: str, data: Mapping[str, Any] | None = None) -> bytes:
    """A request's error, with what helps as `data`; without an id, an error that belongs to no request."""
    known = {name: value for name, value in (data or {}).items() if value is not None}
    return _line(
        {"id": to, "error": {"code": code, "message": message[:ERROR_LENGTH], **({"data": known} if known else {})}}
    )


def notification(method: str, params: Mapping[str, Any]) -> bytes:
    """What the server says on its own."""
    return _line({"method": method, "params": params})


def code(error: TrsrError) -> int:
    """An error's code: the exit code that the command line ends with; wrong usage is JSON-RPC's `Invalid params`."""
    return INVALID_PARAMS if isinstance(error, SettingsError) else error.exit_code


def _line(content: Mapping[str, Any]) -> bytes:
    """One line, also for a reader that ends lines where Unicode may, as Node does from 24 on."""
    line = orjson.dumps({"jsonrpc": "2.0", **content}, option=orjson.OPT_APPEND_NEWLINE)
    return line.replace("\u2028".encode(), rb"\u2028").replace("\u2029".encode(), rb"\u2029")


def _way_out(line: bytes) -> str | None:
    """What helps where a client speaks another protocol, or has cut a text in two."""
    if line[:15].lower() == b"content-length:":
        return "send one message a line, without headers: this is no language server"
    if b"\\ud" in line.lower():
        return "half a character (a lone surrogate) is no JSON text: replace it before it is sent"
    return None


def _id(data: Mapping[str, Any]) -> Id | None:
    if "id" not in data:
        return None
    found = data["id"]
    if isinstance(found, bool) or not isinstance(found, (str, int)):
        raise Refused(INVALID_REQUEST, "an id must be text or a whole number")
    if isinstance(found, str) and len(found) > ID_LENGTH:
        raise Refused(INVALID_REQUEST, f"an id is longer than {ID_LENGTH} characters")
    return found


def _method(data: Mapping[str, Any]) -> str:
    if data.get("jsonrpc") != "2.0":
        raise Refused(INVALID_REQUEST, 'a request must have "jsonrpc": "2.0"', to=_id(data))
    method = data.get("method")
    if not isinstance(method, str):
        raise Refused(INVALID_REQUEST, "a request must have a method, as text", to=_id(data))
    return method
