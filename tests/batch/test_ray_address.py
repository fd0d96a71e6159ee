"""A Ray address where nobody answers is one line, and soon."""

from __future__ import annotations

import socket
import subprocess
from typing import Any

import pytest

from trsr_lite.batch import ray
from trsr_lite.errors import TrsrError


@pytest.fixture
def port() -> int:
    """A port of this machine at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "no-such-host.invalid:{}", "127.0.0.1:9{}9"])
def test_an_address_where_nobody_listens_is_one_line(form: str, port: int) -> None:
    with pytest.raises(TrsrError, match="no Ray cluster answers there") as raised:
        ray.check_address(form.format(port))
    assert form.format(port) in str(raised.value)


def test_a_program_that_is_no_cluster_is_given_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def run(command: list[str], **options: Any) -> None:
        asked.update(options)
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", run)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(TrsrError, match="no Ray cluster answers"):
        ray.check_address(f"127.0.0.1:{server.getsockname()[1]}")
    assert asked["timeout"] + ray.REACHED < 60


@pytest.mark.parametrize("address", ["", "auto", "local"])
def test_words_are_left_to_ray(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("asks"))
    ray.check_address(address)
