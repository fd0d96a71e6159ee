"""Which users are read in which step, on which device.

Invariant: a step reads the same users on one device as on many. The order depends on the seed alone, so a run can be
continued anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trsr_lite.errors import SettingsError
from trsr_lite.training.packing import PackedRow, fill, pack


@dataclass(frozen=True)
class Order:
    """The training cases of every step: each pass is a new permutation, and its last step may be smaller."""

    numbers: Sequence[int]
    epochs: int
    batch_rows: int
    seed: int
    max_steps: int | None = None

    @property
    def per_epoch(self) -> int:
        """Steps of one pass."""
        return -(-len(self.numbers) // self.batch_rows)

    @property
    def steps(self) -> int:
        """Steps in all."""
        planned = self.epochs * self.per_epoch
        return min(planned, self.max_steps or planned)

    def read(self) -> Iterator[tuple[int, int]]:
        """The epoch and the number of every case that a step reads, step by step."""
        for epoch in range(self.epochs):
            steps = min(self.steps - epoch * self.per_epoch, self.per_epoch)
            for place in self._pass(epoch)[: max(steps, 0) * self.batch_rows]:
                yield epoch, self.numbers[place]

    def of(self, step: int) -> tuple[int, list[int]]:
        """The epoch of a step, and the numbers of its cases."""
        epoch, place = divmod(step, self.per_epoch)
        chosen = self._pass(epoch)[place * self.batch_rows : (place + 1) * self.batch_rows]
        return epoch, [self.numbers[index] for index in chosen]

    def _pass(self, epoch: int) -> np.ndarray[Any, Any]:
        """Places in `numbers` in the order of this pass."""
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.numbers))


def check_rows(batch_rows: int, world: int) -> None:
    """Raise `SettingsError` where a step has no user for some of `world` processes."""
    if batch_rows < world:
        raise SettingsError(f"batch_rows is {batch_rows}; with {world} processes it must be at least {world}")


class Schedule:
    """A map-style dataset: item `step * world + rank` is what one device reads in one step.

    `row(number, epoch)` builds the row of a training case. An item is `{"packs": [Pack, …], "rows": users in the whole
    step, "weight": 0 if they are another device's, "shortened": rows whose oldest items did not fit}`.
    """

    def __init__(
        self, order: Order, row: Callable[[int, int], PackedRow], *, batch_tokens: int, world: int = 1, **packing: Any
    ) -> None:
        check_rows(order.batch_rows, world)
        self.order, self.row, self.batch_tokens, self.world = order, row, batch_tokens, world
        self.packing = packing

    def __len__(self) -> int:
        return self.order.steps * self.world

    def __getitem__(self, index: int) -> dict[str, Any]:
        step, rank = divmod(index, self.world)
        epoch, numbers = self.order.of(step)
        # A device without a user of its own would leave the others waiting: it reads one that counts for nothing.
        mine = numbers[rank :: self.world] or numbers[:1]
        rows = [self.row(number, epoch) for number in mine]
        packs = [pack([rows[place] for place in places], **self.packing) for places in fill(rows, self.batch_tokens)]
        weight = float(rank < len(numbers))
        shortened = sum(row.dropped > 0 for row in rows) if weight else 0
        return {"packs": packs, "rows": len(numbers), "weight": weight, "shortened": shortened}
