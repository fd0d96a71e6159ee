"""Virtual screens for tests of windows: Xvfb to draw on, xdotool to press keys."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

NEEDED = {"Xvfb": "xvfb", "xdotool": "xdotool"}  # program: Debian package


def missing() -> list[str]:
    """Debian packages that are not here; `python3-tk` for a Python without Tk."""
    packages = [package for program, package in NEEDED.items() if shutil.which(program) is None]
    try:
        import tkinter  # noqa: F401
    except ImportError:
        packages.append("python3-tk")
    return packages


@dataclass(frozen=True)
class Screen:
    """A screen that is running: its name, such as `:99`, and its size in pixels."""

    name: str
    width: int
    height: int

    def xdotool(self, *arguments: str) -> str:
        """What xdotool prints."""
        done = subprocess.run(
            ["xdotool", *arguments],
            env={**os.environ, "DISPLAY": self.name},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout.strip()

    def shows(self, title: str) -> bool:
        """Whether there is a window with a title that matches."""
        command = ["xdotool", "search", "--name", title]
        return subprocess.run(command, env={**os.environ, "DISPLAY": self.name}, capture_output=True).returncode == 0

    def press(self, *keys: str) -> None:
        """Press keys, such as `Return` or `ctrl+q`, in the window that has the focus."""
        self.xdotool("key", *keys)


@contextmanager
def screen(width: int = 1024, height: int = 600, dpi: int = 96) -> Iterator[Screen]:
    """A screen of its own, with no window manager and no key repeat, for as long as this block lasts."""
    read, write = os.pipe()
    size = f"{width}x{height}x24"
    command = [
        "Xvfb",
        "-displayfd",
        str(write),
        "-screen",
        "0",
        size,
        "-dpi",
        str(dpi),
        "-nolisten",
        "tcp",
        "-noreset",
        "-r",
    ]
    server = subprocess.Popen(command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as answer:
            number = answer.readline().strip()
        if not number:
            raise OSError(f"Xvfb ended with {server.wait()}")
        yield Screen(f":{number}", width, height)
    finally:
        server.terminate()
        server.wait()
