"""What the window is made of: the ranked list, and the texts beside it.

Invariant: a panel shows what it is given and decides nothing; it knows no worker and no recommender.
"""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from tkinter import ttk

from look import Look
from trsr_lite import Item, Recommendation, Result

Piece = tuple[str, str]  # text and its tag
NEAREST = 3
PARTS = {
    "model": "the model's yes against no",
    "recent": "like the newest articles",
    "tokens": "alike in words",
    "meaning": "alike in meaning",
    "words": "shared words",
    "taste": "your taste",
    "specific": "rare words",
    "attributes": "same sections",
    "popularity": "popular",
    "neighbours": "read together with yours",
    "freshness": "new",
}


class Ranking(ttk.Frame):
    """The candidates, best first: rank, change of rank, title and score."""

    def __init__(self, parent: tk.Misc, look: Look, on_choice: Callable[[], None]) -> None:
        super().__init__(parent)
        self._look, self._titles = look, dict[str, str]()
        self.tree = ttk.Treeview(self, columns=("rank", "change", "title", "score"), show="headings")
        columns = (
            ("rank", "#", 38, "e"),
            ("change", "", 46, "w"),
            ("title", "Title", 120, "w"),
            ("score", "Score", 64, "e"),
        )
        for name, heading, units, anchor in columns:
            self.tree.heading(name, text=heading, anchor=anchor)
            self.tree.column(name, width=look.px(units), stretch=name == "title", anchor=anchor)
        bar = ttk.Scrollbar(self, command=self.tree.yview, takefocus=False)
        self.tree.configure(yscrollcommand=bar.set)
        bar.pack(side="right", fill="y")
        self.tree.pack(side="left", fill="both", expand=True)
        self.tree.bind("<<TreeviewSelect>>", lambda _event: on_choice())
        for key, place in (("<Home>", 0), ("<End>", -1)):
            self.tree.bind(key, lambda _event, place=place: self.order and self.choose(self.order[place]))
        self.tree.bind("<Configure>", lambda _event: self._fit())

    @property
    def chosen(self) -> str | None:
        """The id of the selected candidate."""
        selection = self.tree.selection()
        return selection[0] if selection else None

    @property
    def order(self) -> list[str]:
        """Ids from top to bottom."""
        return list(self.tree.get_children())

    def choose(self, item_id: str) -> None:
        """Select a row, and go on from there with the arrow keys."""
        self.tree.selection_set(item_id)
        self.tree.focus(item_id)
        self.tree.see(item_id)

    def show(self, items: Sequence[Item], entries: Mapping[str, Recommendation], changes: Mapping[str, int]) -> None:
        """Rows in the order of `items`; without an entry there is no rank yet, `changes` are places gained."""
        chosen = self.chosen
        self._titles = {item.id: item.title for item in items}
        self.tree.delete(*self.order)
        columns = ("rank", "change", "title", "score")
        self.tree.configure(displaycolumns=columns if any(changes.values()) else [columns[0], *columns[2:]])
        for item in items:
            entry, change = entries.get(item.id), changes.get(item.id, 0)
            arrow = f"▲ {change}" if change > 0 else f"▼ {-change}" if change < 0 else ""
            score = f"{'~ ' if entry.tied else ''}{entry.score:.2f}" if entry else "–"
            values = (entry.rank if entry else "–", arrow, item.title, score)
            self.tree.insert("", "end", item.id, values=values)
        self._fit()
        if items:
            self.choose(chosen if chosen in self._titles else items[0].id)

    def _fit(self) -> None:
        """Titles that do not fit end in an ellipsis; the article itself shows them whole."""
        room = self.tree.column("title", "width") - self._look.px(12)
        for item_id, title in self._titles.items():
            shown = title
            while shown and self._look.body.measure(f"{shown}…") > room and shown != "…":
                shown = shown[:-1]
            self.tree.set(item_id, "title", title if self._look.body.measure(title) <= room else f"{shown.rstrip()}…")


class Article(ttk.Frame):
    """The selected candidate, whole."""

    def __init__(self, parent: tk.Misc, look: Look, on_read: Callable[[], None]) -> None:
        super().__init__(parent, style="Card.TFrame", padding=look.px(14))
        self._look = look
        self.kicker = ttk.Label(self, style="Kicker.Card.TLabel")
        self.headline = ttk.Label(self, style="Headline.Card.TLabel")
        self.body = ttk.Label(self, style="Body.Card.TLabel")
        self.read = ttk.Button(self, text="Read: add to history", style="Accent.TButton", command=on_read)
        self.read.pack(side="bottom", anchor="w", pady=(look.px(10), 0))
        for label in (self.kicker, self.headline, self.body):
            label.pack(anchor="w", fill="x", pady=(0, look.px(4)))
        self.bind("<Configure>", self._wrap)

    def show(self, item: Item | None) -> None:
        """An article, or none where everything is read."""
        attributes = item.attributes if item else {}
        sections = [attributes[name] for name in ("category", "subcategory") if name in attributes]
        self.kicker.configure(text=" · ".join(sections).upper())
        self.headline.configure(text=item.title if item else "Everything is read")
        self.body.configure(text=attributes.get("abstract", ""))
        self.read.state(["!disabled" if item else "disabled"])

    def _wrap(self, event: tk.Event[tk.Misc]) -> None:
        room = event.width - 2 * int(str(self.cget("padding")[0])) - self._look.px(4)  # the card's frame
        for label in (self.headline, self.body):
            label.configure(wraplength=room)


