"""The routes: what each path reads, asks of the service, and answers.

Invariant: a handler waits for its job and for its client's going together; whichever comes first ends it. What can be
told without a model is checked before a request waits, in a thread, so that no long history holds up the others.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from trsr_lite.errors import SettingsError
from trsr_lite.serve.awaited import awaited
from trsr_lite.serve.http import openapi, page, rerank
from trsr_lite.serve.http.body import Bodies, until_gone
from trsr_lite.serve.http.faults import Fault, answer, fault, json_response
from trsr_lite.serve.http.figures import Figures
from trsr_lite.serve.http.guard import Access, Guard
from trsr_lite.serve.methods import METHODS, parse
from trsr_lite.serve.service import Service

ASKED = ("recommend", "summarize", "update", "forget")
"""Methods that have a path of their own."""

Prepare = Callable[[Any], tuple[str, Any, Callable[[Any], Any]]]
"""From parsed JSON: the method, its params, and what makes an answer of the result."""


class Api:
    """The handlers of one server; `model` is what its models were opened by."""

    def __init__(self, service: Service, model: str | None, bodies: Bodies) -> None:
        self._service, self._model, self._bodies = service, model, bodies
        self.figures = Figures(service)
        self._ids = itertools.count(1)

    def routes(self) -> list[Route]:
        """All paths."""
        asked: dict[str, Prepare] = {f"/v1/{method}": partial(self._prepare, method) for method in ASKED}
        asked.update({path: partial(_prepare_rerank, 2 if path.startswith("/v2") else 1) for path in rerank.PATHS})
        return [
            *(Route(path, self._handler(path, prepare), methods=["POST"]) for path, prepare in asked.items()),
            Route("/health", _health, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
            Route("/v1/status", self._status, methods=["GET"]),
            Route("/openapi.json", _openapi, methods=["GET"]),
            Route("/", _page, methods=["GET"]),
        ]

    def _handler(self, path: str, prepare: Prepare) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            began = time.monotonic()
            try:
                response = await self._answer(request, prepare)
            except ClientDisconnect:
                self.figures.went(path)
                return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody reads it
            except Exception as error:  # noqa: BLE001 - a bug is reported, and the next request is served
                response = answer(fault(error))
            self.figures.answered(path, response.status_code, time.monotonic() - began)
            return response

        return handle

    async def _answer(self, request: Request, prepare: Prepare) -> Response:
        body = await self._bodies.read(request)
        made: list[Callable[[Any], Any]] = []

        def prepared() -> tuple[str, Any]:
            method, params, answered = prepare(_parsed(body))
            made.append(answered)
            return method, params

        job_id = f"http-{next(self._ids)}"
        work = asyncio.ensure_future(awaited(self._service, prepared, id=job_id, size=len(body)))
        gone = asyncio.ensure_future(until_gone(request))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
        finally:
            gone.cancel()
            work.cancel()
        result = work.result()
        self.figures.cost(result.get("stats", {}))
        return json_response(await run_in_threadpool(made[0], result))

    def _prepare(self, method: str, data: Any) -> tuple[str, Any, Callable[[Any], Any]]:
        """The params of a method as on stdin, but for the model: a client must not make us open a file it names."""
        if isinstance(data, Mapping) and data.get("model") is not None:
            if data["model"] != self._model:
                raise SettingsError("this server has one model, and it is not the one asked for", hint="leave it out")
            data = {name: value for name, value in data.items() if name != "model"}
        return method, parse(METHODS[method], data), lambda result: result

    async def _metrics(self, _request: Request) -> Response:
        return self.figures.response()

    async def _status(self, _request: Request) -> Response:
        return json_response(self._service.status())


def make_app(service: Service, access: Access, *, model: str | None = None, bodies: Bodies | None = None) -> ASGIApp:
    """The app of a service: everything that `serve --http` answers, behind its guard."""
    api = Api(service, model, bodies or Bodies())
    return Guard(Starlette(routes=api.routes(), exception_handlers={HTTPException: _unknown}), access)


def _prepare_rerank(version: int, data: Any) -> tuple[str, Any, Callable[[Any], Any]]:
    asked = rerank.Rerank.read(data)
    return "recommend", asked.params(), lambda result: asked.answer(result, version)


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Fault(HTTPStatus.BAD_REQUEST, f"the body is not valid JSON: {place}: {error.msg}") from None


async def _health(_request: Request) -> Response:
    return json_response({"status": "ok"})


async def _page(_request: Request) -> Response:
    return page.response()


async def _openapi(_request: Request) -> Response:
    return json_response(openapi.document())


async def _unknown(request: Request, error: Exception) -> Response:
    """A path or a method that there is not."""
    status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    where = request.url.path[:100]
    return answer(Fault(status, f"{status.phrase}: {request.method} {where}", hint="see /openapi.json", **headers))
