"""Counting cores from made-up system folders, and the spin count that leaves no trace."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from trsr_lite.engine import threads
from trsr_lite.engine.threads import SPIN_COUNT, cgroup_quota, physical_cores, short_spin


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


# Quotas


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "200000 100000\n"}, 2.0),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "25000 50000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3.0),
        ({"cpu/cpu.cfs_quota_us": "300000\n"}, None),
        ({"cpu.max": "garbage\n"}, None),
        ({"cpu.max": "", "cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu.max": "100000 100000", "cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 1.0),
    ],
    ids=str,
)
def test_a_quota_is_read_from_version_2_then_1(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    assert cgroup_quota(write(tmp_path, files), tmp_path / "no processes") == quota


def test_the_least_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    """A service without a namespace of its own: the file system shows all groups, and the root has no quota."""
    files = {
        "cpu.max": "max 100000",
        "system.slice/cpu.max": "400000 100000",
        "system.slice/a/cpu.max": "100000 100000",
    }
    own = tmp_path / "own"
    own.write_text("0::/system.slice/a\n")
    assert cgroup_quota(write(tmp_path / "v2", files), own) == 1.0
    own.write_text("0::/system.slice\n")
    assert cgroup_quota(write(tmp_path / "v2", files), own) == 4.0
    own.write_text("4:memory:/b\n3:cpu,cpuacct:/a:b\n")
    files = {"cpu/a:b/cpu.cfs_quota_us": "150000", "cpu/a:b/cpu.cfs_period_us": "100000"}
    assert cgroup_quota(write(tmp_path / "v1", files), own) == 1.5


# Cores


def cpus(tmp_path: Path, siblings: Mapping[int, str] | None = None, **files: str) -> Path:
    """A folder like `/sys/devices/system/cpu`, with each CPU's siblings; `files` have paths below it."""
    root = tmp_path / "devices" / "system" / "cpu"
    write(root, {f"cpu{cpu}/topology/thread_siblings_list": f"{text}\n" for cpu, text in (siblings or {}).items()})
    return write(root, files)


def test_siblings_are_one_core(tmp_path: Path) -> None:
    neighbours = cpus(tmp_path / "a", {0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"})
    spread = cpus(tmp_path / "b", {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"})
    assert physical_cores({0, 1, 2, 3}, neighbours) == physical_cores({0, 1, 2, 3}, spread) == 2


def test_without_siblings_every_cpu_is_a_core(tmp_path: Path) -> None:
    assert physical_cores({0, 1, 2}, cpus(tmp_path, {0: "0", 1: "1", 2: "2"})) == 3


def test_where_nothing_is_known_every_cpu_is_a_core(tmp_path: Path) -> None:
    assert physical_cores({0, 1, 2}, cpus(tmp_path)) == 3


def test_only_the_cpus_of_this_process_count(tmp_path: Path) -> None:
    root = cpus(tmp_path, {cpu: f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}" for cpu in range(8)})
    assert physical_cores({0, 1}, root) == 1
    assert physical_cores({1, 2, 7}, root) == 3


def test_efficiency_cores_of_a_hybrid_chip_do_not_count(tmp_path: Path) -> None:
    pairs = {0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}
    root = cpus(tmp_path, {**pairs, **{cpu: str(cpu) for cpu in range(4, 8)}})
    write(root.parent.parent, {"cpu_core/cpus": "0-3\n", "cpu_atom/cpus": "4-7\n"})
    assert physical_cores(set(range(8)), root) == 2
    assert physical_cores({4, 5, 6}, root) == 3  # pinned to efficiency cores: they are all there is


def test_little_cores_of_an_arm_chip_do_not_count(tmp_path: Path) -> None:
    capacities = {f"cpu{cpu}/cpu_capacity": "1024" if cpu >= 4 else "446" for cpu in range(6)}
    root = write(cpus(tmp_path, {cpu: str(cpu) for cpu in range(6)}), capacities)
    assert physical_cores(set(range(6)), root) == 2
    assert physical_cores({0, 1, 2}, root) == 3


def test_an_unreadable_list_of_siblings_is_ignored(tmp_path: Path) -> None:
    assert physical_cores({0, 1}, cpus(tmp_path, {0: "garbage", 1: ""})) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is read on Linux")
@pytest.mark.parametrize(("quota", "expected"), [(None, 4), (2.0, 2), (2.5, 3), (0.3, 1), (64.0, 4)])
def test_threads_stay_within_cores_and_quota(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, expected: int
) -> None:
    monkeypatch.setattr(threads, "physical_cores", len)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 4, 5, 9})
    monkeypatch.setattr(threads, "cgroup_quota", lambda: quota)
    assert threads.default_threads() == expected


def test_this_machine_has_at_least_one_thread() -> None:
    assert 1 <= threads.default_threads() <= (os.cpu_count() or 1)


# Spinning


@pytest.fixture
def no_spin_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in threads.SPIN_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_spin_settings")
def test_a_short_spin_leaves_no_trace() -> None:
    before = dict(os.environ)
    with short_spin():
        assert dict(os.environ) == {**before, "GOMP_SPINCOUNT": str(SPIN_COUNT)}
    assert dict(os.environ) == before


@pytest.mark.usefixtures("no_spin_settings")
def test_a_short_spin_leaves_no_trace_after_an_error() -> None:
    before = dict(os.environ)
    with pytest.raises(OSError, match="cannot load"), short_spin():
        raise OSError("cannot load")
    assert dict(os.environ) == before


@pytest.mark.usefixtures("no_spin_settings")
@pytest.mark.parametrize(("name", "value"), [("GOMP_SPINCOUNT", "7"), ("OMP_WAIT_POLICY", "passive")])
def test_what_the_user_has_set_wins(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with short_spin():
        assert dict(os.environ) == before
    assert dict(os.environ) == before
