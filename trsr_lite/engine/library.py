"""The one place that imports `llama_cpp`: loaded once, its names checked, its log and its errors heard.

Invariant: llama.cpp's log goes to `logging.getLogger("trsr_lite.llama")` and nowhere else. What a callback could not
raise through C is raised when the call has returned. llama.cpp renames its API often, so the names in use are checked.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from trsr_lite.engine.threads import short_spin
from trsr_lite.errors import ModelError

logger = logging.getLogger("trsr_lite.llama")

SYMBOLS = (
    "llama_decode", "llama_get_logits_ith", "llama_get_memory", "llama_memory_clear", "llama_memory_seq_cp",
    "llama_memory_seq_rm", "llama_model_load_from_file", "llama_init_from_model", "llama_model_quantize",
    "llama_set_abort_callback", "llama_adapter_lora_init", "llama_set_adapters_lora", "llama_state_seq_get_size",
    "llama_state_seq_get_data", "llama_state_seq_set_data", "llama_model_n_swa", "llama_model_is_hybrid",
    "llama_model_is_recurrent", "llama_set_n_threads",
)  # fmt: skip
LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}  # ggml_log_level


class Heard(threading.local):
    """What llama.cpp said during a call, which it says in the calling thread: two models never mix their errors."""

    def __init__(self) -> None:
        self.level = logging.DEBUG
        self.errors: deque[str] = deque(maxlen=4)
        self.raised: list[BaseException] = []


heard = Heard()


class _Process:
    """`loading`: two first uses at once would give llama.cpp two callbacks, of which one is kept.

    `computed`: the process that llama.cpp has computed in. Its threads are there alone: another would wait for ever.
    """

    loading = threading.RLock()
    computed: int | None = None

    @classmethod
    def forked(cls) -> None:
        """A thread that had the lock does not exist here."""
        cls.loading = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Process.forked)


def library() -> Any:
    """The `llama_cpp` package, loaded once: short spinning, checked names, log routed."""
    with _Process.loading:
        return _loaded()


@functools.cache
def _loaded() -> Any:
    with short_spin():
        try:
            import llama_cpp
        except ImportError as error:
            raise ModelError(
                f"llama-cpp-python is not installed: {error}",
                hint="install it with `pip install llama-cpp-python`",
            ) from error
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"llama-cpp-python cannot load its library: {error}",
                hint="reinstall it with `pip install --force-reinstall --no-cache-dir llama-cpp-python`",
            ) from error
    missing = [name for name in SYMBOLS if not hasattr(llama_cpp, name)]
    if missing:
        raise ModelError(
            f"llama-cpp-python {llama_cpp.__version__} lacks {', '.join(missing)}",
            hint="install the version that trsr-lite names in its requirements",
        )
    llama_cpp.llama_log_set(_log_callback(llama_cpp), ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    return llama_cpp


@functools.cache
def _log_callback(lib: Any) -> Any:
    def log(level: int, text: bytes, _user_data: Any) -> None:
        try:
            heard.level = LEVELS.get(level, heard.level)  # level 5 continues the line before
            if heard.level >= logging.ERROR:
                heard.errors.append(text.decode(errors="replace").strip())
            if logger.isEnabledFor(heard.level):
                logger.log(heard.level, "%s", text.decode(errors="replace").rstrip())
        except KeyboardInterrupt as interrupt:  # cannot pass through C: raised again when the call returns
            heard.raised.append(interrupt)

    return lib.llama_log_callback(log)


@contextlib.contextmanager
def interrupts_wait() -> Iterator[Callable[[], bool]]:
    """Ctrl-C in this block is raised at its end; what is yielded says whether it came.

    Python would raise it at the entry of the next callback from C. Nothing can catch it there, so it would be lost.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield lambda: False
        return
    came: list[tuple[int, Any]] = []
    signal.signal(signal.SIGINT, lambda *what: came.append(what))
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[0])


def check_process() -> None:
    """Raise `ModelError` in a process that was forked from one in which llama.cpp has computed."""
    if _Process.computed not in (None, os.getpid()):
        raise ModelError(
            f"llama.cpp has computed in process {_Process.computed}, and cannot in one that was forked from it",
            hint="fork before the first call, or start processes by `spawn`, which share nothing",
        )


def computes() -> None:
    """To be called before llama.cpp computes; raises as `check_process` does."""
    check_process()
    _Process.computed = os.getpid()


def version() -> str:
    """Version of llama-cpp-python."""
    return str(library().__version__)


def offloads() -> bool:
    """Whether this build of llama.cpp can put layers on a GPU (Metal, CUDA, …)."""
    return bool(library().llama_supports_gpu_offload())


def system_info() -> str:
    """llama.cpp's own line on the CPU features it was built with."""
    return str(library().llama_print_system_info().decode())


def raise_heard() -> None:
    """Raise what a callback could not raise through C."""
    if heard.raised:
        error, heard.raised = heard.raised[0], []
        raise error


def reason() -> str:
    """What llama.cpp said went wrong, for an error's message."""
    return "; ".join(error for error in heard.errors if error) or "llama.cpp gives no reason"


def give_back() -> None:
    """Return freed memory to the system: glibc keeps what llama.cpp frees, some tens of MB."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
