"""The reader's window: what is shown, what keys do, and what a ranking changes.

Invariant: the event loop only moves widgets. Models run in the worker; the window empties its queue every `POLL`
milliseconds and ignores news of rankings that were replaced.
"""

from __future__ import annotations

import contextlib
import queue
import time
import tkinter as tk
from collections.abc import Callable, Sequence
from dataclasses import replace
from tkinter import messagebox, ttk

from look import Look
from panels import Article, Ranking, Texts, history_of, summary_of, why
from trsr_lite import Item, Result, TrsrError, User
from worker import Ended, Event, Forgotten, Load, Moved, Ranked, Worker

TITLE = "Desktop reader"
POLL = 30  # milliseconds
SIZE, SMALLEST = (1000, 540), (460, 420)  # with a menu and a title bar, 1000 × 540 fits a screen of 1024 × 600
NARROW, MENU = 720, 30  # a narrower window that is tall has the list above the article
STAGES = {"load": "Loading the model", "summarize": "Summing up what you read", "score": "Ranking"}


class Window:
    """A window for one user.

    `load` opens the recommender, in the worker's thread. `scale` is 2 for everything at twice its size; None asks the
    screen. `run()` returns when the window is closed.
    """

    def __init__(self, user: User, load: Load, *, scale: float | None = None, screen: str | None = None) -> None:
        self.user = user
        self.result: Result | None = None
        self._read: Sequence[Item] = ()  # the history that the result is for; the user's may be another by now
        self._undo: list[User] = []
        self._before: list[str] = []  # the order of the list that the next one is compared with
        self.job, self._forgetting, self._started = 0, 0, 0.0  # the newest job, the newest that forgets
        self.ended = False
        self._stacked: bool | None = None  # whether the list is above the article; None before the first look
        self.root = tk.Tk(screenName=screen, className="DesktopReader")
        self.look = Look(self.root, scale)
        self._build()
        self._show_user()
        self.texts.show("Summary", [("What you like stands here once the first ranking is done.", "muted")])
        self.worker = Worker(load)
        self.rank()
        self._timer = self.root.after(POLL, self._poll)

    def run(self) -> None:
        """Be a window until it is closed."""
        self.root.mainloop()

    # What the user can do

    def rank(self) -> None:
        """Rank the list again, for what is read by now."""
        if not self.user.candidates:
            self.job = 0  # no job's number: what an earlier one found is of articles that are read by now
            self._busy(False)
            self.status.configure(text="Everything is read")
            return
        self.job, self._started = self.worker.rank(self.user), time.monotonic()
        self._busy(True)

    def cancel(self) -> None:
        """Stop; the list stays as it is."""
        self.worker.cancel()

    def read(self, feedback: str | None = None) -> None:
        """Add the selected article to the history, with what its reader thought of it, and rank the others again."""
        item_id = self.ranking.chosen
        if item_id is None:
            return
        item = next(item for item in self.user.candidates if item.id == item_id)
        rest = tuple(other for other in self.user.candidates if other.id != item_id)
        try:
            user = replace(self.user.appended(item, feedback=feedback), candidates=rest)
        except TrsrError as error:  # such as an article that is older than what was read last
            self._show_error(error)
            return
        self._undo.append(self.user)
        self._become(user)

    def hide(self) -> None:
        """Take the selected article out of the list; nothing is learned from it."""
        item_id = self.ranking.chosen
        if item_id is not None:
            self._undo.append(self.user)
            self._become(replace(self.user, candidates=tuple(i for i in self.user.candidates if i.id != item_id)))

    def undo(self) -> None:
        """Take back what was last read, judged or hidden."""
        if self._undo:
            self._become(self._undo.pop())

    def forget(self) -> None:
        """Delete the summaries that are stored of this user, after asking; those of nobody cannot be found."""
        if self.user.user_id and messagebox.askokcancel(
            TITLE, "Delete all summaries that are stored of this reader?", parent=self.root, default="cancel"
        ):
            self.job = self._forgetting = self.worker.forget(self.user.user_id)
            self._busy(True)

    def close(self) -> None:
        """Disappear at once, and end as soon as the worker has stopped."""
        self.root.withdraw()
        self.worker.close()
        self._end()

    # Inside

    def _become(self, user: User) -> None:
        self.user = user
        self._show_user()
        self.cancel()
        self.rank()

    def _show_user(self) -> None:
        """The list in the order it had, with the ranks that are known."""
        known = {entry.item.id: entry for entry in self.result.recommendations} if self.result else {}
        places = {item_id: place for place, item_id in enumerate(known)}
        items = sorted(self.user.candidates, key=lambda item: places.get(item.id, len(places)))
        self.ranking.show(items, known, {})
        self._before = [item.id for item in items if item.id in known]
        self.texts.show("History", history_of(self.user.history))
        self.menu.entryconfigure("Undo", state="normal" if self._undo else "disabled")

    def _show_result(self, result: Result, history: Sequence[Item]) -> None:
        entries = {entry.item.id: entry for entry in result.recommendations}
        kept = [item_id for item_id in entries if item_id in self._before]
        was = [item_id for item_id in self._before if item_id in entries]
        changes = {item_id: was.index(item_id) - place for place, item_id in enumerate(kept)}
        untouched = self.result is None and self.ranking.chosen == self.ranking.order[0]
        self.result, self._read = result, history
        self.ranking.show([entry.item for entry in result.recommendations], entries, changes)
        if untouched:
            self.ranking.choose(self.ranking.order[0])
        self._before = list(entries)
        self.texts.show("Summary", summary_of(result))
        self._show_choice()

    def _show_choice(self) -> None:
        item_id = self.ranking.chosen
        self.article.show(next((item for item in self.user.candidates if item.id == item_id), None))
        if self.result:
            entry = next((entry for entry in self.result.recommendations if entry.item.id == item_id), None)
            self.texts.show("Why", why(self.result, self._read, entry))

    def _poll(self) -> None:
        self._timer = self.root.after(POLL, self._poll)
        with contextlib.suppress(queue.Empty):
            newest: Event | None = None
            while True:
                event = self.worker.events.get_nowait()
                if event.job not in (self.job, self._forgetting):
                    continue
                if isinstance(event, Moved):
                    newest = event  # only the last one is worth drawing
                else:
                    newest = None
                    self._finish(event)
        if isinstance(newest, Moved):
            self._show_progress(newest)

    def _show_progress(self, event: Moved) -> None:
        stage, fraction, rate = event.progress
        words = STAGES.get(stage) or f"{stage[:1].upper()}{stage[1:]}"
        share = f" · {fraction:.0%}" if fraction else ""
        self.status.configure(text=f"{words}{share}{f' · {rate:.0f} tokens/s' if rate else ''}")
        self.bar.configure(value=fraction)

    def _finish(self, event: Event) -> None:
        if event.job == self.job:
            self._busy(False)
        if isinstance(event, Ranked):
            self._show_result(event.result, event.history)
            spent = time.monotonic() - self._started
            count = len(event.result.recommendations)
            self.status.configure(text=f"{count} articles ranked in {spent:.1f} s")
            self.root.title(f"{TITLE}: {count} articles ranked")
        elif isinstance(event, Forgotten):
            self.status.configure(text=f"{event.summaries} stored summaries deleted")
        elif isinstance(event, Ended) and event.error is None:
            self.status.configure(text="Stopped; what was finished is kept")
        elif isinstance(event, Ended):
            self._show_error(event.error)

    def _show_error(self, error: Exception) -> None:
        self.status.configure(text=f"Failed: {error}")
        if not isinstance(error, TrsrError):
            raise error  # a bug must look like one
        hint = [(f"\n\n{error.hint}", "muted")] if error.hint else []
        self.texts.show("Summary", [(str(error), "error"), *hint])
        self.texts.select(0)

    def _busy(self, busy: bool) -> None:
        self.bar.configure(value=0)
        self.stop.state(["!disabled" if busy else "disabled"])
        self.again.state(["disabled" if busy else "!disabled"])
        if busy:
            self.status.configure(text="Beginning")

    def _end(self) -> None:
        if self.worker.closed:
            self.root.after_cancel(self._timer)
            self.root.destroy()
            self.ended = True
        else:
            self.root.after(POLL, self._end)

    def _build(self) -> None:
        root, px = self.root, self.look.px
        root.title(TITLE)
        room = self._room()
        root.geometry("x".join(str(min(px(size), most)) for size, most in zip(SIZE, room, strict=True)))
        root.minsize(*(min(px(size), most) for size, most in zip(SMALLEST, room, strict=True)))
        root.protocol("WM_DELETE_WINDOW", self.close)

        foot = ttk.Frame(root, padding=(px(14), px(8)))
        foot.pack(side="bottom", fill="x")  # packed first: in a small window the list gives way, not the controls
        self.stop = ttk.Button(foot, text="Stop", command=self.cancel)
        self.again = ttk.Button(foot, text="Rank again", command=self.rank)
        self.stop.pack(side="right")
        self.again.pack(side="right", padx=(0, px(8)))
        self.bar = ttk.Progressbar(foot, maximum=1.0, length=px(180))
        self.bar.pack(side="left", padx=(0, px(12)))
        self.status = ttk.Label(foot, width=1, style="Muted.TLabel")
        self.status.pack(side="left", fill="x", expand=True)

        body = ttk.Frame(root, padding=(px(14), px(10), px(14), 0))
        body.pack(fill="both", expand=True)
        left, right = self.halves = ttk.Frame(body), ttk.Frame(body)
        for frame in self.halves:
            frame.pack_propagate(False)  # texts wrap to the room they have; they must not ask for more
        self._arrange(stacked=False)
        body.bind("<Configure>", lambda event: self._arrange(stacked=self._is_tall(event.width, event.height)))
        ttk.Label(left, text="For you", style="Title.TLabel").pack(anchor="w", pady=(0, px(6)))
        self.article = Article(right, self.look, self.read)
        self.article.pack(fill="x", pady=(0, px(8)))
        self.texts = Texts(right, self.look)
        self.texts.pack(fill="both", expand=True)
        self.ranking = Ranking(left, self.look, self._show_choice)
        self.ranking.pack(fill="both", expand=True)
        self.ranking.tree.focus_set()
        self._build_menu()

    def _build_menu(self) -> None:
        """Every action with its key, so that the menu is the manual."""
        bar = tk.Menu(self.root, borderwidth=0)
        self.menu, views = self.menus = tk.Menu(bar, tearoff=False), tk.Menu(bar, tearoff=False)
        bar.add_cascade(label="Reader", menu=self.menu, underline=0)
        bar.add_cascade(label="View", menu=views, underline=0)
        actions: list[tuple[tk.Menu, str, str, str, Callable[[], object]]] = [
            (self.menu, "Undo", "Ctrl+Z", "<Control-z>", self.undo),
            (self.menu, "Rank again", "F5", "<F5>", self.rank),
            (self.menu, "Stop", "Esc", "<Escape>", self.cancel),
            (self.menu, "Forget me …", "Ctrl+Delete", "<Control-Delete>", self.forget),
            (self.menu, "Quit", "Ctrl+Q", "<Control-q>", self.close),
            (views, "List", "Alt+1", "<Alt-Key-1>", lambda: self.ranking.tree.focus_set()),
            *(
                (views, name, f"Alt+{place + 2}", f"<Alt-Key-{place + 2}>", lambda name=name: self._open(name))
                for place, name in enumerate(Texts.NAMES)
            ),
        ]
        in_list: list[tuple[str, str, str, Callable[[], object]]] = [
            ("Read: add to history", "Return", "<Return>", self.read),
            ("Like", "L", "<l>", lambda: self.read("like")),
            ("Not for me", "D", "<d>", lambda: self.read("dislike")),
            ("Hide", "H", "<h>", self.hide),
        ]
        for label, accelerator, key, action in in_list:
            self.menu.add_command(label=label, accelerator=accelerator, command=action)
            self.ranking.tree.bind(key, lambda _event, action=action: action())
        for menu, label, accelerator, key, action in actions:
            menu.add_command(label=label, accelerator=accelerator, command=action)
            self.root.bind(key, lambda _event, action=action: action())
        if not self.user.user_id:
            self.menu.entryconfigure("Forget me …", state="disabled")
        self.root.configure(menu=bar)

    def _open(self, name: str) -> None:
        self.texts.select(Texts.NAMES.index(name))
        self.texts.texts[name].focus_set()

    def _is_tall(self, width: int, height: int) -> bool:
        """Whether the halves have more room one above the other."""
        return width < self.look.px(NARROW) and height > width

    def _arrange(self, *, stacked: bool) -> None:
        """The list beside the article, or above it."""
        if stacked is self._stacked:
            return
        self._stacked, px = stacked, self.look.px
        body = self.halves[0].master
        for place, (frame, weight) in enumerate(zip(self.halves, (11, 9), strict=True)):
            row, column = (place, 0) if stacked else (0, place)
            frame.grid(row=row, column=column, sticky="nsew")
            body.rowconfigure(place, weight=int(stacked or place == 0), uniform="half" if stacked else "")
            beside = {"weight": weight, "uniform": "half"}
            body.columnconfigure(place, **({"weight": int(place == 0), "uniform": ""} if stacked else beside))
        self.halves[1].configure(padding=(0, px(10), 0, 0) if stacked else (px(12), 0, 0, 0))
        self.bar.configure(length=px(90 if stacked else 180))

    def _room(self) -> tuple[int, int]:
        """The screen, without the menu, which is no part of the window's own height."""
        return self.root.winfo_screenwidth(), self.root.winfo_screenheight() - self.look.px(MENU)
