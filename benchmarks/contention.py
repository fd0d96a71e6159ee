"""`recommend` on a quiet machine and beside one busy process a core: our spin count, libgomp's own, and no spinning.

python -m benchmarks.contention [SPIN_COUNT ...]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks import default
from benchmarks.measure import in_turns, ratio, report
from trsr_lite.engine.threads import SPIN_COUNT, SPIN_VARIABLES, default_threads

USER = Path(__file__).parent.parent / "examples" / "news_reader.json"
QUIET_ROUNDS, BUSY_ROUNDS = 6, 3
LIBGOMP = "300000"  # its own default
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"  # never longer than who asked for it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spins", nargs="*", metavar="SPIN_COUNT", default=[LIBGOMP, "0"])
    options = parser.parse_args()
    default.bundle()
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
    report(
        "contention",
        rows,
        {"spin_count": SPIN_COUNT, "threads": default_threads(), "quiet": quiet, "busy": busy},
        whole=options == parser.parse_args([]),
    )


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
