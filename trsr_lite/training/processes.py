"""The processes of one run: one, or as many as `torchrun` started.

Invariant: what the main process writes, the others find.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta

import torch
from accelerate import PartialState

from trsr_lite.errors import SettingsError

FSDP = "ACCELERATE_USE_FSDP"
PATIENCE = timedelta(days=30)  # the others wait while one summarizes, for as long as it takes


def join() -> PartialState:
    """Where this process stands among the others; on a CPU, accelerate lets them meet only if told to.

    Raises `SettingsError` under FSDP, where every device must make as many passes as the others: packs differ.
    """
    if os.environ.get(FSDP, "").lower() == "true":
        raise SettingsError(
            "FSDP, which spreads a base over several GPUs, is not supported",
            hint="start with `torchrun`, a base on each GPU: `--four-bit` and `--gradient-checkpointing` save memory",
        )
    gpu = torch.cuda.is_available() or torch.xpu.is_available()
    return PartialState(cpu="LOCAL_RANK" in os.environ and not gpu, timeout=PATIENCE)


@contextlib.contextmanager
def in_turn(state: PartialState) -> Iterator[None]:
    """The main process first, then the others together."""
    if not state.is_main_process:
        state.wait_for_everyone()
    yield
    if state.is_main_process:
        state.wait_for_everyone()
