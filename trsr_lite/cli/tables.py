"""What people read: panels and tables on stdout.

Invariant: item and model text is shown as text. It is folded (no control characters reach the terminal) and never read
as markup.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from trsr_lite.models.bundle import Bundle
from trsr_lite.prompts.templates import fold
from trsr_lite.results import Result
from trsr_lite.signals.signal import MODEL

WIDE = 60  # columns of a terminal that has room for margins beside titles


def console() -> Console:
    """Where tables go."""
    return Console()


def print_json(data: Any) -> None:
    """Indented JSON on stdout, in UTF-8 whatever the terminal's encoding."""
    text = json_bytes(data)
    sys.stdout.flush()
    sys.stdout.buffer.write(text)


def json_bytes(data: Any) -> bytes:
    """Indented JSON, in UTF-8."""
    try:
        return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # the name of a file may be no Unicode text
        return f"{json.dumps(data, indent=2)}\n".encode()


def print_summary(result: Result, console: Console) -> None:
    """The preference summary in a panel."""
    if result.summary is None and result.recommendations and not any(MODEL in e.parts for e in result.recommendations):
        text = "ranked by signals, without the language model; `trsr-lite summarize` says what this user likes"
        console.print(text, style="dim", highlight=False)
        return
    if result.summary is None:
        text = "no summary: the strategy is none" if result.strategy == "none" else "no summary yet: too few items"
        console.print(Panel(Text(f"{text}; recent items only", style="dim"), title="What the model knows"))
    else:
        console.print(Panel(Text(fold(result.summary)), title="What the model knows", title_align="left"))


def print_summaries(result: Result, console: Console) -> None:
    """The summaries it was made from, oldest first, and where each came from; nothing where there are none."""
    if not result.nodes:
        return
    table = Table("made by", "from", "items", "summary", title="Summaries, oldest first", title_justify="left")
    for node in result.nodes:
        items = f"{node.items[0].id} … {node.items[-1].id}" if node.items else "summaries above"
        table.add_row(node.kind, node.source, Text(fold(items)), Text(fold(node.text)))
    console.print(table)


def print_ranking(result: Result, console: Console) -> None:
    """The ranking; `~` marks candidates whose order is within the noise of computing."""
    table = Table(title=Text(f"Recommended for {fold(result.user_id) or 'this user'}"), title_justify="left")
    table.add_column("#", justify="right", min_width=3)
    table.add_column("id", overflow="fold")
    table.add_column("title", overflow="fold")
    table.add_column("score", justify="right", min_width=5)
    wide = console.width >= WIDE
    if wide:
        table.add_column("margin", justify="right", min_width=6)
    for entry in result.recommendations:
        table.add_row(
            f"{entry.rank}{'~' if entry.tied else ' '}",
            Text(fold(entry.item.id)),
            Text(fold(entry.item.title)),
            f"{entry.score:.3f}",
            *[f"{entry.margin:+.3f}"] * wide,
        )
    console.print(table)
    if any(entry.tied for entry in result.recommendations):
        console.print("~ too close to call: the difference is within the noise of batched scoring", style="dim")


def print_first(result: Result, console: Console) -> str:
    """The first order, before the model has refined it; returns what takes it from the screen again.

    Nothing is printed where it would not stay on the screen.
    """
    with console.capture() as captured:
        print_ranking(result, console)
        console.print("first order: the model is at work", style="dim")
    text = captured.get()
    lines = text.count("\n")
    if not console.is_terminal or lines >= console.height:
        return ""
    console.file.write(text)
    console.file.flush()
    return f"\x1b[{lines}A\r\x1b[J"


def print_reasons(result: Result, reasons: Sequence[str], console: Console) -> None:
    """Why each candidate stands where it does."""
    for entry, reason in zip(result.recommendations, reasons, strict=True):
        console.print(Text(f"{entry.rank:3}  {fold(entry.item.title)}"))
        console.print(Padding(Text(fold(reason), style="dim"), (0, 0, 0, 5)))


def print_skipped(result: Result, console: Console) -> None:
    """What a budget left no time for; nothing where there was time for all."""
    if result.skipped is None:
        return
    ranked = {entry.item.id for entry in result.recommendations}
    others = any(item.id in ranked for item in result.skipped.candidates)
    count = len(result.skipped.candidates)
    if count:
        what = "ranked by the other signals" if others else "not ranked"
        console.print(f"no time for the model: {count} candidates are {what}", style="dim")
    if result.skipped.blocks:
        console.print(f"no time to summarize {result.skipped.blocks} blocks of the history", style="dim")


