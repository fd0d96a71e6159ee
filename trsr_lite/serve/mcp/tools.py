"""The tools of an assistant: recommend, summarize, remember, forget.

Invariant: a tool that fails says in one line what is wrong and what to do, for the model to read; a bug says its kind
alone. No tool reads or writes any file but the history.
"""

from __future__ import annotations

import itertools
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from trsr_lite import __version__
from trsr_lite.errors import TrsrError
from trsr_lite.serve.awaited import awaited
from trsr_lite.serve.mcp.history import HistoryFile
from trsr_lite.serve.message import Refused
from trsr_lite.serve.methods import Forget, Recommend, Summarize
from trsr_lite.serve.service import Service

logger = logging.getLogger(__name__)

ABOUT = """Ranks things to read, watch or buy by what this person read before, with a small model on their own machine.
Call `remember` when the person read or chose something, with what they thought of it. Call `recommend` with candidates
that you found elsewhere: it knows no catalog. Nothing leaves the machine."""

LAST_SECONDS = 5.0  # for what runs when stdin is closed
Candidate = Annotated[str | dict[str, Any], Field(description="A title, or an object with a title and other texts.")]
Feedback = Annotated[
    Literal["like", "dislike", "skip"] | None, Field(description="What the person thought of it, if they said so.")
]
READ = ToolAnnotations(read_only_hint=True, open_world_hint=False)
WRITE = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
DELETE = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)


class Tools:
    """What an assistant can call, on one history."""

    def __init__(self, service: Service, history: HistoryFile) -> None:
        self._service, self._history = service, history
        self._ids = itertools.count(1)

    async def recommend(
        self,
        candidates: Annotated[list[Candidate], Field(min_length=1, max_length=10_000, description="What to rank.")],
        k: Annotated[int, Field(ge=1, description="How many of the best to return.")] = 10,
    ) -> dict[str, Any]:
        """Rank candidates by the person's history, best first, with reasons."""
        items = [{**_texts(candidate), "id": str(place)} for place, candidate in enumerate(candidates)]
        with _told():
            user = self._history.read()
            result = await self._run("recommend", lambda: Recommend(user=user, candidates=items, k=k))
            titles = {str(item.get("id")): item.get("title", "") for item in user["history"]}
        return {
            "summary": result["summary"],
            "ranking": [
                {
                    "rank": entry["rank"],
                    "title": entry["title"],
                    "candidate": int(entry["id"]),
                    "score": round(entry["score"], 3),
                    "like": [titles[name] for name in entry["because"] if titles.get(name)],
                    "parts": {name: round(value, 3) for name, value in entry["parts"].items()},
                }
                for entry in result.get("recommendations", ())
            ],
        }

    async def summarize(self) -> dict[str, Any]:
        """Say in a few sentences what the person likes, from their history."""
        with _told():
            user = self._history.read()
            result = await self._run("summarize", lambda: Summarize(user=user))
        return {"summary": result["summary"], "items": len(user["history"])}

    async def remember(
        self,
        title: Annotated[str, Field(min_length=1, max_length=2000, description="What was read, watched or chosen.")],
        feedback: Annotated[
            Feedback | None, Field(description="What the person thought of it, if they said so.")
        ] = None,
        texts: Annotated[
            dict[str, str] | None, Field(description="Other texts about it, such as category, author or abstract.")
        ] = None,
    ) -> dict[str, Any]:
        """Add an item to the end of the person's history."""
        now = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        known = {name: text for name, text in (texts or {}).items() if name not in ("id", "time", "feedback", "title")}
        item = {"title": title, **known, "time": now, **({"feedback": feedback} if feedback else {})}
        with _told():
            return {"items": self._history.append(item)}

    async def forget(
        self,
        title: Annotated[str | None, Field(description="The item to take out of the history.")] = None,
        everything: Annotated[bool, Field(description="Delete the whole history and all that was learned.")] = False,
    ) -> dict[str, Any]:
        """Take an item out of the person's history, or delete everything. Ask the person before."""
        if (title is None) != everything:
            raise ToolError("give either a title or everything=true")
        with _told():
            user_id = str(self._history.read().get("user_id") or "")
            removed = self._history.clear() if title is None else self._history.remove(title)
            forgotten = 0
            if removed and user_id:  # summaries rest on what has gone; they are made again from what is left
                result = await self._run("forget", lambda: Forget(user_id=user_id))
                forgotten = result["forgotten"]
        return {"removed": removed, "summaries_deleted": forgotten}

    async def _run(self, method: str, params: Callable[[], Any]) -> Any:
        return await awaited(self._service, lambda: (method, params()), id=f"mcp-{next(self._ids)}")


def make_server(service: Service, history: HistoryFile) -> MCPServer[Any]:
    """The server of a service and a history."""
    server: MCPServer[Any] = MCPServer("trsr-lite", version=__version__, instructions=ABOUT, log_level="WARNING")
    tools = Tools(service, history)
    ways: Mapping[str, tuple[Callable[..., Awaitable[Any]], ToolAnnotations]] = {
        "recommend": (tools.recommend, READ),
        "summarize": (tools.summarize, READ),
        "remember": (tools.remember, WRITE),
        "forget": (tools.forget, DELETE),
    }
    for name, (way, kind) in ways.items():
        server.add_tool(way, name=name, annotations=kind, structured_output=True)
    return server


def serve(service: Service, history: HistoryFile) -> None:
    """Serve on stdin and stdout until stdin is closed."""
    try:
        make_server(service, history).run("stdio")
    finally:
        service.close(LAST_SECONDS)


@contextmanager
def _told() -> Iterator[None]:
    """Errors in words for the model: what is wrong, and what to do."""
    try:
        yield
    except (TrsrError, Refused) as error:
        hint = error.data.get("hint") if isinstance(error, Refused) else error.hint
        raise ToolError(f"{error}{f' ({hint})' if hint else ''}") from error
    except Exception as bug:  # noqa: BLE001 - a bug is reported, and the next call is served
        place = "".join(traceback.format_tb(bug.__traceback__)).rstrip()
        logger.error("a bug: %s\n%s", type(bug).__name__, place)
        raise ToolError(f"a bug: {type(bug).__name__}") from None


def _texts(candidate: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"title": candidate} if isinstance(candidate, str) else dict(candidate)
