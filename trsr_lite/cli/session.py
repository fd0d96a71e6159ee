"""From parsed options to a loaded `Recommender`, with progress on a terminal."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from trsr_lite.cli import flags
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.errors import Cancelled, DataError
from trsr_lite.models.bundle import Bundle
from trsr_lite.prompts import languages
from trsr_lite.recommender import user_files
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.records import Item, User
from trsr_lite.results import OnProgress, Progress

logger = logging.getLogger(__name__)
PAUSE = 2.0  # seconds between two lines of a log, and before a time that is left is worth saying
TOLD = 0.05  # of a stage that must be done to tell how long it lasts


def read_input(options: dict[str, Any]) -> tuple[User, list[Item] | None]:
    """The user and, where a file was given, the candidates."""
    file, columns = options.get("candidate_file"), options["columns"]
    table = user_files.is_table(options["user_file"])
    user = user_files.read_user(
        options["user_file"],
        user_id=options["user_id"],
        sort_history=options["sort_history"],
        columns=columns if table or not (file or options.get("catalog")) else None,
    )
    candidates = user_files.read_candidates(file, None if table else columns) if file else None
    _look_for(options["attributes"] or (), [*user.history, *(candidates or user.candidates)])
    options["user"] = user
    return user, candidates


def _look_for(attributes: Sequence[str], items: Iterable[Item]) -> None:
    """Warn of attributes that no item has, which may be misspelt. If no item has any of them, that is an error."""
    known = {name for item in items for name in item.attributes}
    if not known.isdisjoint(attributes):
        for name in attributes:
            if name not in known:
                logger.warning("--attributes: no item of this user has a %r", name)


def load(options: dict[str, Any], progress: OnProgress | None = None) -> Recommender:
    """A recommender as the options say, and where they say nothing, as the user that was read does."""
    recommender = Recommender.load(
        options["model"],
        options=flags.taken(EngineOptions, dict(options)),
        cache_dir=options["cache_dir"],
        cache_size=cache_bytes(options),
        data_dir=options["data_dir"],
        offline=options["offline"],
        unload_after=options.get("unload_after"),
        background=options.get("background", False),
        progress=progress,
        **{name: options.get(name) for name in (*flags.SETTING_NAMES, *flags.RANKING_NAMES)},
    )
    user: User | None = options.get("user")
    if user is None:
        return recommender
    _mention_language(user, recommender.bundle)
    known = recommender.bundle.domains
    if user.domain is None or options.get("domain") is not None or (known and user.domain not in known):
        return recommender
    return recommender.with_settings(recommender.settings.updated(domain=user.domain))


def _mention_language(user: User, bundle: Bundle) -> None:
    """Say where the history is in a language that the model does not read; it ranks all the same."""
    base = str(bundle.base.get("name") or bundle.name)
    if found := languages.unread(user.history, base):
        signals = " --signals words,taste" if bundle.signals else ""
        logger.warning(
            "the history looks %s, which %s does not read: try `--strategy none%s`, or a model of `trsr-lite models`",
            *(found, bundle.name, signals),
        )


def cache_bytes(options: dict[str, Any]) -> int | None:
    """Most bytes of the store, where the options say so."""
    megabytes = options.get("cache_size")
    return None if megabytes is None else int(megabytes) * 1_000_000


@contextmanager
def naming(options: dict[str, Any]) -> Iterator[None]:
    """Data errors within name the file that the data came from."""
    try:
        yield
    except DataError as error:
        files = [options["user_file"], options.get("candidate_file")]
        names = " and ".join("stdin" if file == "-" else file for file in files if file)
        raise DataError(f"{names}: {error}", hint=error.hint) from error


@contextmanager
def interruptible(kept: str = "finished summaries are kept") -> Iterator[None]:
    """Ctrl-C within the block ends the command with a line that says what is kept, and how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Cancelled(f"Interrupted; {kept}") from stop


@contextmanager
def reporting(*, log: bool = False) -> Iterator[OnProgress]:
    """A progress callback: one line that rewrites itself on a terminal.

    Elsewhere only preparing and fetching, done once, are announced, and with `log` every tenth of what takes long.
    """
    terminal = sys.stderr.isatty()
    if not terminal:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the hub's client reads it when it is imported
    announced, tenths, last = False, 0, time.monotonic()
    stage, began = "", last

    def show(progress: Progress) -> None:
        nonlocal announced, tenths, last, stage, began
        if progress.stage != stage:
            stage, began = progress.stage, time.monotonic()
        if int(progress.fraction * 10) < tenths:  # another stage has begun
            tenths = 0
        if terminal:
            bar = f" {progress.fraction:4.0%}" if progress.fraction else ""
            left = time_left(time.monotonic() - began, progress.fraction)
            click.echo(f"\r\x1b[K{progress.stage}{bar}{left}", nl=False, err=True)
        elif progress.stage.startswith("prepare") and not announced:
            click.echo("preparing the embedded model for this machine (once, some seconds)", err=True)
            announced = True
        elif progress.stage.startswith("fetch"):
            click.echo(progress.stage, err=True)
        elif log and int(progress.fraction * 10) > tenths and time.monotonic() - last >= PAUSE:
            tenths, last = int(progress.fraction * 10), time.monotonic()
            click.echo(f"{progress.stage}: {progress.fraction:.0%}", err=True)

    try:
        yield show
    finally:
        if terminal:
            click.echo("\r\x1b[K", nl=False, err=True)


def clear_progress() -> None:
    """Take the line that rewrites itself from a terminal, so that something else may stand there."""
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)


def time_left(seconds: float, fraction: float) -> str:
    """How long a stage still lasts, for people; empty where that is short, or cannot be told yet."""
    if fraction < TOLD or seconds < PAUSE:
        return ""
    left = seconds * (1 - fraction) / fraction
    if left < PAUSE:
        return ""
    return f", about {left:.0f} s left" if left < 100 else f", about {left / 60:.0f} min left"


def hint(text: str | None) -> None:
    """A hint for people, on stderr."""
    if text:
        click.echo(f"hint: {text}", err=True)
