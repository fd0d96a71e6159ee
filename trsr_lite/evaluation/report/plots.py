"""Plots as inline SVG: they follow the colours of the page, load nothing, and are told apart without colour.

Invariant: names are drawn as they are, never as mathematics; no id of one plot is an id of another.
"""

from __future__ import annotations

import importlib
import io
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

from trsr_lite.errors import SettingsError
from trsr_lite.prompts.templates import fold

COLOURS = {
    # In the light, in the dark: at least 3:1 against the page, but for the grid; markers and dashes differ too.
    "#0000f0": ("--series-0", "#005a9c", "#56b4e9"),
    "#0000f1": ("--series-1", "#d55e00", "#e66b0f"),
    "#0000f2": ("--series-2", "#008060", "#1fb58a"),
    "#0000f3": ("--series-3", "#c673a3", "#f2b3d3"),
    "#0000f4": ("--series-4", "#5c4a00", "#f0e442"),
    "#0000ff": ("--line", "#c9ccd3", "#464b55"),
}
"""What is drawn -> the variable of the page that it becomes, and its values."""
SERIES, LINE = list(COLOURS)[:-1], list(COLOURS)[-1]
MARKERS, DASHES = "os^Dv*XP", ("-", "--", "-.", ":")
WIDTH, ROW, SIZE = 360, 40, 12  # points: readable where a phone is as wide
NAMES = {1: 34, 2: 16}  # columns -> characters of a name that fit
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "trsr-lite", "font.size": SIZE, "axes.formatter.use_mathtext": False}


def library() -> Any:
    """matplotlib; raises `SettingsError` where it is missing."""
    try:
        return importlib.import_module("matplotlib")
    except ImportError as error:
        raise SettingsError(
            "a report needs the package matplotlib, which is not installed", hint="pip install 'trsr-lite[report]'"
        ) from error


def variables(dark: bool) -> str:
    """The colours as CSS."""
    return " ".join(f"{name}: {values[dark]};" for name, *values in COLOURS.values())


def dots(figures: Mapping[str, Mapping[str, float | None]], *, name: str, label: str, described_by: str) -> str:
    """A row for each system: its `value`, and the line from `low` to `high` where there are both."""
    with _figure(len(figures) * ROW + 32) as (figure, axes):
        for row, (system, found) in enumerate(figures.items()):
            low, high, value = found["low"], found["high"], found["value"]
            if low is not None and high is not None:
                axes.plot(
                    [low, high], [row, row], color=SERIES[row % len(SERIES)], linewidth=2.5, solid_capstyle="butt"
                )
            axes.plot([value], [row], markersize=8, linestyle="", **_look(row))
            line = {"transform": axes.get_yaxis_transform(), "va": "bottom", "clip_on": False, "parse_math": False}
            axes.text(0, row - 0.18, _cut(system, NAMES[1]), ha="left", **line)
            axes.text(1, row - 0.18, f"{value:.3f}", ha="right", **line)
        axes.set_xlim(0, _limit(figures.values()))
        axes.set_ylim(len(figures) - 0.65, -0.7)
        axes.set_yticks([])
        axes.grid(axis="x", color=LINE, linewidth=0.8)
        return _shown(figure, name, label, described_by)


def variants(
    figures: Mapping[str, Mapping[str, Mapping[str, float | None]]], *, name: str, label: str, described_by: str
) -> str:
    """A row for each variant, and in it a mark for each system: its `value`, and the line from `low` to `high`."""
    systems = list(dict.fromkeys(system for found in figures.values() for system in found))
    columns, step = _columns(systems), 1 / (len(systems) + 1.5)  # a row is 1 high
    height = len(figures) * (22 + 9 * len(systems)) + 40 + math.ceil(len(systems) / columns) * 19
    with _figure(height) as (figure, axes):
        for row, (variant, found) in enumerate(figures.items()):
            for system, entry in found.items():
                place = systems.index(system)
                line, low, high = row + (place + 0.5) * step, entry["low"], entry["high"]
                if low is not None and high is not None:
                    axes.plot([low, high], [line, line], color=SERIES[place % len(SERIES)], linewidth=1.5)
                axes.plot([entry["value"]], [line], markersize=6, linestyle="", **_look(place))
            at = {"transform": axes.get_yaxis_transform(), "va": "bottom", "clip_on": False, "parse_math": False}
            axes.text(0, row - 0.02, _cut(variant, NAMES[1]), ha="left", **at)
            axes.axhline(row - 0.05, color=LINE, linewidth=0.8)
        axes.set_xlim(0, _limit(entry for found in figures.values() for entry in found.values()))
        axes.set_ylim(len(figures) - 0.1, -0.4)
        axes.set_yticks([])
        axes.grid(axis="x", color=LINE, linewidth=0.8)
        marks = [axes.plot([], [], linestyle="", markersize=6, **_look(place))[0] for place in range(len(systems))]
        _legend(figure, marks, systems)
        return _shown(figure, name, label, described_by)


