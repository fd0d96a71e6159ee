"""The tools, called by the official package's own client: in memory on scripted models, over stdio on a real one."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from tests.serve.conftest import Gate
from trsr_lite import Recommender
from trsr_lite.cli import run
from trsr_lite.serve.mcp.history import HistoryFile
from trsr_lite.serve.mcp.tools import make_server
from trsr_lite.serve.recommenders import Recommenders
from trsr_lite.serve.service import Service
from trsr_lite.summaries.store import SummaryStore
from trsr_lite.testing import wait_until

TOOLS = ["recommend", "summarize", "remember", "forget"]


@pytest.fixture
def service(make_recommender: Callable[..., Recommender], tmp_path: Path) -> Iterator[Service]:
    found = Service(Recommenders(lambda _model, _progress: make_recommender(), SummaryStore(tmp_path / "cache")))
    yield found
    found.close(5)


@pytest.fixture
def history(tmp_path: Path) -> HistoryFile:
    return HistoryFile(tmp_path / "history.json")


def talk(server: Any, conversation: Callable[[Client], Awaitable[None]]) -> None:
    """A client of the package's own, for as long as the conversation lasts."""

    async def main() -> None:
        async with Client(server) as client:
            await conversation(client)

    asyncio.run(main())


async def said(client: Client, tool: str, **arguments: Any) -> Any:
    """What a tool that must succeed returns."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert json.loads(result.content[0].text) == result.structured_content  # type: ignore[union-attr]
    return result.structured_content


async def failed(client: Client, tool: str, **arguments: Any) -> str:
    """What a tool that must fail says."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(result.content[0].text)  # type: ignore[union-attr]


def test_an_assistant_remembers_recommends_and_forgets(service: Service, history: HistoryFile) -> None:
    async def conversation(client: Client) -> None:
        assert [tool.name for tool in (await client.list_tools()).tools] == TOOLS
        for number in range(6):
            assert await said(client, "remember", title=f"Film {number}", texts={"genre": "noir"}) == {
                "items": number + 1
            }
        await said(client, "remember", title="A bad one", feedback="dislike")
        ranked = await said(client, "recommend", candidates=["a long title", {"title": "short"}], k=1)
        assert [entry["title"] for entry in ranked["ranking"]] == ["short"], "the script prefers short prompts"
        assert ranked["ranking"][0]["candidate"] == 1
        assert set(ranked["ranking"][0]["parts"]) == {"model"}
        told = await said(client, "summarize")
        assert told["items"] == 7
        assert told["summary"] == ranked["summary"]
        gone = await said(client, "forget", title="film 0")
        assert (gone["removed"], gone["summaries_deleted"] > 0) == (1, True)
        assert (await said(client, "forget", everything=True))["removed"] == 6

    talk(make_server(service, history), conversation)
    assert history.read()["history"] == []


def test_feedback_and_time_stand_in_the_file(service: Service, history: HistoryFile) -> None:
    async def conversation(client: Client) -> None:
        await said(client, "remember", title="Rye", feedback="like", texts={"id": "x", "time": "y", "author": "z"})

    talk(make_server(service, history), conversation)
    [item] = history.read()["history"]
    assert item.pop("time").endswith("Z")
    assert item == {"id": "i1", "title": "Rye", "author": "z", "feedback": "like"}


def test_what_is_wrong_is_told_to_the_model_in_a_line(service: Service, history: HistoryFile) -> None:
    async def conversation(client: Client) -> None:
        assert "history: is empty" in await failed(client, "recommend", candidates=["a"])
        assert "candidates" in await failed(client, "recommend", candidates=[])
        await said(client, "remember", title="Rye")
        assert "no text" in await failed(client, "recommend", candidates=[{"title": ""}])
        assert "k" in await failed(client, "recommend", candidates=["a"], k=0)
        assert "either a title or everything" in await failed(client, "forget")
        assert "feedback" in await failed(client, "remember", title="Rye", feedback="meh")
        history.path.write_text("{")
        assert "not valid JSON" in await failed(client, "summarize")

    talk(make_server(service, history), conversation)


def test_a_bug_is_told_by_its_kind_alone(
    service: Service, history: HistoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a text of the user")

    monkeypatch.setattr("trsr_lite.recommender.recommender.Recommender.summarize", broken)
    history.append({"title": "Rye"})

    async def conversation(client: Client) -> None:
        told = await failed(client, "summarize")
        assert "ZeroDivisionError" in told
        assert "a text" not in told

    talk(make_server(service, history), conversation)


def test_a_call_that_is_cancelled_ends_its_job(service: Service, history: HistoryFile, gate: Gate) -> None:
    for number in range(20):
        history.append({"title": f"Film {number}"})

    async def conversation(client: Client) -> None:
        call = asyncio.ensure_future(client.call_tool("summarize", {}))
        await asyncio.to_thread(gate.reached)
        call.cancel()
        await asyncio.wait([call])
        await asyncio.to_thread(gate.open)
        await asyncio.to_thread(wait_until, lambda: service.queue.state() == ([], None))
        assert gate.asked.qsize() <= 3, "the rest of the summaries was made for nobody"

    talk(make_server(service, history), conversation)


def test_the_command_serves_the_official_client_over_stdio(tiny: Path, tmp_path: Path) -> None:
    options = ["-m", str(tiny), "--threads", "1", "--cache-dir", str(tmp_path / "cache")]
    arguments = ["-m", "trsr_lite", "serve", "--mcp", "--history", str(tmp_path / "me.json"), *options]

    async def conversation(client: Client) -> None:
        assert [tool.name for tool in (await client.list_tools()).tools] == TOOLS
        for title in ("Rye", "Wheat"):
            await said(client, "remember", title=title, feedback="like")
        ranked = await said(client, "recommend", candidates=["Spelt", "Tax law"])
        assert sorted(entry["title"] for entry in ranked["ranking"]) == ["Spelt", "Tax law"]

    path = [str(Path(__file__).parents[3])]
    talk(StdioServerParameters(command=sys.executable, args=arguments, env={"PYTHONPATH": path[0]}), conversation)
    assert len(json.loads((tmp_path / "me.json").read_text())["history"]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mcp"], "--mcp and --history need each other"),
        (["--history", "x.json"], "--mcp and --history need each other"),
        (["--mcp", "--history", "x.json", "--http", "0"], "are two servers"),
    ],
)
def test_a_wrong_flag_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", *arguments]) == 2
    assert said in capsys.readouterr().err.splitlines()[0]


def test_a_history_that_is_none_is_told_before_anything_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.json").write_text("[]")
    assert run(["serve", "--mcp", "--history", str(tmp_path / "x.json")]) == 4
    assert "is no user file" in capsys.readouterr().err


def test_without_the_extra_its_command_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "trsr_lite.serve.mcp.tools", raising=False)
    monkeypatch.delattr("trsr_lite.serve.mcp.tools", raising=False)
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    assert run(["serve", "--mcp", "--history", "x.json"]) == 2
    assert capsys.readouterr().err.splitlines()[1] == "hint: pip install 'trsr-lite[mcp]'"