class Texts(ttk.Notebook):
    """Three texts as tabs: the summary, why the list is in this order, and the history."""

    NAMES = ("Summary", "Why", "History")

    def __init__(self, parent: tk.Misc, look: Look) -> None:
        super().__init__(parent)
        self.texts: dict[str, tk.Text] = {}
        for name in self.NAMES:
            frame = ttk.Frame(self, style="Card.TFrame", padding=1)
            text = look.prose(frame)
            bar = ttk.Scrollbar(frame, command=text.yview, takefocus=False)
            text.configure(yscrollcommand=bar.set)
            bar.pack(side="right", fill="y")
            text.pack(side="left", fill="both", expand=True)
            self.add(frame, text=name)
            self.texts[name] = text

    def show(self, name: str, pieces: Sequence[Piece]) -> None:
        """Replace one text; it stays where it was scrolled to if it says the same."""
        text = self.texts[name]
        if text.get("1.0", "end-1c") == "".join(piece for piece, _ in pieces):
            return
        text.configure(state="normal")
        text.delete("1.0", "end")
        for piece, tag in pieces:
            text.insert("end", piece, tag)
        text.configure(state="disabled")


def summary_of(result: Result) -> list[Piece]:
    """The preference summary, and what it rests on."""
    blocks = sum(bool(node.items) for node in result.nodes)
    if result.summary is None:
        return [("Too little is read for a summary; the newest articles speak for themselves.", "muted")]
    stats = result.stats
    return [
        (f"{result.summary}\n", ""),
        (f"\nWritten by {result.model['name']} from {blocks} blocks of the history. ", "muted"),
        (f"{stats.summary_calls} texts made now, {stats.summary_cache_hits} from the store.", "muted"),
        *([(f"\n\n{result.hint[:1].upper()}{result.hint[1:]}.", "muted")] if result.hint else []),
    ]


def why(result: Result, history: Sequence[Item], entry: Recommendation | None) -> list[Piece]:
    """Why an entry stands where it does: its parts, what is nearest to it, and the summaries, newest last."""
    pieces: list[Piece] = []
    if entry:
        level = "  It is level with a neighbour: the difference is within measurement noise (~)." if entry.tied else ""
        pieces += [
            (f"Rank {entry.rank}: {entry.item.title}\n", "heading"),
            (f"The sum of its parts: {entry.margin:+.2f}, shown as {entry.score:.2f}.{level}\n", ""),
        ]
        by_size = sorted(entry.parts.items(), key=lambda part: -abs(part[1]))
        pieces += [(f"– {PARTS.get(name, name)}: {value:+.2f}\n", "item") for name, value in by_size if value]
        titles = {item.id: item.title for item in history}
        near = [titles[name] for name in entry.because if name in titles][:NEAREST]
        pieces += [("Nearest of what you read\n", "heading")] * bool(near) + [
            (f"– {title}\n", "item") for title in near
        ]
    end = 0
    for node in result.nodes:
        source = {"cache": "from the store", "fresh": "made now"}[node.source]
        if node.items:
            size = len(node.items)  # blocks are in order; an id may come twice, and does not tell the place
            start = next(place for place in range(end, len(history)) if history[place : place + size] == node.items)
            end = start + size
            about = f"Articles {start + 1} to {end}"
        else:
            about = f"{len(node.notes)} summaries together"
        pieces += [(f"{about}", "heading"), (f"   {source}\n", "muted"), (f"{node.text}\n", "")]
        pieces += [(f"– {item.title}\n", "item") for item in node.items]
    return pieces


def history_of(history: Sequence[Item]) -> list[Piece]:
    """What was read, newest first."""
    pieces: list[Piece] = []
    for place in range(len(history), 0, -1):
        item = history[place - 1]
        about = f"{_day(item.time)} · {item.attributes.get('category', '')}"
        pieces += [(f"{place}. {item.title}\n", ""), (f"{about}\n", "muted")]
    return pieces


def _day(time: float | None) -> str:
    """The day of a time; the bare number where that is none, such as milliseconds since 1970."""
    if time is None:
        return "just now"
    try:
        return f"{datetime.fromtimestamp(time, UTC):%d %b %Y}"
    except (ValueError, OverflowError, OSError):
        return f"{time:.0f}"
