"""`recommend` on a quiet machine, beside one busy process a core, and beside another `recommend`.

    python -m benchmarks.contention [--pairs] [SPIN_COUNT ...]

Ours is compared with libgomp's own spin count and no spinning. Two at once are compared with one after the other, and
with two that do not know of each other and use all cores each. With `--pairs`, only these are run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks import default
from benchmarks.measure import in_turns, ratio, report
from trsr_lite.engine.threads import SPIN_COUNT, SPIN_VARIABLES, default_threads

USER = Path(__file__).parent.parent / "examples" / "news_reader.json"
QUIET_ROUNDS, BUSY_ROUNDS, PAIR_ROUNDS = 6, 3, 3
LIBGOMP = "300000"  # its own default
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"  # never longer than who asked for it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spins", nargs="*", metavar="SPIN_COUNT", default=[LIBGOMP, "0"])
    parser.add_argument("--pairs", action="store_true", help="run only two at once")
    options = parser.parse_args()
    default.bundle()
    if options.pairs:
        report("contention_pairs", *pairs(), whole=False)
        return
    names = {f"spin {spin}": {SPIN_VARIABLES[0]: spin} for spin in options.spins}
    work = {"ours": {}, **names}
    quiet = in_turns({name: (lambda env=env: _recommend(env)) for name, env in work.items()}, QUIET_ROUNDS)
    with busy_machine():
        busy = in_turns(
            {name: (lambda env=env: _recommend(env)) for name, env in work.items()}, BUSY_ROUNDS, warm_up=False
        )
    rows = [("ours, busy / quiet", f"{median(busy['ours']) / median(quiet['ours']):.2f}×", "≤ 3×")]
    rows += [
        (f"ours / {name}, quiet", f"{ratio(quiet['ours'], quiet[name]):.2f}×", "≤ 1.10×" if LIBGOMP in name else "")
        for name in names
    ]
    rows += [(f"{name}, busy / quiet", f"{median(busy[name]) / median(quiet[name]):.2f}×", "") for name in names]
    more, seconds = pairs()
    report(
        "contention",
        [*rows, *more],
        {"spin_count": SPIN_COUNT, "threads": default_threads(), "quiet": quiet, "busy": busy, **seconds},
        whole=options == parser.parse_args([]),
    )


def pairs() -> tuple[list[tuple[str, str, str]], dict[str, dict[str, list[float]]]]:
    """Two cold rankings at once against one after the other."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        apart = [{"XDG_RUNTIME_DIR": place, "TRSR_LITE_THREADS": str(default_threads())} for place in (one, other)]
        seconds = in_turns(
            {
                "one after the other": lambda: [_recommend({}) for _ in range(2)],
                "at once": lambda: _at_once([{}, {}]),
                "at once, without turns": lambda: _at_once(apart),
            },
            PAIR_ROUNDS,
            warm_up=False,
        )
    after = seconds["one after the other"]
    required = {"at once": "≤ 1.2×"}
    rows = [
        (f"two {name} / one after the other", f"{ratio(seconds[name], after):.2f}×", required.get(name, ""))
        for name in ("at once", "at once, without turns")
    ]
    return rows, {"pairs": seconds}


def _at_once(environments: list[dict[str, str]]) -> None:
    with ThreadPoolExecutor(len(environments)) as pool:
        list(pool.map(_recommend, environments))


def _recommend(environment: dict[str, str]) -> None:
    """A whole cold `recommend`: summaries and scoring."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*default.COMMAND, "--user", str(USER), "--domain", "news", "--json"]
        subprocess.run(
            [*command, "--cache-dir", folder],
            check=True,
            capture_output=True,
            env={**default.environment(), **environment},
        )


@contextmanager
def busy_machine() -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
    try:
        time.sleep(0.5)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