def print_signals(signals: Mapping[str, Any] | None, console: Console) -> None:
    """What a bundle ranks by, and how much a deviation of each signal counts."""
    if signals is None:
        print_facts("Signals", [("model", "alone: this bundle has no fusion")], console)
        return
    fusion, statistics = signals["fusion"], signals["statistics"]
    facts = [(name, f"{weight['weight']:.3f}") for name, weight in fusion["weights"].items()]
    facts += [("statistics", f"{statistics['file']} ({statistics['size']} bytes, {statistics['digest']})")]
    facts += [("fitted on", _plain(fusion["fitted_on"]) or "unknown")]
    print_facts("Signals, and their weights", facts, console)


def print_tuning(found: Mapping[str, Any], console: Console) -> None:
    """The weights that were learned, and how they rank people that they never saw."""
    facts = [(name, f"{weight:.3f}") for name, weight in found["weights"].items()]
    print_facts("Signals, and their weights", facts, console)
    table = Table("figure", "before", "after", "change [95 %]", title=f"{found['lists']} lists, {found['users']} users")
    for name, one in found["metrics"].items():
        before, change = "–", "–"
        if "before" in one:
            before = f"{one['before']:.3f}"
            change = f"{one['value']:+.3f}" + (
                f" [{one['low']:+.3f}, {one['high']:+.3f}]" if one["low"] is not None else ""
            )
        table.add_row(name, before, f"{one['after']:.3f}", change)
    console.print(table)
    console.print(Text(f"bundle: {found['bundle']}"))


def print_stats(result: Result, console: Console) -> None:
    """One line on what it cost; of a model that did nothing it says nothing."""
    stats = result.stats
    said = [f"items: {stats.history_items}, blocks: {stats.blocks}"]
    if stats.summary_calls or stats.summary_cache_hits:
        said.append(f"summaries: {stats.summary_calls} made, {stats.summary_cache_hits} from the cache")
    if stats.margin_cache_hits or stats.evaluated_tokens:
        said.append(f"margins: {stats.margin_cache_hits} from the cache, {stats.evaluated_tokens} tokens read")
    said.append(", ".join(f"{name} {value:.2f} s" for name, value in stats.seconds.items()))
    console.print("; ".join(said), style="dim", highlight=False)


def print_conversion(bundle: Bundle, console: Console) -> None:
    """A bundle that was made, and the proof of its ranking."""
    print_comparisons(bundle.verified["steps"], console)
    files = {"recommender": bundle.recommender, "summarizer": bundle.summarizer}
    facts = [(role, f"{file.path.name} ({file.type}, {file.size / 2**20:.0f} MiB)") for role, file in files.items()]
    types = ", ".join(f"{count} {name}" for name, count in bundle.measured["tensor_types"].items())
    print_facts(f"Bundle {bundle.name}", [*facts, ("tensors", types), ("noise floor", bundle.noise_floor)], console)


