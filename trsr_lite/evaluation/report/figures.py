"""The figures of an evaluation as tables, drawings and sentences of a page.

Invariant: every figure is one of `Evaluation`; what is drawn is also said in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trsr_lite.evaluation.evaluate import Evaluation
from trsr_lite.evaluation.report import plots, ranks
from trsr_lite.evaluation.report.content import (
    NONE,
    Cell,
    Drawing,
    Table,
    change_interval,
    counted,
    figure,
    probability,
    sentence,
    signed,
)
from trsr_lite.evaluation.tables import HEADLINE

CURVE = 20  # Recall@1 up to this
COLUMNS = {
    "recall@3": "Recall@3",
    "ndcg@10": "nDCG@10",
    "auc": "AUC",
    "recall@5": "Recall@5",
    "recall@10": "Recall@10",
    "mrr@10": "MRR@10",
    "label_mass": "Label mass",
    "calibration_error": "Calibration error",
    "seconds_per_list": "Seconds per list",
    "failed": "Failed",
}
MEANINGS = {
    "Recall@k": "share of the user's items among the first k; items of the same score count as in every order",
    "nDCG@10": "gain of the first ten as a share of the best possible; earlier places count more",
    "AUC": "chance that one of the user's items stands before another candidate; 0.5 is chance",
    "MRR@10": "1 / place of the first of the user's items, 0 beyond the tenth",
    "Label mass": "how likely the model answers yes or no at all; if low, it does not understand the question",
    "Calibration error": "distance of the probabilities from what happens; 0 is best",
    "Seconds per list": "time to rank one list, without summaries that were made before",
    "Failed": "lists that the system could not rank; they count as nothing found",
}


def in_short(evaluation: Evaluation) -> list[str]:
    """The result in a few sentences, for a reader who reads no table."""
    first, *others = evaluation.systems
    reached = {name: figures[HEADLINE]["value"] for name, figures in evaluation.systems.items()}
    examples = evaluation.lists.examples.values()
    chance = float(np.mean([min(3 / len(example.candidates), 1) for example in examples]))
    best = max(others, key=lambda name: reached[name], default=None)
    said = [f"Of the users' items, {first} puts {_percent(reached[first])} among its first three."]
    said += [f"The best other system, {best}, puts {_percent(reached[best])} there."] if best else []
    sentences = [" ".join([*said, f"Chance puts {_percent(chance)}."])]
    for one in evaluation.model_adds:
        area = one["metrics"]["auc"]
        sentences.append(
            f"To the simple signals, fused, {one['system']} adds {signed(area['value'])} AUC "
            f"({change_interval(area)}, p {probability(area['p'])})."
        )
    return sentences


def systems(evaluation: Evaluation) -> Table:
    """Every figure of every system."""
    rows = [(name, [_figure(key, figures.get(key)) for key in COLUMNS]) for name, figures in evaluation.systems.items()]
    return Table("What each system reaches", ["System", *COLUMNS.values()], rows)


def prepared(evaluation: Evaluation) -> str:
    """The seconds of work for all lists together; empty where there was none."""
    return ", ".join(f"{name} {value:,.1f} s" for name, value in evaluation.preparing.items() if value >= 0.05)


def drawings(evaluation: Evaluation) -> list[Drawing]:
    """Recall@3 of each system, and Recall@k for the first ks."""
    headlines = {name: figures[HEADLINE] for name, figures in evaluation.systems.items()}
    dots = Drawing(
        plots.dots(headlines, name="dots", label="Plot: Recall@3 of each system", described_by="dots-words"),
        "Recall@3, the share of the user's items among the first three, and its 95 % interval",
        "dots-words",
        sentences=[f"{name}: {sentence(found)}" for name, found in headlines.items()],
    )
    return [dots, _curves(evaluation)]


def comparisons(evaluation: Evaluation) -> list[Table]:
    """Each system against the first one: a table for each metric that is compared."""
    first, found = next(iter(evaluation.systems)), evaluation.comparisons
    if not found:
        return []
    heads = ["System", "Difference", "95 % interval", "p", "Could be shown"]
    tables = [Table(f"Recall@3 against {first}", heads, [(one["system"], _change(one)) for one in found])]
    for metric in found[0]["others"]:
        rows = [(one["system"], _change(one["others"][metric])) for one in found]
        tables.append(Table(f"{COLUMNS[metric]} against {first}", heads, rows))
    return tables


def added(evaluation: Evaluation) -> list[tuple[str, Table]]:
    """What each model adds to the other signals: a sentence, and a table of the metrics."""
    heads = ["Metric", "Without", "With", "Difference", "95 % interval", "p", "Could be shown"]
    found = []
    for one in evaluation.model_adds:
        name = one["system"]
        simple = f"The signals {', '.join(one['signals'])}" if one["signals"] else f"The other signals of {name}"
        said = (
            f"{simple} need no language model. Fused, they rank these lists without {name}'s margin, and again with it "
            f"as one more signal. The weights are {one['fusion']}."
        )
        rows = [
            (COLUMNS[metric], [Cell(f"{values['without']:.3f}"), Cell(f"{values['with']:.3f}"), *_change(values)])
            for metric, values in one["metrics"].items()
        ]
        found.append((said, Table(f"What {name} adds", heads, rows)))
    return found


def groups(evaluation: Evaluation) -> Table | None:
    """Recall@3 of warm and of cold lists; None where nobody counted."""
    found = evaluation.groups
    if not found:
        return None
    heads = [f"{name} ({counted(group['lists'], 'list')})" for name, group in found.items()]
    rows = [
        (name, [figure(group["systems"].get(name, {}).get(HEADLINE)) for group in found.values()])
        for name in evaluation.systems
    ]
    return Table("Recall@3 of each group", ["System", *heads], rows)


def first_stage(found: Mapping[str, Any] | None) -> str:
    """What a catalog finds before any ranking; empty where it was not measured."""
    if not found:
        return ""
    popular = f"; popularity's first: {sentence(found['popularity'])}" if found["popularity"] else ""
    return (
        f"The part of the user's items that is among the first {found['count']:,} of "
        f"{counted(found['items'], 'item')} before any ranking. The catalog's first: {sentence(found['catalog'])}"
        f"{popular}."
    )


def _curves(evaluation: Evaluation) -> Drawing:
    most = min(CURVE, max(len(example.candidates) for example in evaluation.lists.examples.values()))
    curves = {
        name: np.mean([ranks.recalls(one, most) for one in found], axis=0).tolist()
        for name, found in evaluation.outcomes.items()
    }
    ks = [k for k in (1, 2, 3, 5, 10, 15, CURVE) if k <= most]
    rows = [(name, [Cell(f"{values[k - 1]:.3f}") for k in ks]) for name, values in curves.items()]
    return Drawing(
        plots.curves(curves, name="lines", label="Plot: Recall@k of each system", described_by="lines-words"),
        "Recall@k, the share of the user's items among the first k",
        "lines-words",
        table=Table("Recall@k", ["System", *(f"k = {k}" for k in ks)], rows),
    )


def _change(found: Mapping[str, Any]) -> list[Cell]:
    """A difference, its interval, p, and the smallest difference that could have been shown."""
    shown = found["detectable"]
    cells = (signed(found["value"]), change_interval(found), probability(found["p"]), f"{shown:.3f}" if shown else NONE)
    return [Cell(text) for text in cells]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _figure(key: str, found: Mapping[str, Any] | int | None) -> Cell:
    return figure(found, ".3g" if key == "seconds_per_list" else ".3f")
