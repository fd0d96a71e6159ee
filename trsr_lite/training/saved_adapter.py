"""What a run leaves: the adapter that was trained, read back from disk before it gets its name.

Invariant: what has the name gives the margins that were validated.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState

from trsr_lite.errors import TrsrError
from trsr_lite.io import files
from trsr_lite.training import lora, run_dir, validation
from trsr_lite.training.packing import PackedRow
from trsr_lite.training.train_options import TrainOptions
from trsr_lite.training.trainable import Learner
from trsr_lite.training.trainer import PackTrainer

PROBES = 4  # validation rows scored again with the adapter from disk
TOLERANCE = 1e-3  # logits


def keep(
    trainer: PackTrainer,
    probes: Sequence[PackedRow],
    ready: Learner,
    options: TrainOptions,
    output: Path,
    state: PartialState,
    *,
    budget: int,
    offline: bool,
) -> None:
    """Save what was trained, read it back, and give it its name only if it still says the same.

    `budget`: most tokens of a pass. Raises `TrsrError` where it says something else.
    """
    staged, final = output / f".{lora.place(options)}", output / lora.place(options)
    model: Any = trainer.model
    with files.checked(output, hint=run_dir.ROOM):
        trainer.save_model(str(staged))
        if state.is_main_process:
            lora.finish(staged, options)
        state.wait_for_everyone()
        apart = ready.shards > 1  # then every process has a part of the base
        if state.is_main_process or apart:
            score = partial(validation.score, rows=probes, objective=ready.objective, alone=True, batch_tokens=budget)
            known = score(model)
            if apart:
                again = lora.read_beside(staged, model)
            else:
                if not options.four_bit:
                    model.to("cpu")  # the two need not be on one device
                again = lora.read_back(staged, ready.located, options, ready.held, state.device, offline=offline)
            with trainer.accelerator.autocast():  # as the trained model computes; off but for bfloat16 `full`
                found = score(again)
            _check_same(known, found)
        if state.is_main_process:
            shutil.rmtree(final, ignore_errors=True)
            staged.rename(final)


def _check_same(known: Sequence[np.ndarray[Any, Any]], found: Sequence[np.ndarray[Any, Any]]) -> None:
    difference = max(float(np.abs(one - other).max()) for one, other in zip(known, found, strict=True))
    if not difference <= TOLERANCE:
        raise TrsrError(
            f"the adapter read back from disk gives other margins (by up to {difference:.3g})",
            hint="this is a fault of the saved files: the checkpoints are kept, please report it",
        )
