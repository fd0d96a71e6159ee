"""The benchmark of training runs, in whichever type the machine trains in: a few tokens of a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from trsr_lite.training.losses import Objective

training = pytest.importorskip("benchmarks.training", reason="needs the project's folder")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_packed_rows_are_compared_with_what_else_there_is(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    sizes: dict[str, Any] = {"PREFIX": 12, "SUFFIX": 3, "ROUNDS": 1, "TOKENS": 64, "ANSWERS": (5, 6), "SQUARE": 64}
    for name, value in {**sizes, "LOSSES": Objective((5, 6), listwise=1.0, answer=0.2)}.items():
        monkeypatch.setattr(training, name, value)
    model, plain = training.models(str(tiny_base), dtype, torch.device("cpu"))
    for measure, count in ((training.examples, 3), (training.throughput, 3)):
        rows, seconds = measure(model, plain, torch.device("cpu"))
        assert len(rows) == len(seconds) == count
        assert all(float(measured.removesuffix("×")) > 0 for _, measured, _ in rows)
    rows, full = training.utilisation(model, torch.device("cpu"))
    assert len(rows) == 2 and full["operations"] > 0
    if dtype == torch.float32:
        same = training.same(str(tiny_base), dtype, torch.device("cpu"))
        with training.doubled():
            same += training.same(str(tiny_base), torch.float64, torch.device("cpu"))
        assert len(same) == 4 and all(float(measured) < 1e-4 for _, measured, _ in same)


def test_operations_are_those_that_torch_counts(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16, where attention is products, which it counts: some more than needed, as no token looks ahead."""
    from torch.utils.flop_counter import FlopCounterMode

    monkeypatch.setattr(training, "PREFIX", 200)
    monkeypatch.setattr(training, "TOKENS", 64)
    monkeypatch.setattr(training, "ANSWERS", (5, 6))
    monkeypatch.setattr(training, "LOSSES", Objective((5, 6), listwise=1.0))
    model, _ = training.models(str(tiny_base), torch.bfloat16, torch.device("cpu"))
    one = training.row(5)
    with FlopCounterMode(display=False) as counter:
        training.packed(model, one, torch.device("cpu"))
    assert training.operations(model, one) == pytest.approx(counter.get_total_flops(), rel=0.15)


def test_a_large_base_of_random_weights_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        training, "SHAPE", {**training.SHAPE, "hidden_size": 64, "intermediate_size": 64, "vocab_size": 99}
    )
    model, plain = training.models(training.RANDOM, torch.bfloat16, torch.device("cpu"))
    weights, others = (dict(one.named_parameters()) for one in (model, plain))
    assert len(weights) == len(others) and all(torch.equal(weights[name], others[name]) for name in weights)
