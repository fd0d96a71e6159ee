"""Runs a long installation and shows one line that moves: `python install.py LOG COMMAND …`, as the Makefile does.

Invariant: everything that the command prints is in the log. Where it fails, the end of the log and its place are shown,
and the exit status is the command's. Only the standard library is used: nothing is installed yet.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from pathlib import Path

STEP = re.compile(rb"\[(\d+)/(\d+)\] (?:Building|Linking|Generating)")  # of ninja, which builds llama.cpp
DOING = re.compile(
    rb"^\s*(Collecting|Downloading|Building wheel for|Preparing metadata|Installing) ?([\w.\-]*)", re.MULTILINE
)
TAIL = 20
WAIT = 0.5  # seconds between two looks
PAUSE = 30.0  # seconds between two lines where there is no terminal


def stage(log: bytes) -> str:
    """What the end of a log says is done now: `building llama.cpp 42 %`."""
    steps, doings = list(STEP.finditer(log)), list(DOING.finditer(log))
    if steps and (not doings or steps[-1].start() > doings[-1].start()):
        done, all_of = int(steps[-1][1]), int(steps[-1][2])
        return f"building llama.cpp {100 * done // max(1, all_of)} %"
    if doings:
        verb, name = doings[-1][1].decode(), doings[-1][2].decode()
        return f"{verb.lower()} {name}".strip()
    return "starting"


def run(log: Path, command: list[str]) -> int:
    """Run the command; returns its exit status."""
    log.parent.mkdir(parents=True, exist_ok=True)
    terminal, began, last = sys.stderr.isatty(), time.monotonic(), time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        ended = threading.Event()
        threading.Thread(target=lambda: (process.wait(), ended.set()), daemon=True).start()
        while not ended.wait(WAIT):
            now = time.monotonic()
            if terminal or now - last >= PAUSE:
                last = now
                minutes, seconds = divmod(int(now - began), 60)
                text = f"  {minutes}:{seconds:02}  {stage(_end(log))}"
                print(
                    f"\r\x1b[K{text[:78]}" if terminal else text,
                    end="" if terminal else "\n",
                    file=sys.stderr,
                    flush=True,
                )
    if terminal:
        print("\r\x1b[K", end="", file=sys.stderr)
    if process.returncode:
        lines = log.read_bytes().decode(errors="replace").splitlines()[-TAIL:]
        print(*lines, f"Error: the installation failed; all of it is in {log}", sep="\n", file=sys.stderr)
    return process.returncode


def _end(log: Path) -> bytes:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - 20_000))
        return file.read()


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
