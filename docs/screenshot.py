"""Renders real runs of the command line to docs/*.svg; `make screenshot` repeats them."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
WIDTH = 100
TIMES = re.compile(r"^(?:\x1b\[[\d;]*m)*items: .*", re.DOTALL | re.MULTILINE)  # of whatever machine takes the picture
FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # web fonts: the picture is to load nothing
RUNS = {
    "recommend": "trsr-lite recommend --user examples/news_reader.json --domain news -k 4 --explain",
}


def main() -> None:
    for name, line in RUNS.items():
        console = Console(record=True, width=WIDTH, file=io.StringIO())
        console.print(f"[bold green]$[/] {line}", highlight=False)
        console.print(Text.from_ansi(_output(line)))
        path = Path(__file__).with_name(f"{name}.svg")
        picture = FONT_FACE.sub("", console.export_svg(title="trsr-lite"))
        path.write_text(picture, encoding="utf-8")
        print(path)


def _output(line: str) -> str:
    """What the command prints on a colour terminal."""
    command = [sys.executable, "-m", *line.replace("trsr-lite", "trsr_lite", 1).split()]
    with tempfile.TemporaryDirectory() as cache:  # a first start, whatever else is stored or set here
        plain = {name: value for name, value in os.environ.items() if not name.startswith("TRSR_LITE_")}
        own = {"TRSR_LITE_CACHE_DIR": cache, "TRSR_LITE_CONFIG": os.devnull}
        environment = {**plain, **own, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
        result = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return TIMES.sub("", result.stdout).rstrip() + "\n"


if __name__ == "__main__":
    main()