def curves(values: Mapping[str, Sequence[float]], *, name: str, label: str, described_by: str) -> str:
    """A line for each system through its values at k = 1, 2 and so on."""
    rows = math.ceil(len(values) / _columns(values))
    with _figure(260 + rows * 19) as (figure, axes):
        lines = []
        for number, found in enumerate(values.values()):
            ks, dashes = range(1, len(found) + 1), DASHES[number % len(DASHES)]
            every = max(1, len(found) // 6)
            start = number % every  # markers of equal lines stand beside each other
            lines += axes.plot(
                ks, found, linestyle=dashes, linewidth=1.8, markersize=6, markevery=(start, every), **_look(number)
            )
        axes.set_xlim(1 - 0.02 * len(found), len(found) * 1.02)
        axes.set_xticks([k for k in (1, 3, 5, 10, 15, 20) if k <= len(found)])
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("k")
        axes.grid(color=LINE, linewidth=0.8)
        _legend(figure, lines, list(values))
        return _shown(figure, name, label, described_by)


def _limit(figures: Iterable[Mapping[str, float | None]]) -> float:
    """Where an axis of shares ends: at the next tenth."""
    most = max(found["high"] or found["value"] or 0.0 for found in figures)
    return min(1.0, math.ceil(most * 10 + 0.5) / 10)


def _columns(names: Iterable[str]) -> int:
    """How many columns of a legend names leave room for."""
    return 1 if max(map(len, names)) > NAMES[2] else 2


def _legend(figure: Any, lines: Sequence[Any], names: Sequence[str]) -> None:
    """What each line or mark is, below the plot."""
    columns = _columns(names)
    # The names come after: a label that starts with `_` would be left out.
    legend = figure.legend(
        lines, ["x"] * len(lines), loc="outside lower left", ncols=columns, frameon=False, handlelength=2.6
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=_cut(name, NAMES[columns]), parse_math=False)


def _look(number: int) -> dict[str, str]:
    return {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number % len(MARKERS)]}


def _cut(name: str, most: int) -> str:
    """The beginning and the end, which tells names apart that were made of each other."""
    text = "".join(character if character.isprintable() else "\ufffd" for character in fold(name))
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


@contextmanager
def _figure(height: float) -> Iterator[tuple[Any, Any]]:
    """A figure that no setting of the user changes, and its axes."""
    library()
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # the reader's fonts draw the text, not these
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        axes = figure.subplots()
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_axisbelow(True)
        yield figure, axes


def _shown(figure: Any, name: str, label: str, described_by: str) -> str:
    """SVG for a page: no header, no metadata, the page's colours and font, and ids that start with `name`."""
    for artist in figure.findobj():
        artist.set_clip_on(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True)
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 - matplotlib wrote it
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        if element.tag == "g":
            attributes.pop("id", None)
        element.attrib = {key: _attribute(key, value, name) for key, value in attributes.items()}
    view = root.attrib["viewBox"]
    root.attrib = {"viewBox": view, "role": "img", "aria-label": label, "aria-describedby": described_by}
    return ElementTree.tostring(root, encoding="unicode", method="html")


def _attribute(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return f"#{name}-{value.removeprefix('#')}"
    if key == "style":
        for drawn, (variable, *_) in COLOURS.items():
            value = value.replace(drawn, f"var({variable})")
        parts = (_FONT.sub(r"font-size: \1", part) for part in value.split("; ") if not part.startswith("font-family"))
        return "; ".join(parts)
    return value


_FONT = re.compile(r"font: .*?([\d.]+px).*")  # matplotlib before 3.11
