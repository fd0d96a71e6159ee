"""`trsr-lite recommend`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trsr_lite.cli import flags, manual, retrieval
from trsr_lite.options import Option
from trsr_lite.settings import RankOptions

if TYPE_CHECKING:
    from trsr_lite.results import Result

LONGEST_NAME = 1000  # characters of what may name a file
LARGEST = 1 << 20  # bytes of a summary's file that are read; the model reads far fewer


@manual.command(
    "recommend",
    """Rank candidates for a user, best first.

    The user file holds `history`, oldest first, and `candidates`. Each item needs an `id` and some text, such as a
    `title`. Candidates can also come from a file (--candidates) or from many items (--catalog).

    The default ranks at once by signals such as words and categories, without its language model. --signals model ranks
    by that model. The first run then writes summaries, which takes a while; later runs reuse them.

    A model of your own may rank by both: on a terminal the other signals show their order at once, and the model
    settles it.
    """,
    examples="""
    trsr-lite recommend --user examples/news_reader.json
    trsr-lite recommend --user me.json --candidates new_items.jsonl --top 5
    trsr-lite recommend --user me.json --catalog items.catalog --json
    trsr-lite recommend --user me.json --explain --budget 2
    """,
)
@flags.user
@flags.candidates
@flags.model
@flags.top
@flags.exact
@flags.flag("--explain", is_flag=True, help="Say why each candidate stands where it does, and show each summary.")
@flags.flag(
    "--budget",
    type=flags.Number(float, Option("", at_least=0)),
    metavar="SECONDS",
    help="Answer within this time as well as possible.  [default: no limit]",
)
@flags.flag(
    "--summary",
    metavar="TEXT|FILE",
    help="Your own words on what you like; the model reads them in place of a summary.",
)
@retrieval.flags
@flags.settings
@flags.ranking
@flags.machine
@flags.folders
@flags.cache_size
@flags.as_json
def command(explain: bool, budget: float | None, summary: str | None, as_json: bool, **chosen: Any) -> None:
    from trsr_lite.cli import session
    from trsr_lite.recommender import reasons

    rank = flags.taken(RankOptions, chosen)
    undo = ""

    def show_first(result: Result) -> None:
        from trsr_lite.cli import tables

        nonlocal undo
        session.clear_progress()
        undo = tables.print_first(result, tables.console())

    partial = show_first if sys.stdout.isatty() and not as_json else None
    user, candidates = session.read_input(chosen)
    with (
        session.interruptible(),
        retrieval.opened(chosen) as found,
        session.reporting() as progress,
        session.load(chosen, progress) as recommender,
        session.naming(chosen),
    ):
        result = recommender.recommend(
            user,
            candidates,
            k=rank.k,
            exact=rank.exact,
            budget=budget,
            summary=_text_of(summary),
            progress=progress,
            partial=partial,
            **found,
        )
        bundle = recommender.bundle
        # The user's own words serve a reason even where the model was trained on others.
        domain = recommender.settings.domain if chosen["domain"] else user.domain or recommender.settings.domain
    from trsr_lite.cli import tables

    if as_json:
        tables.print_json(result.to_dict(explain=explain))
    else:
        console = tables.console()
        console.file.write(undo)
        tables.print_summary(result, console)
        if explain:
            tables.print_summaries(result, console)
        tables.print_ranking(result, console)
        tables.print_skipped(result, console)
        if explain:
            tables.print_reasons(result, [reasons.explain(entry, user, bundle, domain) for entry in result], console)
            tables.print_stats(result, console)
    session.hint(result.hint)
    if result.hint is None and sys.stderr.isatty() and not (explain or as_json):
        session.hint("`--explain` says why each stands where it does; `trsr-lite prompt` shows what the model reads")


def _text_of(summary: str | None) -> str | None:
    """The text itself, or that of the file of this name; raises `DataError` for a file that is no text."""
    from trsr_lite.errors import DataError

    path = Path(summary) if summary and len(summary) < LONGEST_NAME and "\n" not in summary else None
    if path is None or not path.is_file():
        return summary
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST)
        return text.decode("utf-8-sig", errors="strict" if len(text) < LARGEST else "ignore")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: it is not a text in UTF-8") from error
