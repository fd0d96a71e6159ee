"""A desktop news reader that ranks articles for what its user has read: `python examples/desktop_reader`."""

from __future__ import annotations

import argparse
import signal
import sys
import tkinter as tk
from pathlib import Path

from trsr_lite import DataError, EngineOptions, Recommender, TrsrError, read_user
from window import Window

HERE = Path(sys.executable if getattr(sys, "frozen", False) else __file__).resolve().parent
USER = HERE / "news_reader.json" if getattr(sys, "frozen", False) else HERE.parent / "news_reader.json"
MODEL = str(HERE / "model") if getattr(sys, "frozen", False) else "smollm2"

IDLE = 120.0  # seconds after which the memory of the models is given back


def main() -> None:
    parser = argparse.ArgumentParser(prog="desktop_reader", description=__doc__)
    parser.add_argument("-m", "--model", default=MODEL, help="bundle folder or .gguf file [default: %(default)s]")
    parser.add_argument("--user", type=Path, default=USER, help="user file with candidates [default: %(default)s]")
    parser.add_argument("--cache-dir", type=Path, help="where summaries are kept")
    parser.add_argument("--data-dir", type=Path, help="where the prepared default model is kept")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--scale", type=float, help="size of everything, such as 2 [default: as the screen says]")
    options = parser.parse_args()
    try:
        window = opened(options)
    except TrsrError as error:
        hint = f"hint: {error.hint}\n" if error.hint else ""
        parser.exit(error.exit_code, f"Error: {error}\n{hint}")
    for number in (signal.SIGINT, signal.SIGTERM):  # noticed at the next poll
        signal.signal(number, lambda *_: window.close())
    window.run()


def opened(options: argparse.Namespace) -> Window:
    user = read_user(options.user)
    if not user.candidates:
        raise DataError(f"{options.user}: there is nothing to rank", hint='add "candidates" to the user')

    try:
        return Window(
            user,
            lambda progress: Recommender.load(
                options.model,
                options=EngineOptions(threads=options.threads),
                cache_dir=options.cache_dir,
                data_dir=options.data_dir,
                offline=True,
                unload_after=IDLE,
                domain="news",
                progress=progress,
            ),
            scale=options.scale,
        )
    except tk.TclError as error:
        raise TrsrError(f"no window can be opened: {error}", hint="start it where there is a screen") from error


if __name__ == "__main__":
    main()
