"""The log of a run as a picture."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from trsr_lite.training.trainer import METRIC, read_log

FILE = "curves.png"
SMOOTH = 0.9


def curves(folder: Path) -> Path | None:
    """Draw loss and validation over the steps; None without matplotlib (the extra `plot`)."""
    if importlib.util.find_spec("matplotlib") is None:
        return None
    from matplotlib.figure import Figure

    lines = read_log(folder)
    losses = [(line["step"], line["loss"]) for line in lines if METRIC not in line and "loss" in line]
    validations = [line for line in lines if METRIC in line]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(*zip(*losses, strict=True), color="#bbbbbb", linewidth=0.8, label="step")
    smooth, mean = [], losses[0][1]
    for _, loss in losses:
        mean = SMOOTH * mean + (1 - SMOOTH) * loss
        smooth.append(mean)
    left.plot([step for step, _ in losses], smooth, color="#1f5fa8", label="smoothed")
    left.set(title="training loss", xlabel="step")
    left.legend(frameon=False)
    steps = [line["step"] for line in validations]
    names: list[str] = [name for name in ("recall@3", "recall@5", "recall@10") if name in validations[0]] or ["loss"]
    for name in names:
        right.plot(steps, [line[name] for line in validations], marker="o", markersize=3, label=name)
    right.set(title="validation", xlabel="step")
    if names != ["loss"]:
        right.set_ylim(0, 1)
    right.legend(frameon=False)
    figure.savefig(folder / FILE, dpi=130)
    return folder / FILE
