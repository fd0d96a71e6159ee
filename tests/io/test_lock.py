"""Locks: one holder at a time, whoever waits is told, and nothing stays of one that has ended."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trsr_lite import SettingsError, TrsrError
from trsr_lite.io import lock
from trsr_lite.io.remote import RemotePath

HOLD = """
import sys
from pathlib import Path
from trsr_lite.io import lock

with lock.waiting(Path(sys.argv[1]) / "mine", lambda: print("waits", flush=True)):
    print("holds", flush=True)
    input()
"""
WITHOUT_FLOCK = """
import errno, fcntl, warnings

def missing(number, operation):
    raise OSError(errno.ENOSYS, "Function not implemented")

fcntl.flock = missing
warnings.simplefilter("ignore")  # filelock says that it falls back
"""


@contextlib.contextmanager
def another(place: Path, code: str = HOLD) -> Iterator[Callable[[], str]]:
    """Another process, which takes a lock in a folder until this block ends; what is given reads a line of it."""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield process.stdout.readline
        process.communicate("\n", timeout=60)
    assert process.returncode == 0


def test_nothing_stays_of_a_lock(tmp_path: Path) -> None:
    for _ in range(2):
        with lock.held(RemotePath(str(tmp_path))), lock.waiting(tmp_path / "mine", lambda: None):
            assert sorted(path.name for path in tmp_path.iterdir()) == [lock.LOCK, "mine"]
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("before", ["", WITHOUT_FLOCK], ids=["flock", "a file system without it"])
def test_one_that_waits_says_so_and_goes_on_when_the_other_ends(tmp_path: Path, before: str) -> None:
    pytest.importorskip("fcntl")
    with contextlib.ExitStack() as opened:
        with another(tmp_path, before + HOLD) as first:
            assert first() == "holds\n"
            second = opened.enter_context(another(tmp_path, before + HOLD))
            assert second() == "waits\n"
        assert second() == "holds\n"
    assert list(tmp_path.iterdir()) == []


def test_nobody_waits_for_a_lock_that_is_free(tmp_path: Path) -> None:
    with lock.waiting(tmp_path / "mine", lambda: pytest.fail("waits")):
        assert (tmp_path / "mine").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_that_ends_does_not_give_the_lock_back(tmp_path: Path) -> None:
    code = (
        "import os, sys; from trsr_lite.io import lock, remote\n"
        "with lock.held(remote.RemotePath(sys.argv[1])):\n"
        "    if os.fork() == 0: sys.exit()\n"
        "    os.wait(); print('forked', flush=True); input()\n"
    )
    with another(tmp_path, code) as says:
        assert says() == "forked\n"
        with pytest.raises(SettingsError, match="another run"), lock.held(RemotePath(str(tmp_path))):
            pass


def test_a_lock_whose_file_was_taken_away_in_between_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    really, taken = fcntl.flock, 0

    def slow(number: int, operation: int) -> None:
        nonlocal taken
        if operation != fcntl.LOCK_UN:
            taken += 1
            if taken <= 2:
                (tmp_path / lock.LOCK).unlink()  # as the run that had it does when it ends
            if taken == 2:
                (tmp_path / lock.LOCK).touch()  # and this one is a third run's
        really(number, operation)

    monkeypatch.setattr(fcntl, "flock", slow)
    folder = RemotePath(str(tmp_path))
    with lock.held(folder):
        assert taken == 3
        with pytest.raises(SettingsError), lock.held(folder):
            pass


@pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")
def test_a_folder_is_held_by_whatever_name(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    names = [tmp_path / "run", tmp_path / "link", tmp_path / "link" / ".." / "run"]
    for one, other in itertools.permutations(names, 2):
        first, second = (lock.alone(name, "train", "at work") for name in (one, other))
        with first, pytest.raises(SettingsError) as caught, second:
            pass
        assert str(caught.value) == f"{other}: at work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "run"]


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.EACCES, "name another place"), (errno.ENOSPC, "make room, then run the same command again")],
)
def test_what_cannot_be_held_is_called_what_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, hint: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(Path, "mkdir", refuse)
    for place in (tmp_path / "run", Path(tmp_path.anchor)):
        with pytest.raises(TrsrError) as caught, lock.alone(place, "train", "at work"):
            pass
        assert (str(caught.value), caught.value.hint) == (f"{place}: nothing can be written beside it: refused", hint)
