"""Which users are read in which step, on which device.

Invariant: a step reads the same users on one device as on many, and the order depends on the seed alone, so a run can
be continued anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trsr_lite.errors import SettingsError
from trsr_lite.training.rows import Row, fill, pack


class Schedule:
    """A map-style dataset: item `step * world + rank` is what one device reads in one step.

    `row(number, epoch)` builds the row of a training case. An item is `{"packs": [Pack, …], "rows": users in the whole
    step, "weight": 0 if they are another device's, "shortened": rows whose oldest items did not fit}`. Every pass is a
    new permutation of the cases; the last step of a pass may be smaller.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        row: Callable[[int, int], Row],
        *,
        epochs: int,
        batch_rows: int,
        batch_tokens: int,
        seed: int,
        max_steps: int | None = None,
        world: int = 1,
        **packing: Any,
    ) -> None:
        self.numbers, self.row, self.seed = list(numbers), row, seed
        if batch_rows < world:
            raise SettingsError(f"batch_rows is {batch_rows}; with {world} processes it must be at least {world}")
        self.batch_rows, self.batch_tokens, self.world = batch_rows, batch_tokens, world
        self.per_epoch = -(-len(self.numbers) // self.batch_rows)
        self.steps = min(epochs * self.per_epoch, max_steps or epochs * self.per_epoch)
        self.packing = packing

    def __len__(self) -> int:
        return self.steps * self.world

    def __getitem__(self, index: int) -> dict[str, Any]:
        step, rank = divmod(index, self.world)
        epoch, numbers = self.of(step)
        # A device without a user of its own would leave the others waiting: it reads one that counts for nothing.
        mine = numbers[rank :: self.world] or numbers[:1]
        rows = [self.row(number, epoch) for number in mine]
        packs = [pack([rows[place] for place in places], **self.packing) for places in fill(rows, self.batch_tokens)]
        weight = float(rank < len(numbers))
        shortened = sum(row.dropped > 0 for row in rows) if weight else 0
        return {"packs": packs, "rows": len(numbers), "weight": weight, "shortened": shortened}

    def of(self, step: int) -> tuple[int, list[int]]:
        """The epoch of a step, and the numbers of its cases."""
        epoch, place = divmod(step, self.per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.numbers))
        chosen = order[place * self.batch_rows : (place + 1) * self.batch_rows]
        return epoch, [self.numbers[index] for index in chosen]
