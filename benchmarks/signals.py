"""How well do signals rank without a language model, against the simple systems that they replace?

    python -m benchmarks.signals --data DIR [--model GGUF] [--lists N] [--speed]

Four kinds of lists: each MIND reader's last click and each Office shopper's last product against 20 uniform others,
what MIND readers were really shown, and each author's last paper against 20 others; a history is used whole. The
weights of `fused` are learned on authors' lists alone (authors are scored by weights that never saw them), with
statistics of the lists' own items, or with those that the default ships (`shipped`), which ranks so.
`fitted here` learns on the lists it ranks, cross-fitted by user: what a training run may expect. The data are not part
of the repository. `--speed` measures time alone: a first call, and the same call again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import RESULTS
from trsr_lite import Item
from trsr_lite.datasets import dataset
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.datasets.dataset import Example
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.engine.tensors import Rows
from trsr_lite.evaluation.baselines import words
from trsr_lite.io.digests import file_digest
from trsr_lite.metrics import intervals, ranking
from trsr_lite.models import bundle_signals, default
from trsr_lite.models.bundle import MANIFEST
from trsr_lite.signals import learned_table, statistics_file
from trsr_lite.signals.fitting import JudgedList, fit
from trsr_lite.signals.fusion import Fusion, Weight
from trsr_lite.signals.ranker import SignalRanker
from trsr_lite.signals.statistics import Statistics
from trsr_lite.signals.statistics_builder import StatisticsBuilder
from trsr_lite.signals.token_table import TokenTable

UNIFORM = {"validation": 0.0, "test": 1.0, "test_negatives": 20}
SETS: dict[str, dict[str, Any]] = {
    "mind": {"dataset": "mind", "data": "mind/train", "min_items": 3, **UNIFORM},
    "office": {"dataset": "amazon-m2", "data": "amazon-office", "min_items": 3, **UNIFORM},
    "real": {"dataset": "mind", "data": "mind/dev", "min_items": 2, **UNIFORM, "negatives": "impressions"},
    "authors": {"dataset": "jsonl", "data": "acl", "min_items": 3, **UNIFORM},
}
SIGNALS = (
    "tokens",
    "meaning",
    "recent",
    "words",
    "taste",
    "specific",
    "attributes",
)  # those that need no counted users
SIMPLE = ("tfidf-decayed", "svm", "words", "tokens", "meaning", "attributes")  # what fusion is compared with
FIGURES: dict[str, Callable[[Any, Any], float]] = {
    "recall@3": lambda scores, labels: ranking.recall_at(scores, labels, 3),
    "ndcg@10": lambda scores, labels: ranking.ndcg_at(scores, labels, 10),
    "auc": ranking.auc,
}
Scores = dict[str, list[np.ndarray]]


@dataclass(frozen=True)
class Body:
    """Items, and lists of them."""

    items: list[Item]
    examples: list[Example]


class Lab:
    """Statistics and signals of one base model."""

    def __init__(self, model: Path) -> None:
        self.tokenizer = LlamaEngine(model, identity="", vocab_only=True)
        self.rows = Rows(model)

    def statistics(self, items: Sequence[Item]) -> Statistics:
        builder = StatisticsBuilder(self.tokenizer, self.rows)
        builder.add(items)
        return builder.build()

    def judged(self, statistics: Statistics, body: Body) -> list[JudgedList]:
        assert statistics.row_mean is not None
        table = TokenTable(self.rows, statistics.row_mean)
        ranker = SignalRanker(statistics, Fusion({}), tokenizer=self.tokenizer, table=table)
        return [
            JudgedList(ranker.numbers(one.history, one.candidates), one.labels, one.user_id) for one in body.examples
        ]


def read(data: Path, name: str, most: int | None) -> Body:
    options = DataOptions(**{**SETS[name], "data": str(data / SETS[name]["data"])})
    with dataset.load(options) as found:
        numbers = found.numbers("test") if most is None else found.chosen("test", most, 0)
        return Body(list(found.items()), [found.example(number) for number in numbers])


def shipped() -> tuple[Statistics, Fusion]:
    """What the default ranks by."""
    manifest = json.loads((default.ADAPTERS / MANIFEST).read_text(encoding="utf-8"))
    signals = bundle_signals.read(default.ADAPTERS, manifest["signals"], file_digest)
    found = statistics_file.load(signals.statistics.path)
    return replace(found, learned=learned_table.shipped(found.tokenizer)), signals.fusion


def simple(body: Body) -> Iterator[tuple[str, list[np.ndarray]]]:
    for name, ranker in (("tfidf-decayed", words.DecayedTfIdf(body.items)), ("svm", words.Svm(body.items))):
        yield name, [ranker.score(one) for one in body.examples]


def single(judged: Sequence[JudgedList], name: str) -> list[np.ndarray]:
    """A signal alone; what it does not know ranks as its mean."""
    known = np.concatenate([one.numbers[name] for one in judged])
    mean = float(known[np.isfinite(known)].mean()) if np.isfinite(known).any() else 0.0
    return [np.nan_to_num(one.numbers[name], nan=mean) for one in judged]


def figures(scores: Sequence[np.ndarray], body: Body) -> dict[str, np.ndarray]:
    pairs = list(zip(scores, (one.labels for one in body.examples), strict=True))
    return {name: np.array([figure(*pair) for pair in pairs]) for name, figure in FIGURES.items()}


def systems(lab: Lab, bodies: dict[str, Body]) -> Iterator[tuple[str, Scores, dict[str, Any]]]:
    """(set, system -> scores, weights) of each set."""
    statistics = {name: lab.statistics(body.items) for name, body in bodies.items()}
    of_default, fusion = shipped()
    authors = {"own": lab.judged(statistics["authors"], bodies["authors"])}
    authors["shipped"] = lab.judged(of_default, bodies["authors"])
    fits = {"fused": fit(authors["own"], SIGNALS), "fused, shipped": fit(authors["shipped"], SIGNALS)}
    fusions = {"fused": fits["fused"].fusion, "fused, shipped": fusion}
    for name, body in bodies.items():
        own = authors["own"] if name == "authors" else lab.judged(statistics[name], body)
        by_shipped = authors["shipped"] if name == "authors" else lab.judged(of_default, body)
        found: Scores = dict(simple(body))
        found |= {signal: single(own, signal) for signal in SIGNALS}
        for label, one in fusions.items():
            lists = by_shipped if label == "fused, shipped" else own
            # Authors are scored by weights that never saw them.
            unseen = [one.scores(judged.numbers, len(judged.labels)) for judged in lists]
            found[label] = fits[label].scores if name == "authors" else unseen
        found["fitted here"] = fit(own, SIGNALS).scores
        yield name, found, {label: one.to_json()["weights"] for label, one in fusions.items()}


def table(results: dict[str, Any]) -> Iterator[str]:
    names = list(results["sets"])
    yield "| system | " + " | ".join(f"{name}, {results['sets'][name]['lists']} lists" for name in names) + " |"
    yield "|---|" + "---|" * len(names)
    for system in next(iter(results["sets"].values()))["systems"]:
        cells = []
        for name in names:
            one = results["sets"][name]["systems"][system]
            recall = one["recall@3"]
            bounds = f" [{recall['low']:.3f}, {recall['high']:.3f}]" if recall["low"] is not None else ""
            cells.append(f"{recall['value']:.3f}{bounds} / {one['ndcg@10']['value']:.3f} / {one['auc']['value']:.3f}")
        yield f"| {system} | " + " | ".join(cells) + " |"


def speed(lab: Lab, body: Body) -> None:
    """Print how long everything but the model takes, for two sizes of a call."""
    statistics = lab.statistics(body.items[:1500])
    assert statistics.row_mean is not None
    fusion = Fusion({name: Weight(1.0) for name in SIGNALS})
    table = TokenTable(lab.rows, statistics.row_mean)
    ranker = SignalRanker(statistics, fusion, tokenizer=lab.tokenizer, table=table)
    for history, candidates, times in ((20, 21, 200), (500, 1000, 30)):
        had, asked = body.items[:history], body.items[history : history + candidates]
        taken = []
        for _ in range(times):
            start = time.perf_counter()
            ranker.rank(had, asked)
            taken.append(1e3 * (time.perf_counter() - start))
        print(f"{candidates} candidates, {history} items: first {taken[0]:.1f} ms, then {np.median(taken[1:]):.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="a GGUF whose tokenizer and embeddings are used (default: SmolLM2)")
    parser.add_argument("--lists", type=int, help="at most so many of each kind")
    parser.add_argument("--speed", action="store_true", help="measure time instead of ranking")
    args = parser.parse_args()
    lab = Lab(args.model or default.locate(offline=False))
    if args.speed:
        speed(lab, read(args.data, "mind", 1))
        return
    start = time.perf_counter()
    bodies = {name: read(args.data, name, args.lists) for name in SETS}
    results: dict[str, Any] = {"sets": {}, "against": {}}
    pooled: dict[str, list[np.ndarray]] = {"fused": [], "fused, shipped": [], "best simple": []}
    for name, found, weights in systems(lab, bodies):
        results["weights"] = weights
        values = {system: figures(scores, bodies[name]) for system, scores in found.items()}
        results["sets"][name] = {
            "lists": len(bodies[name].examples),
            "systems": {
                system: {figure: intervals.mean(one).to_dict() for figure, one in by.items()}
                for system, by in values.items()
            },
        }
        best = max(SIMPLE, key=lambda system: values[system]["auc"].mean())
        for system in ("fused", "fused, shipped"):
            pooled[system].append(values[system]["auc"])
            change = {figure: intervals.difference(values[system][figure], values[best][figure]) for figure in FIGURES}
            results["against"][f"{name}: {system} − {best}"] = {key: one.to_dict() for key, one in change.items()}
        pooled["best simple"].append(values[best]["auc"])
    for system in ("fused", "fused, shipped"):
        one, other = (np.concatenate(pooled[key]) for key in (system, "best simple"))
        results["against"][f"pooled: {system} − best simple"] = {"auc": intervals.difference(one, other).to_dict()}
    results["seconds"] = round(time.perf_counter() - start, 1)
    (RESULTS / "signals.json").write_text(json.dumps(results, indent=1) + "\n")
    print("\n".join(table(results)))
    for key, one in results["against"].items():
        print(f"{key}: " + ", ".join(f"{figure} {d['value']:+.3f} (p {d['p']:.4f})" for figure, d in one.items()))


if __name__ == "__main__":
    main()
