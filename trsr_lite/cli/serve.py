"""`trsr-lite serve`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from trsr_lite.cli import flags, manual
from trsr_lite.errors import SettingsError

if TYPE_CHECKING:
    from trsr_lite.recommender.recommender import Recommender
    from trsr_lite.results import OnProgress

CHUNK = 1 << 16
STDIN, STDOUT, STDERR = 0, 1, 2


@manual.command(
    "serve",
    """Serve another program on stdin and stdout.

    Each line is one JSON-RPC 2.0 message; see docs/reference/protocol.md. Flags are the defaults of requests.

    The server ends after `shutdown`, or when stdin is closed and all is answered. It also ends with the program that
    started it.
    """,
    examples="""
    trsr-lite serve
    trsr-lite serve -m my_bundle --unload-after 300
    """,
)
@flags.model
@flags.settings
@flags.ranking
@flags.machine
@flags.unload_after
@flags.folders
def command(**chosen: Any) -> None:
    from trsr_lite.cli import session
    from trsr_lite.serve import parent
    from trsr_lite.serve.recommenders import Recommenders
    from trsr_lite.serve.server import Server
    from trsr_lite.summaries.store import SummaryStore

    alive = parent.watch()
    if os.isatty(STDIN):
        click.echo('reading messages, such as {"jsonrpc": "2.0", "id": 1, "method": "status"}', err=True)

    def open_recommender(model: str | None, progress: OnProgress | None) -> Recommender:
        return session.load({**chosen, "model": model or chosen["model"]}, progress)

    source, sink = take_channels()
    server = Server(
        Recommenders(open_recommender, SummaryStore.at(chosen["cache_dir"])),
        lambda: os.read(source, CHUNK),
        lambda data: os.write(sink, data),
    )
    with session.interruptible():
        server.run(alive)


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
