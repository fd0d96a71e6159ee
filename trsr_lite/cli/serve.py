"""`trsr-lite serve`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from trsr_lite.cli import flags, manual
from trsr_lite.errors import SettingsError

if TYPE_CHECKING:
    from trsr_lite.recommender.recommender import Recommender
    from trsr_lite.results import OnProgress
    from trsr_lite.serve.recommenders import Recommenders

CHUNK = 1 << 16
STDIN, STDOUT, STDERR = 0, 1, 2
_HTTP, _MCP = "HTTP", "MCP"


@manual.command(
    "serve",
    """Serve programs (stdin, HTTP) and assistants (MCP).

    On stdin each line is one JSON-RPC 2.0 message; see docs/reference/protocol.md. The server ends after `shutdown`, or
    when stdin is closed and all is answered. It also ends with the program that started it.

    With `--http` it answers `/v1/rerank` as rerankers do, `/v1/recommend`, and a page for people at `/`; see
    docs/guides/http.md. Only this machine can connect, unless you allow others.

    With `--mcp` an assistant can recommend, summarize, remember and forget, on a history in one file; see
    docs/guides/mcp.md. Flags are the defaults of requests.
    """,
    examples="""
    trsr-lite serve
    trsr-lite serve -m my_bundle --unload-after 300
    trsr-lite serve --http 8080
    trsr-lite serve --mcp --history history.json
    """,
)
@flags.flag("--http", metavar="[HOST:]PORT", help="Serve over HTTP there. Port 0 finds a free one.", heading=_HTTP)
@flags.flag("--token-file", metavar="FILE", help="File of the token that clients must send.", heading=_HTTP)
@flags.flag("--allow-remote", is_flag=True, help="Let other machines connect. Needs `--token-file`.", heading=_HTTP)
@flags.flag("--mcp", is_flag=True, help="Serve the Model Context Protocol. Needs `--history`.", heading=_MCP)
@flags.flag("--history", metavar="FILE", help="User file to read and append to. It need not exist.", heading=_MCP)
@flags.model
@flags.settings
@flags.ranking
@flags.machine
@flags.unload_after
@flags.folders
@flags.cache_size
def command(
    http: str | None, token_file: str | None, allow_remote: bool, mcp: bool, history: str | None, **chosen: Any
) -> None:
    from trsr_lite.cli import session
    from trsr_lite.serve.recommenders import Recommenders
    from trsr_lite.summaries.store import SummaryStore

    def open_recommender(model: str | None, progress: OnProgress | None) -> Recommender:
        return session.load({**chosen, "model": model or chosen["model"]}, progress)

    def recommenders() -> Recommenders:
        return Recommenders(open_recommender, SummaryStore.at(chosen["cache_dir"], session.cache_bytes(chosen)))

    if http is None and (token_file or allow_remote):
        raise SettingsError("--token-file and --allow-remote need `--http`")
    if mcp != (history is not None):
        raise SettingsError("--mcp and --history need each other", hint="--mcp --history history.json")
    if mcp and http is not None:
        raise SettingsError("--mcp and --http are two servers", hint="start each by itself: they share the cache")
    if history is not None:
        _serve_mcp(history, recommenders)
    elif http is not None:
        _serve_http(http, token_file, allow_remote, chosen["model"], recommenders)
    else:
        _serve_stdio(recommenders)


def _serve_stdio(recommenders: Callable[[], Recommenders]) -> None:
    from trsr_lite.cli import session
    from trsr_lite.serve import parent
    from trsr_lite.serve.server import Server

    alive = parent.watch()
    if os.isatty(STDIN):
        click.echo('reading messages, such as {"jsonrpc": "2.0", "id": 1, "method": "status"}', err=True)
    source, sink = take_channels()
    server = Server(recommenders(), lambda: os.read(source, CHUNK), lambda data: os.write(sink, data))
    with session.interruptible():
        server.run(alive)


def _serve_http(
    where: str, token_file: str | None, remote: bool, model: str, recommenders: Callable[[], Recommenders]
) -> None:
    from trsr_lite.cli import session
    from trsr_lite.serve.service import Service

    try:
        from trsr_lite.serve.http import listener
        from trsr_lite.serve.http.app import make_app
    except ModuleNotFoundError as error:
        raise SettingsError(f"--http needs {error.name}", hint="pip install 'trsr-lite[http]'") from error
    address = listener.Address.parse(where)
    token = listener.read_token(token_file) if token_file else None
    with listener.open_socket(address, remote=remote, token=token) as found:
        service = Service(recommenders())
        app = make_app(service, listener.access(address, remote=remote, token=token), model=model)
        click.echo(f"listening on {listener.url(found)}", err=True)
        with session.interruptible():
            listener.serve(app, found, service)


def _serve_mcp(history: str, recommenders: Callable[[], Recommenders]) -> None:
    from trsr_lite.cli import session
    from trsr_lite.serve.service import Service

    try:
        from trsr_lite.serve.mcp import tools
    except ModuleNotFoundError as error:
        raise SettingsError(f"--mcp needs {error.name}", hint="pip install 'trsr-lite[mcp]'") from error
    from trsr_lite.serve.mcp.history import HistoryFile

    file = HistoryFile(history)
    file.read()  # a file that is none is told now, not to an assistant
    with session.interruptible():
        tools.serve(Service(recommenders()), file)


def take_channels() -> tuple[int, int]:
    """The message channels: nothing else reads this process's stdin, and whatever else prints goes to stderr."""
    if sys.__stdin__ is None or sys.__stdout__ is None:  # so Python finds them where they were closed
        raise SettingsError(
            "stdin and stdout must be open, because messages go through them",
            hint='try it: echo \'{"jsonrpc": "2.0", "id": 1, "method": "status"}\' | trsr-lite serve',
        )
    source, sink = os.dup(STDIN), os.dup(STDOUT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, STDIN)
    os.close(nothing)
    os.dup2(STDERR, STDOUT)
    if os.name == "posix":  # a parent may have left them otherwise; Windows has pipes of that kind alone
        for channel in (source, sink):
            os.set_blocking(channel, True)
    return source, sink
