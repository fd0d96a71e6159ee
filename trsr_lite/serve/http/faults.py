"""What went wrong, as an HTTP answer that rerankers' clients can read.

Invariant: an answer that is an error holds one line that names the thing and the value, never a text of a user from a
bug's message. Where a client may try again it is 429 or 503, else it is not.
"""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from trsr_lite.errors import DataError, ModelError, SettingsError, TrsrError
from trsr_lite.serve.awaited import Stopped
from trsr_lite.serve.message import BUSY, ERROR_LENGTH, Refused

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 1


class Fault(Exception):
    """A request that is refused before it waits; `headers` go with the answer."""

    def __init__(self, status: HTTPStatus, text: str, *, hint: str | None = None, **headers: str) -> None:
        super().__init__(text)
        self.status, self.hint = status, hint
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def fault(error: BaseException) -> Fault:
    """An error as its fault."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, Refused):
        status = HTTPStatus.TOO_MANY_REQUESTS if error.code == BUSY else HTTPStatus.BAD_REQUEST
        return Fault(status, str(error), hint=error.data.get("hint"), retry_after=str(AGAIN_SECONDS))
    if isinstance(error, Stopped):
        newer = error.reason in ("superseded", "forgotten")
        return Fault(HTTPStatus.CONFLICT if newer else HTTPStatus.SERVICE_UNAVAILABLE, str(error))
    if isinstance(error, (SettingsError, DataError)):
        return Fault(HTTPStatus.BAD_REQUEST, str(error), hint=error.hint)
    if isinstance(error, ModelError):
        return Fault(HTTPStatus.SERVICE_UNAVAILABLE, str(error), hint=error.hint)
    if isinstance(error, TrsrError):
        return Fault(HTTPStatus.INTERNAL_SERVER_ERROR, str(error), hint=error.hint)
    place = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    logger.error("a bug: %s\n%s", type(error).__name__, place)
    text = f"a bug: {type(error).__name__}"
    return Fault(HTTPStatus.INTERNAL_SERVER_ERROR, text, hint="its place is on stderr of the server")


def answer(found: Fault) -> Response:
    """The response: `message` as Cohere's clients read it, `error` as those of OpenAI and llama.cpp do."""
    text = str(found)[:ERROR_LENGTH]
    error: dict[str, Any] = {"code": int(found.status), "type": found.status.phrase.lower(), "message": text}
    if found.hint:
        error["hint"] = found.hint
    return json_response({"message": text, "error": error}, status=int(found.status), headers=found.headers)


def json_response(data: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON that no browser takes for anything else, and no cache keeps."""
    safe = {"cache-control": "no-store", "x-content-type-options": "nosniff", **(headers or {})}
    return Response(orjson.dumps(data), status, safe, media_type="application/json")
