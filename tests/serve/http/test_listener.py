"""Where is listened, and the command that does it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.serve.client import PATIENCE
from trsr_lite import SettingsError, TrsrError
from trsr_lite.cli import run
from trsr_lite.serve.http import listener
from trsr_lite.serve.http.listener import Address

Start = Callable[..., tuple[subprocess.Popen[str], str]]
TOKEN = "a-token-of-some-length"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("8080", "127.0.0.1", 8080),
        (":8080", "127.0.0.1", 8080),
        ("localhost:0", "localhost", 0),
        ("0.0.0.0:65535", "0.0.0.0", 65535),
        ("[::1]:80", "::1", 80),
    ],
)
def test_a_port_alone_is_one_of_this_machine(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)


@pytest.mark.parametrize(
    "text", ["", "localhost", "localhost:", "65536", "-1", "8080:localhost", "::1:80", "8o8o", "\u0661"]
)
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match=r"is not \[HOST:\]PORT"):
        Address.parse(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_machines_are_let_in_with_leave_and_a_token_only(host: str) -> None:
    with pytest.raises(SettingsError, match="other machines could reach"):
        listener.open_socket(Address(host), remote=False, token=TOKEN)
    with pytest.raises(SettingsError, match="needs a token"):
        listener.open_socket(Address(host), remote=True, token=None)
    assert listener.access(Address(host), remote=True, token=TOKEN).hosts is None
    assert listener.access(Address("localhost"), remote=False, token=TOKEN).hosts is not None


def test_a_port_that_is_taken_and_a_host_that_is_not_here_are_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(TrsrError, match="in use"):
            listener.open_socket(Address("127.0.0.1", taken.getsockname()[1]), remote=False, token=None)
    with pytest.raises(SettingsError, match=r"--http: no\.such\.host\.invalid: "):
        listener.open_socket(Address("no.such.host.invalid"), remote=False, token=None)


@pytest.mark.parametrize(
    "content", ["", "short", "two words of a token", "line one is long\nline two is long", "ünïcödé" * 9]
)
def test_a_token_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content, "utf-8")
    with pytest.raises(SettingsError, match="token"):
        listener.read_token(tmp_path / "token")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert listener.read_token(tmp_path / "token") == TOKEN


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--http", "nonsense"], 2, "is not [HOST:]PORT"),
        (["--http", "0.0.0.0:0"], 2, "other machines could reach 0.0.0.0"),
        (["--http", "0", "--token-file", "missing"], 2, "missing: cannot be read"),
        (["--allow-remote"], 2, "need `--http`"),
    ],
)
def test_a_wrong_flag_is_one_line(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", *arguments]) == code
    assert said in capsys.readouterr().err.splitlines()[0]


def test_without_the_extra_its_command_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [*sys.modules]:
        if name.startswith("trsr_lite.serve.http"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run(["serve", "--http", "0"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "Error: --http needs uvicorn",
        "hint: pip install 'trsr-lite[http]'",
    ]


@pytest.fixture
def start(tiny: Path, tmp_path: Path) -> Iterator[Start]:
    """`start(*arguments)`: the command in a process of its own, and where it listens."""
    running: list[subprocess.Popen[str]] = []

    def popen(*arguments: str) -> tuple[subprocess.Popen[str], str]:
        options = ["-m", str(tiny), "--threads", "1", "--cache-dir", str(tmp_path / "cache")]
        command = [sys.executable, "-m", "trsr_lite", "serve", "--http", "0", *options, *arguments]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stderr
        for line in process.stderr:
            if found := re.search(r"listening on (\S+)", line):
                return process, found[1]
        raise AssertionError("it did not start")

    yield popen
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
def test_the_command_ranks_with_a_real_model_and_ends_when_told(start: Start, number: signal.Signals) -> None:
    process, url = start()
    asked = {"query": "a film\nanother film", "documents": ["a third film", "a tax law"]}
    answer = httpx.post(f"{url}/v1/rerank", json=asked, timeout=PATIENCE).json()
    assert sorted(result["index"] for result in answer["results"]) == [0, 1]
    process.send_signal(number)
    assert process.wait(PATIENCE) == (130 if number is signal.SIGINT else -signal.SIGTERM)
    assert process.stderr
    assert "Traceback" not in process.stderr.read()
