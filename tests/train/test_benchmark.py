"""The benchmark of training runs, in whichever type the machine trains in: a few tokens of a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from trsr_lite.training.objective import Objective

training = pytest.importorskip("benchmarks.training", reason="needs the project's folder")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_packed_rows_are_compared_with_what_else_there_is(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    sizes: dict[str, Any] = {"PREFIX": 12, "SUFFIX": 3, "ROUNDS": 1, "TOKENS": 64, "ANSWERS": (5, 6)}
    for name, value in {**sizes, "LOSSES": Objective((5, 6), listwise=1.0, answer=0.2)}.items():
        monkeypatch.setattr(training, name, value)
    model, plain = training.models(str(tiny_base), dtype, torch.device("cpu"))
    for measure, count in ((training.examples, 3), (training.throughput, 3)):
        rows, seconds = measure(model, plain, torch.device("cpu"))
        assert len(rows) == len(seconds) == count
        assert all(float(measured.removesuffix("×")) > 0 for _, measured, _ in rows)
    if dtype == torch.float32:
        same = training.same(str(tiny_base), dtype, torch.device("cpu"))
        with training.doubled():
            same += training.same(str(tiny_base), torch.float64, torch.device("cpu"))
        assert len(same) == 4 and all(float(measured) < 1e-4 for _, measured, _ in same)
