"""Validation: packs without gradients, spread over devices, to one number that says which checkpoint is best.

Invariant: every device ends with the same metrics, so that all of them choose alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from trsr_lite.errors import TrsrError
from trsr_lite.metrics.ranking import summary
from trsr_lite.training import distributed
from trsr_lite.training.losses import Objective, margins
from trsr_lite.training.packing import PackedRow, fill, pack
from trsr_lite.training.trainer import METRIC, forward

CUTOFFS = (3, 5, 10)
BATCH_TOKENS = 8192  # without gradients a token takes little memory
SPARED = 4  # times the tokens of a pass that learns


@torch.no_grad()
def score(
    model: Any,
    rows: Sequence[PackedRow],
    objective: Objective,
    *,
    alone: bool = False,
    batch_tokens: int = BATCH_TOKENS,
) -> list[npt.NDArray[np.float32]]:
    """For each row the margins of its candidates, or the mean loss of a text (a batch shares one), in order.

    Every device must call this with the same rows, and scores its share; `alone`, one scores all. `batch_tokens` are
    the most of one pass; a longer row goes alone.
    """
    rank, world = (0, 1) if alone else _place()
    mine = range(rank, len(rows), world)
    found: dict[int, npt.NDArray[np.float32]] = {}
    model.eval()
    device = next(model.parameters()).device
    passes = list(fill([rows[index] for index in mine], batch_tokens))
    spare = distributed.spare(model, len(passes))
    for places in passes:
        part = pack([rows[mine[place]] for place in places]).to(device)
        logits = forward(model, part)
        if part.candidates:
            values = list(margins(logits, objective.answers).split(part.candidates))
        else:
            values = [objective(logits, part)[None] / part.rows] * part.rows
        for place, value in zip(places, values, strict=True):
            found[mine[place]] = value.float().cpu().numpy()
    for _ in range(spare):
        forward(model, pack(rows[:1]).to(device))
    if world > 1:
        shares: list[Any] = [None] * world
        torch.distributed.all_gather_object(shares, found)
        found = {index: value for share in shares for index, value in share.items()}
    return [found[index] for index in range(len(rows))]


def budget(batch_tokens: int) -> int:
    """The most tokens of a pass where one that learns has so many."""
    return min(BATCH_TOKENS, SPARED * batch_tokens)


def ranking(scores: Sequence[npt.NDArray[np.float32]], rows: Sequence[PackedRow]) -> dict[str, float]:
    """Recall, MRR, nDCG and AUC; `score` is Recall@3 + 5 + 10, as the authors choose checkpoints."""
    if not all(np.isfinite(values).all() for values in scores):
        raise TrsrError(
            "the model's margins are no longer numbers",
            hint="the last good checkpoint is kept: lower `--learning-rate`, or use `--dtype float32`",
        )
    found = summary(((values, np.asarray(row.labels)) for values, row in zip(scores, rows, strict=True)), CUTOFFS)
    return {**found, METRIC: sum(found[f"recall@{k}"] for k in CUTOFFS)}


def text(scores: Sequence[npt.NDArray[np.float32]]) -> dict[str, float]:
    """Mean loss of a token; `score` is its negative."""
    loss = float(np.mean([values.mean() for values in scores]))
    if not np.isfinite(loss):
        raise TrsrError("the validation loss is no longer a number", hint="lower `--learning-rate`")
    return {"loss": loss, METRIC: -loss}


def _place() -> tuple[int, int]:
    """The rank of this process and the number of processes."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
