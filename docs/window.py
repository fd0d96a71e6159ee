"""Photographs the desktop reader at work on a virtual screen: docs/desktop_reader.png; `make screenshot` repeats it.

Needs Xvfb, xdotool and a Python with Tk (Debian: `apt install xvfb xdotool python3-tk`), and Pillow.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from PIL import ImageGrab

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import screens  # noqa: E402

TITLE = "^Desktop reader: {} articles ranked$"


def main() -> None:
    with ExitStack() as stack:
        screen = stack.enter_context(screens.screen(1000, 570))
        cache = stack.enter_context(tempfile.TemporaryDirectory())  # the picture of a first start
        stack.enter_context(
            reader := subprocess.Popen(
                [sys.executable, str(ROOT / "examples" / "desktop_reader"), "--cache-dir", cache, *sys.argv[1:]],
                env={**os.environ, "DISPLAY": screen.name},
            )
        )
        stack.callback(reader.kill)
        _wait(screen, reader, 12)
        screen.xdotool("search", "--name", "^Desktop reader", "windowfocus", "--sync")
        screen.press("Down", "Down", "Return")  # read one, so that the others move
        _wait(screen, reader, 11)
        screen.press("alt+3", "alt+1")
        time.sleep(1)
        path = Path(__file__).with_name("desktop_reader.png")
        ImageGrab.grab(xdisplay=screen.name).quantize(64).save(path, optimize=True)
        print(path)
        screen.press("ctrl+q")
        reader.wait()


def _wait(screen: screens.Screen, reader: subprocess.Popen[bytes], articles: int) -> None:
    while not screen.shows(TITLE.format(articles)):
        if reader.poll() is not None:
            raise SystemExit("the reader has ended")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
