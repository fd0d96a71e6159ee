"""A finished run as something that scores lists, in torch: what conversion and evaluation compare with.

Invariant: prompts and summarizer are those of the run, and so are the settings unless others are asked for.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import PartialState

from trsr_lite.errors import ModelError
from trsr_lite.prompts.templates import PROMPT_VERSION
from trsr_lite.records import Item
from trsr_lite.settings import Settings
from trsr_lite.training import base_model, lora, memory, run_dir, validation
from trsr_lite.training.base_model import of_run
from trsr_lite.training.losses import Objective
from trsr_lite.training.packing import PackedRow, build
from trsr_lite.training.tokenizer import HfTokenizer

ROOM = "hide a GPU that is too small with `CUDA_VISIBLE_DEVICES=`, or `trsr-lite convert` the run and ask the bundle"


class Scorer:
    """The model of a run. `base_model=True` leaves out what was trained: the zero-shot base.

    `unquantized=True` puts an adapter on the unquantized base although it was trained on 4 bits: what can be converted.

    Attributes
    ----------
    record: the run's `run.json`.
    settings, options: what it was trained with.
    base: where its base is.
    """

    def __init__(
        self,
        run: Path,
        *,
        base_model: bool = False,
        unquantized: bool = False,
        dtype: str | None = None,
        offline: bool = False,
    ) -> None:
        self.record, self.options = run_dir.finished(run)
        if unquantized:
            self.options = replace(self.options, four_bit=False)
        if self.record["prompt_version"] != PROMPT_VERSION:
            raise ModelError(
                f"{run}: trained on prompt version {self.record['prompt_version']}; this trsr-lite has {PROMPT_VERSION}"
            )
        self.settings = Settings.stored(self.record["config"]["settings"])
        self.base = of_run(self.record, self.options, offline=offline)
        self.tokenizer = HfTokenizer.load(self.base, offline=offline)
        self._trained = None if base_model else run / lora.place(self.options)
        self._dtype, self._offline = getattr(torch, dtype or self.record["dtype"]), offline
        answers = self.record["answers"]
        self.objective = Objective((answers[0], answers[1]))

    @cached_property
    def model(self) -> Any:
        """The model, loaded when it is first needed; raises `ModelError` where its base is another by now."""
        device = PartialState().device
        if self._trained is None:
            model = base_model.load(self.base, self._dtype, offline=self._offline).to(device)
        else:
            model = lora.read_back(self._trained, self.base, self.options, self._dtype, device, offline=self._offline)
        if self._trained is None or not self.options.full:  # all weights stand on no base
            bare = model if self._trained is None else model.get_base_model()
            base_model.check_same(self.base, bare, self.record["base"])
        return model

    def forget(self) -> None:
        """Give the model's memory back; it is loaded again if it is needed again."""
        self.__dict__.pop("model", None)

    def with_model(self, model: Any) -> Scorer:
        """The same settings and prompts with another model."""
        other = copy.copy(self)
        other.model = model.to(PartialState().device)
        return other

    def row(
        self,
        history: Sequence[Item],
        summary: str | None,
        candidates: Sequence[Item],
        *,
        settings: Settings | None = None,
    ) -> PackedRow:
        """The prompts of one list; with other `settings` than the run's, prompts that it was not trained on."""
        return build(history, summary, candidates, [0] * len(candidates), settings or self.settings, self.tokenizer)

    def margins(self, rows: Sequence[PackedRow]) -> list[npt.NDArray[np.float32]]:
        """(candidates,) margins of each row."""
        with memory.checked("scoring with torch", hint=ROOM):
            return validation.score(self.model, rows, self.objective)
