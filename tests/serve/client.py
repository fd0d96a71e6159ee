"""A client for tests: every message in either direction is held against the schema."""

from __future__ import annotations

import itertools
import json
import os
import queue
import select
import threading
from collections.abc import Callable
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = json.loads((resources.files("trsr_lite.serve") / "protocol.schema.json").read_text())
PATIENCE = 60.0  # a guard against hanging


def check(message: Any, name: str) -> None:
    """Fail unless a message is as the definition of this name says."""
    schema = {"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]}
    error = next(iter(Draft202012Validator(schema).iter_errors(message)), None)
    assert error is None, f"{name}: {error.message} at {error.json_path} of {str(message)[:500]}"


class Client:
    """Writes to one file descriptor and reads from another, in a thread of its own, unless `reading` is cleared."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._ids = itertools.count(1)
        self._methods: dict[int | str, str] = {}
        self._messages: queue.Queue[Any] = queue.Queue()
        self._answers: dict[int | str | None, Any] = {}
        self.order: list[int | str | None] = []  # ids of answers and failures as they came
        self._over: set[int | str] = set()
        self.progress: list[dict[str, Any]] = []
        self.partial: list[dict[str, Any]] = []
        self._leaving = False
        self.reading = threading.Event()
        self.reading.set()
        threading.Thread(target=self._read, daemon=True).start()

    # Sending

    def ask(self, method: str, _id: int | str | None = None, **params: Any) -> int | str:
        """Send a request; returns its id."""
        found = next(self._ids) if _id is None else _id
        self.send({"jsonrpc": "2.0", "id": found, "method": method, "params": params})
        return found

    def tell(self, method: str, **params: Any) -> None:
        """Send a notification."""
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def send(self, request: dict[str, Any]) -> None:
        """Send a request as it is; it must be good."""
        check(request, "Request")
        if "id" in request:
            self.expects(request["id"], request["method"])
            self._over.discard(request["id"])
        self.write(json.dumps(request).encode() + b"\n")

    def expects(self, request: int | str, method: str) -> None:
        """The next answer with this id is held to the schema of this method's."""
        self._methods[request] = method

    def write(self, data: bytes) -> None:
        """Send bytes."""
        while data:
            data = data[os.write(self._sink, data) :]

    def push(self, data: bytes) -> int:
        """Send bytes until the server takes no more; returns how many it took."""
        os.set_blocking(self._sink, False)
        sent = 0
        while sent < len(data) and select.select([], [self._sink], [], 1.0)[1]:
            sent += os.write(self._sink, data[sent:])
        os.set_blocking(self._sink, True)
        return sent

    def leave(self) -> None:
        """Read no more, and let the server see that; its input stays open."""
        self._leaving = True

    def close(self) -> None:
        """Close the input of the server; what it still says is read."""
        if self._sink >= 0:
            os.close(self._sink)
        self._sink = -1

    # Receiving

    def call(self, method: str, **params: Any) -> Any:
        """The result of a request that must succeed."""
        return self.result(self.ask(method, **params))

    def result(self, to: int | str) -> Any:
        """The result of a request."""
        answer = self.answer(to)
        assert "result" in answer, answer
        check(answer["result"], f"{self._methods[to].capitalize()}Result")
        return answer["result"]

    def error(self, to: int | str | None) -> dict[str, Any]:
        """The error of a request, or with None one of no request."""
        answer = self.answer(to)
        assert "error" in answer, answer
        return answer["error"]

    def answer(self, to: int | str | None) -> Any:
        """The answer or failure with this id, whatever comes before it."""
        while to not in self._answers:
            assert self.next() is not None, f"the server ended without an answer to {to!r}"
        return self._answers.pop(to)

    def next(self) -> Any:
        """The next message, or None at the end."""
        message = self._messages.get(timeout=PATIENCE)
        if message is None:
            return None
        if message.get("method") == "progress":
            check(message, "Progress")
            assert message["params"]["id"] not in self._over, "progress after the answer"
            self.progress.append(message["params"])
            return message
        if message.get("method") == "partial":
            check(message, "Partial")
            assert message["params"]["id"] not in self._over, "a partial result after the answer"
            self.partial.append(message["params"])
            return message
        check(message, "Failure" if "error" in message else "Answer")
        if message["id"] is not None:
            assert message["id"] not in self._over, "a second answer"
            self._over.add(message["id"])
        self.order.append(message["id"])
        self._answers[message["id"]] = message
        return message

    def rest(self) -> list[Any]:
        """Every message until the end of the output."""
        return list(iter(self.next, None))

    def _read(self) -> None:
        held, data = b"", b"some"
        while data and not self._leaving:
            self.reading.wait()
            data = os.read(self._source, 1 << 16)
            *lines, held = (held + data).split(b"\n")
            for line in lines:
                self._messages.put(json.loads(line))
        os.close(self._source)
        assert not held or self._leaving
        self._messages.put(None)


Connect = Callable[..., Client]
