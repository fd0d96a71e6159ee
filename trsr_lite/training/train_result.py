"""What a finished run came to. It imports no torch, so that `trsr_lite.TrainResult` needs no extra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trsr_lite.training import run_dir


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes
    ----------
    run: its folder, which `convert` and `evaluate` take.
    steps: optimizer steps that were made.
    best: the best validation: metrics such as `recall@3` and `auc`, from 0 to 1, and `score`, which chose it.
    seconds: of training, validation and saving, over all starts.
    """

    run: Path
    steps: int
    best: Mapping[str, float]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `trsr-lite train --json`."""
        return {
            "schema": run_dir.SCHEMA,
            "run": str(self.run),
            "steps": self.steps,
            "best": dict(self.best),
            "seconds": round(self.seconds, 1),
        }
