"""The command line as a person starts it: `--help`, a cold and a warm `recommend`, and memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks import default
from benchmarks.measure import in_turns, ratio, report

USER = Path(__file__).parent.parent / "examples" / "news_reader.json"
ROUNDS = 5
MIB = 1 << 20


def main() -> None:
    bundle = default.bundle()
    start_up = in_turns(
        {
            "help": lambda: _run([sys.executable, "-m", "trsr_lite", "--help"]),
            "click": lambda: _run([sys.executable, "-c", "import click"]),
        },
        15,
    )
    outside, cold, warm, peaks = [], [], [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            for times in (cold, warm):
                seconds, stats, peak = _recommend(folder)
                times.append(seconds)
                outside.append(seconds - stats["summarize"] - stats["score"])
                peaks.append(peak)
    files = {file.path: file.size for file in (bundle.summarizer, bundle.recommender)}
    limit = sum(files.values()) / MIB + KV_MIB + 200
    report(
        "commands",
        [
            ("--help / `import click`", f"{ratio(start_up['help'], start_up['click']):.2f}×", "≤ 1.6×"),
            ("recommend, cold cache", f"{median(cold):.2f} s", ""),
            ("recommend, warm cache", f"{median(warm):.2f} s", ""),
            ("outside model work, loading included", f"{median(outside):.2f} s", "≤ 0.6 s"),
            ("peak resident memory", f"{max(peaks):.0f} MiB", f"≤ {limit:.0f} MiB"),
        ],
        {"start_up": start_up, "cold": cold, "warm": warm, "outside": outside, "peak_mib": peaks},
    )


KV_MIB = 2048 * 30 * 2 * 192 * 2 / MIB  # cells x layers x (K, V) x width x 2 bytes of SmolLM2-135M


def _recommend(cache: str) -> tuple[float, dict[str, float], float]:
    """Wall seconds, the stages' seconds and the peak resident MiB of one whole process."""
    command = [*default.COMMAND, "--user", str(USER), "--domain", "news", "--json"]
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--cache-dir", cache], stdout=output, stderr=subprocess.DEVNULL, env=default.environment()
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            raise RuntimeError(f"recommend ended with status {status}")
        output.seek(0)
        stats = json.loads(output.read())["stats"]["seconds"]
    return seconds, stats, _mib(usage)


def _mib(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / (MIB if sys.platform == "darwin" else 1024)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
