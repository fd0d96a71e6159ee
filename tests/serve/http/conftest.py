"""A server over HTTP in this process, on scripted models."""

from __future__ import annotations

import http.client
import json
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serve.client import PATIENCE
from tests.serve.conftest import Gate
from trsr_lite import FakeEngine, ModelError, Recommender
from trsr_lite.serve.http import listener
from trsr_lite.serve.http.app import make_app
from trsr_lite.serve.http.body import Bodies
from trsr_lite.serve.http.guard import Access
from trsr_lite.serve.recommenders import Recommenders
from trsr_lite.serve.service import Service
from trsr_lite.summaries.store import SummaryStore


@dataclass
class Web:
    """A server that runs."""

    url: str
    service: Service
    client: httpx.Client

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.client.post(path, json=body, headers=headers)

    def start(self, path: str, body: Any) -> http.client.HTTPConnection:
        """Send a request, and do not wait for its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        return connection

    def figure(self, name: str) -> float:
        """The sum of a figure of `/metrics` over all its labels."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


ServeWeb = Callable[..., Web]


@pytest.fixture
def serve_web(make_recommender: Callable[..., Recommender], tmp_path: Path, fake: FakeEngine) -> Iterator[ServeWeb]:
    """`serve_web(token=…, bodies=…, header_seconds=…)`: a server on scripted models, which ends with the test."""
    ends: list[Callable[[], None]] = []

    def open_recommender(model: str | None, progress: Any) -> Recommender:
        if model == "missing":
            raise ModelError("missing: there is no such model", hint="give another")
        return make_recommender(name=model or "scripted")

    def call(
        *, token: str | None = None, bodies: Bodies | None = None, header_seconds: float = PATIENCE, **more: Any
    ) -> Web:
        found = listener.open_socket(listener.Address(), remote=False, token=None)
        service = Service(Recommenders(open_recommender, SummaryStore(tmp_path / "cache")))
        app = make_app(service, Access(token, **more), model="mine", bodies=bodies)
        servers: queue.Queue[Any] = queue.Queue()

        def run() -> None:
            with found:
                listener.serve(app, found, service, started=servers.put, header_seconds=header_seconds)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        server = servers.get(timeout=PATIENCE)
        web = Web(listener.url(found), service, httpx.Client(base_url=listener.url(found), timeout=PATIENCE))

        def end() -> None:
            web.client.close()
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the server did not end"

        ends.append(end)
        return web

    yield call
    if isinstance(fake.script, Gate):
        fake.script.open()
    for end in ends:
        end()


@pytest.fixture
def web(serve_web: ServeWeb) -> Web:
    """A server without a token."""
    return serve_web()
