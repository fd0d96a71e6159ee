"""Which loss ranks best, and whose margins are probabilities? The same rows, learned with each objective.

    python -m benchmarks.objectives --data DIR --runs DIR [--steps 96]

The runs are those of `benchmarks.quality` that differ in their objective alone; one that was trained before is taken as
it is. They are compared where a default is chosen: on the validation lists.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks import quality
from benchmarks.measure import report
from trsr_lite.metrics import calibration
from trsr_lite.training import ranking_data, run_dir
from trsr_lite.training.torch_scorer import Scorer

LISTS = 40  # whose margins are looked at; ranked were all


def main() -> None:
    """Train what is missing, compare, and write `results/objectives.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that has mind/ and amazon-office/")
    parser.add_argument("--runs", type=Path, required=True, help="where runs are kept, so that they can be continued")
    parser.add_argument("--steps", type=int, default=quality.STEPS)
    arguments = parser.parse_args()
    runs = {cell: quality.trained(cell, arguments) for cell in quality.objectives()}
    found = {cell: of(run) for cell, run in runs.items()}
    alike: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell, one in found.items():
        alike.setdefault((cell.data, cell.objective), []).append(one)
    rows = [row(*name, of_seeds) for name, of_seeds in sorted(alike.items())]
    named = {cell.named(arguments.steps): one for cell, one in found.items()}
    report("objectives", rows, {"steps": arguments.steps, "runs": named}, whole=arguments.steps == quality.STEPS)


def row(data: str, objective: str, found: Sequence[dict[str, Any]]) -> tuple[str, str, str]:
    """The means over seeds, and each seed's score."""
    best = [one["best"] for one in found]
    means = {name: mean(one[name] for one in best) for name in ("recall@3", "recall@10", "auc", "score")}
    each = ", ".join(f"{one['score']:.2f}" for one in best)
    return (
        f"{data}, {objective}, seeds: {len(found)}",
        "Recall@3 {recall@3:.3f}, Recall@10 {recall@10:.3f}, AUC {auc:.3f}, score {score:.3f}".format(**means)
        + f" ({each})",
        f"calibration error {mean(one['calibration_error'] for one in found):.2f}",
    )


def of(run: Path) -> dict[str, Any]:
    """How a run ranks its validation lists, and what its margins say as they are, before any calibration.

    `said`: mean probability of the users' own items and of the others, which weigh alike.
    """
    scorer = Scorer(run, dtype="float32", offline=True)
    held_out = ranking_data.read(run / run_dir.LISTS)[:LISTS]
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
