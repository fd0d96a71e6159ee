"""A finished run as something that scores lists, in torch: what conversion and evaluation compare with.

Invariant: the settings, prompts and summarizer are those of the run.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import PartialState

from trsr_lite.errors import ModelError
from trsr_lite.prompts import PROMPT_VERSION
from trsr_lite.records import Item
from trsr_lite.settings import Settings
from trsr_lite.training import adapter, base, folder, validation
from trsr_lite.training.objective import Objective
from trsr_lite.training.options import TrainOptions
from trsr_lite.training.rows import Row, build


class Scorer:
    """The model of a run. `base_model=True` leaves out what was trained: the zero-shot base.

    Attributes
    ----------
    record: the run's `run.json`.
    settings, options: what it was trained with.
    """

    def __init__(self, run: Path, *, base_model: bool = False, dtype: str | None = None, offline: bool = False) -> None:
        self.record = folder.read(run)
        if self.record.get("status") != "finished":
            raise ModelError(f"{run}: is not finished", hint="continue it with `trsr-lite train --resume`")
        if self.record["prompt_version"] != PROMPT_VERSION:
            raise ModelError(
                f"{run}: trained on prompt version {self.record['prompt_version']}; this trsr-lite has {PROMPT_VERSION}"
            )
        config = self.record["config"]
        self.settings = Settings.from_dict(config["settings"])
        values = {field.name: config["options"][field.name] for field in fields(TrainOptions)}
        self.options = TrainOptions(**{**values, "layers": tuple(values["layers"])})
        located = base.locate(self.options.base, revision=self.options.revision, offline=offline)
        self.tokenizer = base.HfTokenizer.load(located, offline=offline)
        kept, device = getattr(torch, dtype or self.record["dtype"]), PartialState().device
        if base_model:
            self.model: Any = base.load(located, kept, offline=offline).to(device)
        else:
            place = run / adapter.place(self.options)
            self.model = adapter.read_back(place, located, self.options, kept, device, offline=offline)
        answers = self.record["answers"]
        self.objective = Objective((answers[0], answers[1]))

    def with_model(self, model: Any) -> Scorer:
        """The same settings and prompts with another model."""
        other = copy.copy(self)
        other.model = model.to(PartialState().device)
        return other

    def row(self, history: Sequence[Item], summary: str | None, candidates: Sequence[Item]) -> Row:
        """The prompts of one list."""
        return build(history, summary, candidates, [0] * len(candidates), self.settings, self.tokenizer)

    def margins(self, rows: Sequence[Row]) -> list[npt.NDArray[np.float32]]:
        """(candidates,) margins of each row."""
        return validation.score(self.model, rows, self.objective)
