"""The route of one user through the package: from `recommend --user FILE` to the table.

    python benchmarks/route.py --user examples/news_reader.json

Run it twice and read the second: the first prepares the model and makes the summaries. It prints the files of the
package in which a function ran, the moves between two of them (a function of one calls a function of the other, perhaps
through a library), and all calls of the package's functions. Importing does not count, nor do other threads.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from trsr_lite.cli import main

PACKAGE = str(Path(sys.modules["trsr_lite"].__file__ or "").parent)


def route(arguments: list[str]) -> tuple[Counter[str], int]:
    """Calls by file, and moves between files, of one command."""
    calls, moves = Counter[str](), 0

    def file(frame: FrameType | None) -> str | None:
        name = frame.f_code.co_filename if frame else ""
        return name[len(PACKAGE) + 1 :] if name.startswith(PACKAGE) else None

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal moves
        here = file(frame)
        if event != "call" or here is None or frame.f_code.co_name in ("<module>", "<genexpr>", "<listcomp>"):
            return
        if frame.f_lasti > 0 and frame.f_code.co_flags & 0x20:  # a generator goes on
            return
        calls[here] += 1
        caller = frame.f_back
        while caller is not None and file(caller) is None:
            caller = caller.f_back
        if caller is not None and caller.f_code.co_name != "<module>" and file(caller) != here:
            moves += 1

    sys.setprofile(note)
    try:
        main(arguments)
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.setprofile(None)
    return calls, moves


if __name__ == "__main__":
    found, between = route(["recommend", *sys.argv[1:]])
    for name, count in found.most_common():
        print(f"{count:6} {name}")
    print(f"{len(found)} files, {between} moves between them, {sum(found.values())} calls")
