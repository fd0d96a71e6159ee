"""The processes of one run: one, or as many as `torchrun` started.

Invariant: what the main process writes, the others find.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
from accelerate import PartialState

from trsr_lite.errors import SettingsError
from trsr_lite.training.train_options import TrainOptions

FSDP = "ACCELERATE_USE_FSDP"
PATIENCE = timedelta(days=30)  # the others wait while one summarizes, for as long as it takes


def join() -> PartialState:
    """Where this process stands among the others; on a CPU, accelerate lets them meet only if told to.

    Raises `SettingsError` under accelerate's FSDP, which would split an adapter with its base.
    """
    if os.environ.get(FSDP, "").lower() == "true":
        raise SettingsError(
            "`accelerate launch --use_fsdp` is not how a base is spread over several GPUs here",
            hint="start with `torchrun` or `accelerate launch --multi_gpu`, and give `--shard`",
        )
    gpu = torch.cuda.is_available() or torch.xpu.is_available()
    return PartialState(cpu="LOCAL_RANK" in os.environ and not gpu, timeout=PATIENCE)


@contextlib.contextmanager
def in_turn(state: PartialState) -> Iterator[None]:
    """The main process first, then the others together, before it goes on."""
    if not state.is_main_process:
        state.wait_for_everyone()
    yield
    if state.is_main_process:
        state.wait_for_everyone()
    state.wait_for_everyone()


def shards(options: TrainOptions, state: PartialState) -> int:
    """Number of parts of the base: 1, or one for each process; raises `SettingsError` where there is one process."""
    if not options.shard:
        return 1
    if state.num_processes == 1:
        raise SettingsError(
            "`shard` spreads a base over several processes, and there is one",
            hint="start with `torchrun --nproc_per_node N -m trsr_lite train …`, or remove `--shard`",
        )
    return int(state.num_processes)


def shared(model: Any) -> bool:
    """Whether the model is in shards: each pass needs all of them, so the processes make it together."""
    return bool(getattr(model, "is_distributed_loading_by_transformers", False))


def spare(model: Any, passes: int) -> int:
    """How many passes a process makes for nothing after its own `passes`, so that all make as many.

    All processes call this before their first pass.
    """
    if not shared(model):
        return 0
    most = torch.tensor(passes, device=next(model.parameters()).device)
    torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX)
    return int(most) - passes
