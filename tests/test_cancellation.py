"""A cancellation is told once, in time, and never to those who have left."""

from __future__ import annotations

import itertools
import sys
import threading
from typing import Any

import pytest

from trsr_lite import Cancellation, Cancelled


def test_a_listener_is_told_once_before_cancel_returns() -> None:
    stop, told = Cancellation(), []
    with stop.telling(lambda: told.append(threading.get_ident())):
        assert (stop.cancelled, told) == (False, [])
        stop.cancel()
        assert (stop.cancelled, told) == (True, [threading.get_ident()])
        stop.cancel()
    assert len(told) == 1


def test_who_comes_late_is_told_at_once() -> None:
    stop, told = Cancellation(), []
    stop.cancel()
    with stop.telling(lambda: told.append(1)):
        assert told == [1]


def signalled(line: int) -> bool:
    """A listener comes as a signal handler cancels before a line of `telling`: whether the block had not begun yet."""
    stop, told = Cancellation(), list[int]()

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal line
        if frame.f_code.co_name != "telling":
            return None
        line -= event == "line"
        if line == 0:
            sys.settrace(None)
            stop.cancel()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with stop.telling(lambda: told.append(1)):
            came = stop.cancelled
            assert told == [1] * came
    finally:
        sys.settrace(before)
    assert len(told) <= 1
    return came


def test_a_signal_at_any_line_of_a_listener_that_comes_is_told_once() -> None:
    came = list(itertools.takewhile(signalled, itertools.count(1)))
    assert len(came) >= 3


def test_who_has_left_is_not_told() -> None:
    stop, told = Cancellation(), []
    with stop.telling(lambda: told.append(1)):
        pass
    stop.cancel()
    assert told == []


def test_leaving_waits_for_a_word_that_is_being_said() -> None:
    stop, saying, order = Cancellation(), threading.Event(), []

    def slowly() -> None:
        saying.set()
        threading.Event().wait(0.05)
        order.append("said")

    with stop.telling(slowly):
        thread = threading.Thread(target=stop.cancel)
        thread.start()
        saying.wait()
    order.append("left")
    thread.join()
    assert order == ["said", "left"]


def test_checking_raises_only_after_cancelling() -> None:
    stop = Cancellation()
    stop.check()
    stop.cancel()
    with pytest.raises(Cancelled):
        stop.check()
