"""What the figures were measured on, how much memory they took, and who else was computing.

Invariant: everything is read from the system when asked for; what the system does not say is None or empty.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from trsr_lite import __version__
from trsr_lite.engine import model
from trsr_lite.engine.threads import default_threads

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
CPUINFO = Path("/proc/cpuinfo")


def facts() -> dict[str, Any]:
    """The machine and the programs; `threads` are the physical cores that this process may use."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": _value(CPUINFO, "model name") or platform.processor() or platform.machine(),
        "logical_cpus": os.cpu_count(),
        "threads": default_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "gpu_offload": model.offloads(),
        "python": platform.python_version(),
        "trsr_lite": __version__,
        "llama_cpp_python": model.version(),
    }


def forget_peak(clear_refs: Path = CLEAR_REFS) -> None:
    """Let the peak of memory begin anew, where Linux can: preparing a model takes more than using it."""
    with contextlib.suppress(OSError):
        clear_refs.write_text("5")  # see proc(5)


def peak_memory(status: Path = STATUS) -> int:
    """Most bytes of memory that this process has held so far, model files that it maps included."""
    with contextlib.suppress(ValueError, IndexError):
        return int(_value(status, "VmHWM").split()[0]) * 1024
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # not first: on Linux a child inherits its parent's maximum

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Others:
    """Processor time of other programs from now on."""

    def __init__(self) -> None:
        self._start = _clocks()

    def share(self) -> float | None:
        """How much of all processors they used since, from 0 to 1; None where the system does not say."""
        busy, own, wall = (now - then for now, then in zip(_clocks(), self._start, strict=True))
        return share_of_others(busy, own, wall * (os.cpu_count() or 1))


def share_of_others(busy: float, own: float, whole: float) -> float | None:
    """From seconds that all programs used, that this one used, and that there were; None where `busy` stands still."""
    return None if busy <= 0 or whole <= 0 else round(min(1.0, max(0.0, (busy - own) / whole)), 3)


def _clocks() -> tuple[float, float, float]:
    times = psutil.cpu_times()
    kinds = ("user", "nice", "system", "irq", "softirq", "steal")  # Linux's guest time is in user
    return sum(getattr(times, kind, 0.0) for kind in kinds), time.process_time(), time.perf_counter()


def _value(path: Path, name: str) -> str:
    """The value of the first `name: value` line, or an empty text."""
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""
