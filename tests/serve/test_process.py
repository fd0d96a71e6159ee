"""A server in a process of its own: what a client, a parent or a kill can do to it. Finished summaries are never lost.

The strategy is `recurrent`, one text at a time, so that a resumed run computes exactly what an undisturbed one does.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.commands import runner
from tests.recommender.test_faults import stored, until
from tests.serve.client import PATIENCE, Client
from trsr_lite.summaries.store import SummaryStore

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and pipes are POSIX")

ROOT = Path(__file__).parents[2]
BLOCKS = 60
MORE_BLOCKS = 1000  # more than are summarized until a server has looked for its parent
KILLS = 8

Start = Callable[..., "tuple[subprocess.Popen[bytes], Client]"]


def user(blocks: int = BLOCKS) -> dict[str, Any]:
    history = [{"id": f"h{index}", "title": f"Film number {index}"} for index in range(5 * blocks)]
    return {"user_id": "u1", "history": history, "candidates": [{"id": f"c{index}", "title": "Book"} for index in "ab"]}


def code(process: subprocess.Popen[bytes]) -> int:
    return process.wait(PATIENCE)


def test_recommend_answers_what_the_command_prints(
    start: Start, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process, client = start("--domain", "news")
    file = ROOT / "examples" / "news_reader.json"
    options = ["-m", str(tiny), "--threads", "1", "--cache-dir", str(tmp_path / "cache"), "--domain", "news", "--exact"]
    data = json.loads(file.read_text())
    client.call("summarize", user=data)
    found = client.call("recommend", user=data, k=3, exact=True, explain=True)
    printed = runner(capsys)("recommend", "--user", file, "-k", "3", "--json", "--explain", *options).json
    assert list(found) == list(printed)
    for result in (found, printed):
        result["stats"]["seconds"] = sorted(result["stats"]["seconds"])
    hits = [one["stats"].pop("margin_cache_hits") for one in (found, printed)]
    read = [one["stats"].pop("evaluated_tokens") for one in (found, printed)]
    assert hits == [0, 12] and read[0] > read[1] == 0
    assert found == printed
    client.close()
    assert code(process) == 0
    assert process.stderr and process.stderr.read() == b""


def test_an_input_that_ends_at_once_ends_the_server(start: Start) -> None:
    process, client = start()
    client.close()
    assert client.rest() == []
    assert code(process) == 0


def test_whatever_else_prints_goes_to_stderr() -> None:
    program = (
        "import os; from trsr_lite.cli import serve; source, sink = serve.take_channels()\n"
        "print('noise', flush=True); os.write(1, b'more'); os.write(sink, os.read(source, 9)); assert not os.read(0, 9)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, input=b"message", capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"message", b"noise\nmore")


def test_a_system_whose_channels_always_block_is_not_asked_to_make_them() -> None:
    program = (
        "import os; from trsr_lite.cli import serve; os.name = 'nt'; del os.set_blocking\n"  # Windows before 3.12
        "source, sink = serve.take_channels(); os.write(sink, os.read(source, 9))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, input=b"message", capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"message", b"")


@pytest.mark.parametrize(
    ("redirection", "words"),
    [
        ("<&-", b"must be open"),
        (">&-", b"must be open"),
        pytest.param(
            ">/dev/full",
            b"cannot be written",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full"),
        ),
    ],
)
def test_channels_that_cannot_be_used_are_said(redirection: str, words: bytes) -> None:
    request = b'{"jsonrpc": "2.0", "id": 1, "method": "status"}\n'
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "trsr_lite", "serve"]
    done = subprocess.run(command, cwd=ROOT, input=request, capture_output=True)
    assert done.returncode == (1 if "full" in redirection else 2)
    assert words in done.stderr.splitlines()[0]


def test_ctrl_c_ends_with_130_and_one_line(start: Start) -> None:
    process, client = start()
    client.call("status")
    process.send_signal(signal.SIGINT)
    assert code(process) == 130
    assert process.stderr
    assert process.stderr.read().split() == b"Interrupted; finished summaries are kept".split()


def test_the_server_ends_with_its_parent_though_its_input_stays_open(start: Start, tmp_path: Path) -> None:
    parent = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
    process, client = start("--strategy", "recurrent", program=(sys.executable, "-c", parent, sys.executable))
    client.ask("summarize", user=user(MORE_BLOCKS))
    until(lambda: stored(tmp_path / "cache"))
    process.kill()
    client.rest()  # its output has ended, so it has too
    assert 1 <= len(stored(tmp_path / "cache")) < MORE_BLOCKS


def test_a_client_that_goes_away_ends_the_work(start: Start, tmp_path: Path) -> None:
    process, client = start("--strategy", "recurrent")
    client.ask("summarize", user=user())
    until(lambda: stored(tmp_path / "cache"))
    client.leave()
    assert code(process) == 0
    assert 1 <= len(stored(tmp_path / "cache")) < BLOCKS


def test_a_client_that_stops_reading_costs_no_memory_and_no_summary(start: Start, tmp_path: Path) -> None:
    process, client = start("--strategy", "recurrent")
    client.call("summarize", user=user(1), strategy="recurrent")
    before = psutil.Process(process.pid).memory_info().rss
    client.reading.clear()
    client.ask("summarize", "long", user=user())
    requests = b"".join(
        b'{"jsonrpc": "2.0", "id": %d, "method": "status"}\n' % number for number in range(10_000, 110_000)
    )
    taken = client.push(requests)
    until(lambda: len(stored(tmp_path / "cache")) == BLOCKS)
    taken += client.push(requests[taken:])  # a busy machine may have been slow only
    assert taken < 700_000, "requests were taken in while no answer was read"  # 1 MiB of answers, and pipes
    assert psutil.Process(process.pid).memory_info().rss - before < 40 << 20
    client.reading.set()
    assert client.answer("long")["result"]["stats"]["summary_calls"] >= BLOCKS - 1
    client.write(requests[taken : requests.index(b"\n", taken) + 1])
    client.close()
    client.rest()
    assert client.order.count("long") == 1
    assert len(client.order) == 2 + requests[: requests.index(b"\n", taken)].count(b"\n") + 1


def test_a_server_killed_at_any_point_loses_nothing_that_was_finished(start: Start, tmp_path: Path, tiny: Path) -> None:
    from trsr_lite import EngineOptions, Recommender

    cache, dice = tmp_path / "cache", random.Random(7)
    kept: dict[str, str] = {}
    for _ in range(KILLS):
        process, client = start("--strategy", "recurrent")
        client.ask("summarize", user=user())
        wanted = len(kept) + dice.randint(0, 5)
        until(lambda wanted=wanted: len(stored(cache)) >= wanted)
        kept = stored(cache)
        process.kill()
        code(process)
        assert kept.items() <= stored(cache).items()
    assert 0 < len(kept) < BLOCKS
    store = SummaryStore(cache)
    assert store.info()["summaries"] >= len(kept)
    store.close()
    assert [path.name for path in cache.iterdir() if "corrupt" in path.name] == []

    _, client = start("--strategy", "recurrent")
    found = client.call("summarize", user=user())
    assert found["stats"]["summary_cache_hits"] >= len(kept)
    options = EngineOptions(threads=1)
    with Recommender.load(tiny, cache_dir=tmp_path / "new", options=options, strategy="recurrent") as recommender:
        assert found["summary"] == recommender.summarize(user()).summary
