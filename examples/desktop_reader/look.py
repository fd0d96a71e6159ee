"""How everything looks: colours, fonts and distances, from one scale factor.

Invariant: nothing else in this program names a colour, a font size or a number of pixels.
"""

from __future__ import annotations

import tkinter as tk
from tkinter import font, ttk

INCH = 96  # dots per inch at which one unit of distance is one pixel

PAPER, SURFACE, LINE = "#f3f2ee", "#ffffff", "#d4d1c9"
INK, MUTED, FAINT = "#1e2227", "#5d646d", "#e9e7e1"
ACCENT, ACCENT_DARK, ACCENT_LIGHT = "#1f6f5c", "#16523f", "#dcece6"
ERROR = "#a3261b"


class Look:
    """Fonts and styles of one window. `scale` is 2 on a screen with twice the usual dots; None asks the screen."""

    def __init__(self, root: tk.Tk, scale: float | None = None) -> None:
        self.scale = scale or max(1.0, round(root.winfo_fpixels("1i") / INCH, 2))
        root.tk.call("tk", "scaling", self.scale * INCH / 72)  # pixels in a point: fonts have their size in points
        family = font.nametofont("TkDefaultFont").actual("family")
        self.body = font.Font(root, family=family, size=10)
        self.strong = font.Font(root, family=family, size=10, weight="bold")
        self.small = font.Font(root, family=family, size=9)
        self.title = font.Font(root, family=family, size=13, weight="bold")
        root.configure(background=PAPER)
        for option, value in (
            ("font", self.body),
            ("background", PAPER),
            ("foreground", INK),
            ("borderWidth", 0),
            ("activeBackground", ACCENT),
            ("activeForeground", SURFACE),
            ("relief", "flat"),
        ):
            root.option_add(f"*Menu.{option}", value)
        self._style(ttk.Style(root))

    def px(self, units: float) -> int:
        """Pixels on this screen."""
        return round(units * self.scale)

    def prose(self, parent: tk.Misc) -> tk.Text:
        """A read-only text that can be reached with Tab and scrolled with the arrow keys."""
        text = tk.Text(
            parent, font=self.body, foreground=INK, background=SURFACE, wrap="word", state="disabled", takefocus=True,
            width=1, height=1, padx=self.px(12), pady=self.px(8), borderwidth=0, relief="flat", cursor="arrow",
            highlightthickness=self.px(2), highlightbackground=SURFACE, highlightcolor=ACCENT,
            spacing2=self.px(2), spacing3=self.px(3),
        )  # fmt: skip
        text.tag_configure("heading", font=self.strong, spacing1=self.px(8))
        text.tag_configure("muted", font=self.small, foreground=MUTED)
        text.tag_configure("item", font=self.small, foreground=MUTED, lmargin1=self.px(14), lmargin2=self.px(24))
        text.tag_configure("error", foreground=ERROR)
        for key, units in (("<Down>", 1), ("<Up>", -1)):
            text.bind(key, lambda _event, units=units: text.yview_scroll(units, "units"))
        for key, pages in (("<Next>", 1), ("<Prior>", -1), ("<space>", 1)):
            text.bind(key, lambda _event, pages=pages: text.yview_scroll(pages, "pages"))
        return text

    def _style(self, style: ttk.Style) -> None:
        px = self.px
        style.theme_use("clam")
        style.configure(
            ".", font=self.body, foreground=INK, background=PAPER, bordercolor=LINE, lightcolor=PAPER, darkcolor=PAPER,
            troughcolor=FAINT, focuscolor=ACCENT, selectbackground=ACCENT, selectforeground=SURFACE,
        )  # fmt: skip
        style.configure("Title.TLabel", font=self.title)
        style.configure("Muted.TLabel", font=self.small, foreground=MUTED)
        style.configure("Card.TFrame", background=SURFACE, bordercolor=LINE, relief="solid", borderwidth=1)
        for name, of in (("Headline", self.title), ("Kicker", self.small), ("Body", self.body)):
            colour = ACCENT if name == "Kicker" else INK
            style.configure(f"{name}.Card.TLabel", background=SURFACE, font=of, foreground=colour)
        style.configure("TButton", padding=(px(12), px(5)), background=SURFACE, anchor="center")
        style.map(
            "TButton",
            background=[("disabled", PAPER), ("pressed", FAINT), ("active", FAINT)],
            foreground=[("disabled", "#9aa0a6")],
            bordercolor=[("focus", ACCENT)],
        )
        style.configure(
            "Accent.TButton", background=ACCENT, foreground=SURFACE, bordercolor=ACCENT, focuscolor=SURFACE,
            lightcolor=ACCENT, darkcolor=ACCENT,
        )  # fmt: skip
        style.map(
            "Accent.TButton",
            background=[("disabled", FAINT), ("pressed", ACCENT_DARK), ("active", ACCENT_DARK)],
            lightcolor=[("disabled", FAINT)],
            darkcolor=[("disabled", FAINT)],
            bordercolor=[("disabled", LINE), ("focus", INK)],
        )
        style.configure(
            "Treeview", background=SURFACE, fieldbackground=SURFACE, foreground=INK, bordercolor=LINE,
            lightcolor=SURFACE, rowheight=round(self.body.metrics("linespace") * 1.75),
        )  # fmt: skip
        style.map(
            "Treeview",
            background=[("selected", "focus", ACCENT), ("selected", ACCENT_LIGHT)],
            foreground=[("selected", "focus", SURFACE), ("selected", INK)],
            bordercolor=[("focus", ACCENT)],
            lightcolor=[("focus", ACCENT)],
        )
        style.configure(
            "Treeview.Heading", font=self.small, foreground=MUTED, background=PAPER, relief="flat", padding=px(5)
        )
        style.map("Treeview.Heading", background=[("active", PAPER)])
        style.configure("TNotebook", background=PAPER, borderwidth=0, tabmargins=(0, px(2), 0, 0))
        style.configure("TNotebook.Tab", padding=(px(12), px(5)), background=FAINT, foreground=MUTED)
        style.map(
            "TNotebook.Tab",
            background=[("selected", SURFACE)],
            foreground=[("selected", INK)],
            lightcolor=[("selected", SURFACE)],
            padding=[("selected", (px(12), px(5)))],
        )
        style.configure("Vertical.TScrollbar", arrowsize=px(12), width=px(12), background=FAINT, gripcount=0)
        style.configure(
            "Horizontal.TProgressbar", background=ACCENT, troughcolor=FAINT, thickness=px(8), borderwidth=0,
            lightcolor=ACCENT, darkcolor=ACCENT,
        )  # fmt: skip
