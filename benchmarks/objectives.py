"""Which loss ranks best, and whose margins are probabilities? The same Amazon rows, learned with each objective.

    python -m benchmarks.objectives --data DIR --runs DIR [--steps 96] [--only answer]

The runs are those of `benchmarks.quality` (no summaries, uniform negatives, seed 0), but for the objective; a run that
was trained before is taken as it is. They are compared where a default is chosen: on the validation lists.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import quality
from benchmarks.measure import report
from trsr_lite.evaluation import calibration
from trsr_lite.training import folder, lists
from trsr_lite.training.options import OBJECTIVES, TrainOptions
from trsr_lite.training.scorer import Scorer

LISTS = 40  # whose margins are looked at; ranked were all


def main() -> None:
    """Train what is missing, compare, and write `results/objectives.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that has amazon-office/")
    parser.add_argument("--runs", type=Path, required=True, help="where runs are kept, so that they can be continued")
    parser.add_argument("--steps", type=int, default=quality.STEPS)
    parser.add_argument("--only", choices=OBJECTIVES, help="train one objective, and compare nothing")
    arguments = parser.parse_args()
    asked = [arguments.only] if arguments.only else list(OBJECTIVES)
    runs = {objective: trained(objective, arguments) for objective in asked}
    if arguments.only:
        return
    found = {objective: of(run) for objective, run in runs.items()}
    rows = [
        (
            objective,
            ", ".join(f"Recall@{k} {one['best'][f'recall@{k}']:.2f}" for k in (3, 5, 10)),
            f"calibration error {one['calibration_error']:.2f}",
        )
        for objective, one in found.items()
    ]
    report("objectives", rows, {"steps": arguments.steps, "runs": found}, whole=arguments.steps == quality.STEPS)


def trained(objective: str, arguments: argparse.Namespace) -> Path:
    """The run that learned with an objective; that of the default is a cell of `benchmarks.quality`."""
    changes = {} if objective == TrainOptions().objective else {"objective": objective}
    return quality.trained("amazon", "none", "uniform", 0, arguments, **changes)


def of(run: Path) -> dict[str, Any]:
    """How a run ranks its validation lists, and what its margins say as they are, before any calibration.

    `said`: mean probability of the users' own items and of the others, which weigh alike.
    """
    scorer = Scorer(run, dtype="float32", offline=True)
    held_out = lists.read(run / folder.LISTS)[:LISTS]
    margins = scorer.margins([one.row(scorer.settings, scorer.tokenizer) for one in held_out])
    labels = np.concatenate([one.labels for one in held_out])
    probabilities = 1 / (1 + np.exp(-np.concatenate(margins).astype(np.float64)))
    return {
        "best": scorer.record["best"],
        "calibration_error": round(calibration.error(probabilities, labels), 3),
        "said": [round(float(probabilities[labels == own].mean()), 3) for own in (1, 0)],
        **quality.curves(run),
    }


if __name__ == "__main__":
    main()