def print_comparisons(steps: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """How each step ranks against the trained model."""
    table = Table(
        "step", "largest difference", "Kendall tau", "top 3", "Recall@3", "MRR@10", title="Did the ranking survive?"
    )
    for name, step in steps.items():
        changes = [f"{value[0]:+.3f} [{value[1]:+.3f}, {value[2]:+.3f}]" for value in (step["recall"], step["mrr"])]
        table.add_row(name, f"{step['max_difference']:.3f}", f"{step['tau']:.4f}", f"{step['top']:.3f}", *changes)
    console.print(table)


def print_evaluation(result: Mapping[str, Any], console: Console) -> None:
    """What each system reaches on the same lists, and how it compares with the first one."""
    table = Table("system", title=f"{result['lists']} lists", title_justify="left")
    table.add_column("Recall@3 [95 %]", justify="right", no_wrap=True)
    for _, head in _SHOWN:
        table.add_column(head, justify="right")
    for name, figures in result["systems"].items():
        rest = [f"{figures[metric]['value']:.3f}" for metric, _ in _SHOWN]
        table.add_row(Text(fold(name)), _interval(figures["recall@3"]), *rest)
    console.print(table)
    _print_comparisons(result["comparisons"], console)
    for one in result.get("model_adds", ()):
        console.print(Text(f"what {fold(one['system'])} adds to the simple signals, fused: {_added(one['metrics'])}"))
    for group, found in result["groups"].items():
        values = ", ".join(f"{name} {figures['recall@3']['value']:.3f}" for name, figures in found["systems"].items())
        console.print(Text(f"{group} ({found['lists']} lists), Recall@3: {values or 'none'}", style="dim"))
    for name, study in result.get("studies", {}).items():
        _print_study(name, study, console)
    if stage := result.get("first_stage"):
        popular = f"; popularity {_interval(stage['popularity'])}" if stage["popularity"] else ""
        among = f"among the first {stage['count']} of {stage['items']:,} items"
        console.print(Text(f"first stage, the user's item {among}: catalog {_interval(stage['catalog'])}{popular}"))
    for note in result["notes"]:
        console.print(Text(f"note: {fold(note)}"))


def _print_comparisons(comparisons: Sequence[Mapping[str, Any]], console: Console) -> None:
    """How far each system is above the first one, and the smallest differences that the lists could have shown."""
    if not comparisons:
        return
    table = Table("system", title=Text(f"\nagainst {fold(comparisons[0]['against'])}"), title_justify="left")
    for metric in ("Recall@3", "AUC"):
        table.add_column(f"{metric} [95 %]", justify="right", no_wrap=True)
        table.add_column("p", justify="right", no_wrap=True)
    for one in comparisons:
        found = (one, one["others"]["auc"])
        cells = [text for each in found for text in (_interval(each, "+"), f"{each['p']:.3f}")]
        table.add_row(Text(fold(one["system"])), *cells)
    console.print(table)
    ranges = []
    for metric, values in (
        ("Recall@3", [one["detectable"] for one in comparisons]),
        ("AUC", [one["others"]["auc"]["detectable"] for one in comparisons]),
    ):
        if known := sorted(f"{value:.3f}" for value in values if value):
            ranges.append(f"{metric} {known[0] if known[0] == known[-1] else f'{known[0]} to {known[-1]}'}")
    if ranges:
        console.print(Text(f"smallest difference that these lists could show: {', '.join(ranges)}"))


def _added(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """How far a fusion with a model is above the one without."""
    parts = []
    for name, head in (("auc", "AUC"), ("recall@3", "Recall@3")):
        found = metrics[name]
        parts.append(
            f"{head} {found['without']:.3f} to {found['with']:.3f}, {_interval(found, '+')}, p {found['p']:.3f}"
        )
    return "; ".join(parts)


def _print_study(name: str, study: Mapping[str, Any], console: Console) -> None:
    """One study: every variant and system (named where there are several), and how far it is from the reference."""
    several = len({row["system"] for row in study["rows"]}) > 1
    table = Table(title=Text(f"\n{name}: {study['question']}"), title_justify="left")
    for head in (study["axis"], *["system"] * several):
        table.add_column(head, overflow="fold")
    table.add_column("Recall@3 [95 %]", justify="right", no_wrap=True)
    table.add_column("MRR@10", justify="right")
    table.add_column(f"against {study['reference']}", justify="right", no_wrap=True)
    table.add_column("p", justify="right")
    for row in study["rows"]:
        change = row["change"]
        compared = (_interval(change, "+"), f"{change['p']:.3f}") if change else ("", "")
        names = (row["variant"], *[Text(fold(row["system"]))] * several)
        table.add_row(*names, _interval(row["recall@3"]), f"{row['mrr@10']['value']:.3f}", *compared)
    console.print(table)


_SHOWN = (
    ("ndcg@10", "nDCG@10"),
    ("auc", "AUC"),
    ("recall@5", "@5"),
    ("recall@10", "@10"),
    ("mrr@10", "MRR@10"),
)


def _interval(figure: Mapping[str, Any], sign: str = "") -> str:
    text = f"{figure['value']:{sign}.3f}"
    return text if figure["low"] is None else f"{text} [{figure['low']:{sign}.2f}, {figure['high']:{sign}.2f}]"


def print_facts(title: str, facts: Iterable[tuple[str, Any]], console: Console) -> None:
    """Name and value pairs."""
    table = Table(title=Text(fold(title)), title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")  # a digest or a path is never shortened
    for name, value in facts:
        table.add_row(name, Text(fold(_plain(value, name))))
    console.print(table)


def print_rows(names: Sequence[str], rows: Iterable[Sequence[str]], console: Console) -> None:
    """A table of texts; its first column is never broken."""
    table = Table()
    for number, name in enumerate(names):
        table.add_column(name, no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(fold(text)) for text in row))
    console.print(table)


def _plain(value: Any, of: str = "") -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(entry, name)}" for name, entry in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value)) or ("all" if of == "attributes" else "unknown")
    return "unknown" if value is None else str(value)
