"""A page of HTML and its pieces: one file that reads well on a phone, in the dark, on paper and aloud.

Invariant: a page loads nothing and runs nothing. Text from outside becomes HTML through `text` and nowhere else; what
is called HTML here is HTML already. Nothing is known of evaluations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from trsr_lite.evaluation.report import plots
from trsr_lite.prompts.templates import fold


def page(title: str, body: Iterable[str]) -> str:
    """The whole document; `title` and the parts of `body` are HTML, and parts may be empty."""
    content = "".join(f"{part}\n" for part in body if part)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title} – trsr-lite</title>
<style>
{_STYLE}</style>
</head>
<body>
<main>
{content}</main>
</body>
</html>
"""


def text(content: str) -> str:
    """Text of people and models on one line, as HTML that shows it."""
    return escape(fold(content))


def counted(count: int, noun: str) -> str:
    """Such as `1 list` and `1,200 lists`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def command(line: str) -> str:
    """A command exactly as it was typed."""
    return f"<pre><code>{escape(line)}</code></pre>"


def section(heading: str, *parts: str) -> str:
    """A heading and what is below it."""
    return "\n".join([f"<section>\n<h2>{heading}</h2>", *parts, "</section>"])


def items(entries: Iterable[str], **attributes: str) -> str:
    """A list without an order."""
    named = "".join(f' {name.rstrip("_")}="{value}"' for name, value in attributes.items())
    return f"<ul{named}>\n" + "".join(f"<li>{entry}</li>\n" for entry in entries) + "</ul>"


def terms(entries: Mapping[str, str]) -> str:
    """Names and what there is to say of each; both are HTML."""
    found = "".join(f"<dt>{name}</dt><dd>{value}</dd>\n" for name, value in entries.items())
    return f"<dl>\n{found}</dl>"


def details(heading: str, content: str, *, is_open: bool = False) -> str:
    """What is shown when someone asks for it."""
    return f"<details{' open' if is_open else ''}><summary>{heading}</summary>\n{content}\n</details>"


def figure(picture: str, caption: str, words: str) -> str:
    """A picture, what it is, and the same for those who cannot see it."""
    return f"<figure>\n{picture}\n<figcaption>{caption}</figcaption>\n{words}\n</figure>"


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that scrolls by itself where the screen is narrow; the first cell of a row is its head."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in heads)
    body = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>\n'
        for name, *cells in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="Table: {caption}"><table>\n'
        f"<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>"
    )


_STYLE = f"""\
:root {{ color-scheme: light dark; --page: #ffffff; --ink: #1b1c1f; --soft: #565b66; --tint: #f3f4f7; --note: #b35900;
  {plots.variables(dark=False)} }}
@media (prefers-color-scheme: dark) {{ :root {{ --page: #15171b; --ink: #e6e8ec; --soft: #a5abb8; --tint: #20232a;
  --note: #e6a04d; {plots.variables(dark=True)} }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }}
main {{ max-width: 72rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }}
h1, h2, h3 {{ line-height: 1.25; margin: 0; }}
h1 {{ font-size: 1.7rem; }}
h2 {{ font-size: 1.25rem; }}
h3 {{ font-size: 1rem; margin-top: 1rem; }}
header p, small, figcaption, caption {{ color: var(--soft); }}
header p {{ margin: 0.25rem 0 0; }}
section {{ margin-top: 2rem; }}
p, ul, ol, dl, pre, blockquote {{ margin: 0.5rem 0; }}
p, ul, ol, dl, figcaption {{ max-width: 44rem; }}
.notes {{ padding: 0.75rem 1rem 0.75rem 2rem; background: var(--tint); border-left: 0.35rem solid var(--note); }}
.scroll {{ overflow-x: auto; margin: 0.75rem 0; max-width: 100%; width: fit-content; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; padding-bottom: 0.25rem; }}
th, td {{ padding: 0.35rem 0.5rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }}
th:first-child {{ text-align: left; position: sticky; left: 0; background: var(--page); }}
thead th {{ vertical-align: bottom; }}
th {{ overflow-wrap: break-word; }}
tbody th {{ font-weight: 600; min-width: 6.5rem; max-width: 12rem; }}
td {{ white-space: nowrap; }}
td .long {{ display: inline-block; min-width: 14rem; white-space: normal; text-align: left; }}
.plots {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.5rem; }}
figure {{ margin: 0; max-width: 30rem; min-width: 0; }}
svg {{ display: block; width: 100%; height: auto; }}
svg * {{ stroke-linejoin: round; stroke-linecap: butt; }}
svg text {{ fill: currentColor; }}
details {{ margin: 0.5rem 0; }}
summary {{ cursor: pointer; padding: 0.25rem 0; }}
section > details {{ border-bottom: 1px solid var(--line); }}
section > details > summary {{ font-weight: 600; }}
summary:focus-visible, .scroll:focus-visible {{ outline: 2px solid currentColor; outline-offset: 2px; }}
blockquote {{ padding-left: 1rem; border-left: 0.2rem solid var(--line); }}
pre {{ padding: 0.75rem; background: var(--tint); white-space: pre-wrap; }}
dl {{ display: grid; grid-template-columns: minmax(8rem, auto) 1fr; gap: 0.25rem 1rem; }}
dt {{ font-weight: 600; }}
dd {{ margin: 0; }}
figcaption {{ margin-top: 0.5rem; }}
@media (max-width: 30rem) {{ dl {{ display: block; }} dt {{ margin-top: 0.5rem; }} }}
"""
