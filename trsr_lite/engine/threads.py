"""How many threads to compute with, and how long they spin at a barrier.

Invariant: never more threads than physical (performance) cores that this process may use, by affinity and by cgroup.
All answers are read from the system at call time. Only the spin count is ever changed, and only while a library is
being loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

SPIN_COUNT = 10_000
"""Turns of libgomp's barrier loop before a thread sleeps.

libgomp's default of 300,000 burns a whole time slice whenever a neighbour holds the core of the thread being waited
for; 0 pays a system call at each of the several hundred barriers of a token. See `benchmarks/contention.py`.
"""

SPIN_VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
CGROUP = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
CPUS = Path("/sys/devices/system/cpu")


def default_threads() -> int:
    """Physical cores within affinity and cgroup quota, at least 1; performance cores only on hybrid chips."""
    cores = _linux_cores() if sys.platform == "linux" else _other_cores()
    quota = cgroup_quota()
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def cgroup_quota(root: Path = CGROUP, own: Path = OWN) -> float | None:
    """CPUs granted by the process's cgroup and those above it (v2 or v1), or None without a limit."""
    groups = {"": "/", "cpu": "/"}  # of v2, and of v1's controller
    with contextlib.suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            groups.update(dict.fromkeys(controllers.split(","), path))
    for name in ("", "cpu"):
        quotas = [quota for place in _upwards(root / name, groups[name]) if (quota := _quota(place)) is not None]
        if quotas:
            return min(quotas)
    return None


def _upwards(root: Path, group: str) -> Iterator[Path]:
    place = root / group.strip("/")
    yield from (folder for folder in (place, *place.parents) if folder.is_relative_to(root))


def _quota(group: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        granted, period = (group / "cpu.max").read_text().split()
        return None if granted == "max" else int(granted) / int(period)
    with contextlib.suppress(OSError, ValueError):
        granted_us = int((group / "cpu.cfs_quota_us").read_text())
        return granted_us / int((group / "cpu.cfs_period_us").read_text()) if granted_us > 0 else None
    return None


def physical_cores(cpus: set[int], root: Path = CPUS) -> int:
    """How many different cores the logical `cpus` are; only the fastest kind where the system names kinds."""
    capacity = {cpu: _integer(root / f"cpu{cpu}/cpu_capacity") for cpu in cpus}
    performance = _list(root.parent.parent / "cpu_core/cpus") & cpus  # Intel hybrid
    if not performance:
        most = max(capacity.values(), default=0)  # Arm big.LITTLE; all 0 elsewhere
        performance = {cpu for cpu in cpus if capacity[cpu] == most}
    cores = {frozenset(_list(root / f"cpu{cpu}/topology/thread_siblings_list") or {cpu}) for cpu in performance}
    return len(cores)


@contextlib.contextmanager
def short_spin() -> Iterator[None]:
    """Within this block a newly loaded OpenMP runtime learns to spin briefly; the environment is restored after.

    Runtimes read their settings once, when they are loaded. What the user has set wins.
    """
    if any(name in os.environ for name in SPIN_VARIABLES):
        yield
        return
    os.environ[SPIN_VARIABLES[0]] = str(SPIN_COUNT)
    try:
        yield
    finally:
        os.environ.pop(SPIN_VARIABLES[0], None)


def _linux_cores() -> int:
    return physical_cores(os.sched_getaffinity(0)) if sys.platform == "linux" else _other_cores()


def _other_cores() -> int:
    """Physical cores, on Apple silicon the fast ones, and no more than the CPUs this process may use (Windows)."""
    import psutil

    physical = _mac_performance_cores() if sys.platform == "darwin" else None
    physical = physical or psutil.cpu_count(logical=False) or os.cpu_count() or 1
    affinity = getattr(psutil.Process(), "cpu_affinity", None)  # macOS has none
    return min(physical, len(affinity())) if affinity else physical


def _mac_performance_cores() -> int | None:
    """Cores of the fastest kind, as `sysctl hw.perflevel0.physicalcpu` says; None on Intel."""
    value, size = ctypes.c_int32(), ctypes.c_size_t(4)
    failed = ctypes.CDLL(None).sysctlbyname(
        b"hw.perflevel0.physicalcpu", ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0)
    )
    return None if failed else value.value


def _integer(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _list(path: Path) -> set[int]:
    """A kernel CPU list, such as `0-3,8`."""
    cpus: set[int] = set()
    try:
        for part in path.read_text().strip().split(","):
            low, _, high = part.partition("-")
            cpus.update(range(int(low), int(high or low) + 1))
    except (OSError, ValueError):
        return set()
    return cpus
