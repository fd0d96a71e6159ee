"""A server in this process on scripted models, and one in a process of its own on a tiny model."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.client import PATIENCE, Client, Connect
from trsr_lite import FakeEngine, ModelError, Recommender
from trsr_lite.serve.recommenders import Recommenders
from trsr_lite.serve.server import Server
from trsr_lite.summaries.store import SummaryStore
from trsr_lite.testing import last_words

ROOT = Path(__file__).parents[2]


class Gate:
    """A script that waits: each summary is announced in `asked`, and made once it is let through."""

    def __init__(self) -> None:
        self.asked: queue.Queue[str] = queue.Queue()
        self._through = threading.Semaphore(0)
        self._open = threading.Event()

    def __call__(self, prompt: str) -> str:
        """Wait, then the usual text."""
        self.asked.put(prompt)
        while not self._open.is_set() and not self._through.acquire(timeout=0.01):
            pass
        return last_words(prompt)

    def reached(self) -> str:
        """Wait until a summary is asked for; its prompt."""
        return self.asked.get(timeout=PATIENCE)

    def let(self, count: int) -> None:
        """Let so many summaries through."""
        self._through.release(count)

    def open(self) -> None:
        """Let all through from now on."""
        self._open.set()


@pytest.fixture
def gate(fake: FakeEngine) -> Gate:
    """Scripted summarizers wait at this gate; it opens when the test is over."""
    fake.script = gate = Gate()
    return gate


@pytest.fixture
def opened_models() -> list[str | None]:
    """The reference of every recommender that `connect` had to open, in order."""
    return []


@pytest.fixture
def connect(
    make_recommender: Callable[..., Recommender],
    tmp_path: Path,
    fake: FakeEngine,
    opened_models: list[str | None],
) -> Iterator[Connect]:
    """`connect()`: a client of a server in this process; every model but `missing` is scripted."""
    ends: list[Callable[[], None]] = []

    def open_recommender(model: str | None, progress: Any) -> Recommender:
        opened_models.append(model)
        if model == "missing":
            raise ModelError("missing: there is no such model", hint="give another")
        return make_recommender(name=model or "scripted")

    def call(**options: Any) -> Client:
        (server_in, client_out), (client_in, server_out) = os.pipe(), os.pipe()
        recommenders = Recommenders(open_recommender, SummaryStore(tmp_path / "cache"))
        server = Server(
            recommenders,
            lambda: os.read(server_in, 1 << 16),
            lambda data: os.write(server_out, data),
            **{"progress_seconds": 0.0, **options},
        )

        def run() -> None:
            server.run()
            os.close(server_out)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        client = Client(client_in, client_out)

        def end() -> None:
            client.close()
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the server did not end"
            os.close(server_in)

        ends.append(end)
        return client

    yield call
    if isinstance(fake.script, Gate):
        fake.script.open()
    for end in ends:
        end()


@pytest.fixture
def start(tiny: Path, tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], Client]]]:
    """`start(*arguments)`: `trsr-lite serve` on a tiny model in a process of its own, and its client."""
    running: list[tuple[subprocess.Popen[bytes], Client]] = []

    def popen(*arguments: str, program: tuple[str, ...] = (sys.executable,)) -> tuple[subprocess.Popen[bytes], Client]:
        options = ["-m", str(tiny), "--threads", "1", "--cache-dir", str(tmp_path / "cache")]
        command = [*program, "-m", "trsr_lite", "serve", *options, *arguments]
        (server_in, client_out), (client_in, server_out) = os.pipe(), os.pipe()
        process = subprocess.Popen(command, cwd=ROOT, stdin=server_in, stdout=server_out, stderr=subprocess.PIPE)
        os.close(server_in)
        os.close(server_out)
        client = Client(client_in, client_out)
        running.append((process, client))
        return running[-1]

    yield popen
    for process, client in running:
        client.close()
        process.kill()
        process.communicate()
