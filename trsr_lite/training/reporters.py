"""Figures of a run for TensorBoard, MLflow and Weights & Biases, by the callbacks of transformers.

Invariant: a tool that is not installed is told before anything is trained. Losses, metrics and settings are reported,
no texts of the data and no weights.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trsr_lite.errors import SettingsError

FOLDER = "tensorboard"
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
}


def check(names: Sequence[str]) -> None:
    """Raise `SettingsError` for the first tool that is not installed."""
    for name in names:
        if not any(importlib.util.find_spec(package) for package in PACKAGES[name]):
            raise SettingsError(f"--report-to {name} needs its package", hint=f"pip install {PACKAGES[name][0]}")


def callbacks(names: Sequence[str], run: Path) -> list[Any]:
    """What tells these tools; TensorBoard's files go into the run, the others are set up by their own means."""
    from transformers.integrations.integration_utils import get_reporting_integration_callbacks

    found = [kind() for kind in get_reporting_integration_callbacks(list(names))]
    for callback in found:
        if hasattr(callback, "logging_dir"):
            callback.logging_dir = str(run / FOLDER)
    return found
