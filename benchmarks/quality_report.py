"""The quality report: models and simple systems on real data, with intervals, as docs/results/quality.md.

    make quality DATA=DIR [MODELS="smollm2 BUNDLE RUN …"] [BESIDE="none …"] [SASREC=ENV]
    make quality DATA=DIR SIMPLE=1

Simple systems rank all lists; models rank a sample of them where all would take hours, and are compared on that sample.
`SIMPLE=1` leaves the models out and takes minutes. Each system keeps its answers in a folder of its own in `--work`, so
that a stopped report goes on, and a changed system is made again alone. What `benchmarks.quality` found of training on
these data is added from its results. The data are not part of the repository.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks import quality
from trsr_lite import Recommender, __version__
from trsr_lite.bench.machine import facts
from trsr_lite.datasets import data_options
from trsr_lite.datasets import dataset as datasets
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.errors import SettingsError
from trsr_lite.evaluation import lists as made
from trsr_lite.evaluation import open_systems
from trsr_lite.evaluation.evaluate import Evaluation, answers, compare
from trsr_lite.evaluation.evaluate_options import ALL_BASELINES
from trsr_lite.evaluation.fused import ListSignals
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.evaluation.outcomes import ListOutcome, held
from trsr_lite.evaluation.systems import BundleSystem, System
from trsr_lite.models import resolve
from trsr_lite.results import Progress
from trsr_lite.settings import STRATEGIES

OUTPUT = Path(__file__).parents[1] / "docs" / "results" / "quality.md"
COLUMNS = {"recall@3": "Recall@3", "ndcg@10": "nDCG@10", "auc": "AUC"}
SYSTEMS = ("trained", "untrained", *ALL_BASELINES)  # of what was trained on the data
EVERYONE = {"test": 1.0, "validation": 0.0}  # nobody is left to count clicks or train on, but there are more lists
RENAMED = ("tfidf", "embeddings")
REFERENCE = "svm"  # what simple systems are compared with where there is no model


@dataclass(frozen=True)
class Table:
    """Lists to rank: data options, and how many of the lists models rank; None is all of them."""

    data: Mapping[str, Any]
    model_lists: int | None = None


TABLES: dict[str, Table] = {
    "news, 1 : 20, uniform negatives": Table({**quality.SETS["mind"]["data"], "negatives": "uniform", **EVERYONE}),
    "news, lists that were really shown": Table(
        {"dataset": "mind", "data": "mind/dev", "negatives": "impressions", **EVERYONE}
    ),
    "office products, 1 : 20, uniform negatives": Table(
        {**quality.SETS["amazon"]["data"], "negatives": "uniform", **EVERYONE}, 600
    ),
    "authors of papers, 1 : 20, uniform negatives": Table({"dataset": "jsonl", "data": "acl", **EVERYONE}, 500),
    **{
        f"{name}, held-out users, 1 : 20, {negatives} negatives": Table({**values["data"], "negatives": negatives})
        for name, values in quality.SETS.items()
        for negatives in ("uniform", "popularity")
    },
}


def main() -> None:
    """Every table, then the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that has mind/, amazon-office/ and acl/")
    parser.add_argument("--work", type=Path, required=True, help="where answers are kept")
    parser.add_argument("-m", "--model", dest="models", action="append", help="a bundle, GGUF or run [smollm2]")
    parser.add_argument("--simple", action="store_true", help="simple systems alone, in minutes")
    parser.add_argument(
        "--beside",
        action="append",
        choices=STRATEGIES,
        default=[],
        help="rank with this strategy of summaries too; may be repeated",
    )
    parser.add_argument("--max-users", type=int, help="most lists that a model ranks in any table")
    parser.add_argument("--sasrec", type=Path, metavar="ENV", help="train SASRec too; its environment is made in ENV")
    parser.add_argument(
        "--only", action="append", choices=list(TABLES), metavar="TABLE", help="its title; may be repeated"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    if (arguments.only or arguments.simple) and arguments.output == OUTPUT:
        parser.error("--only and --simple make a part of the page: name its --output")
    if arguments.simple and (arguments.models or arguments.beside):
        parser.error("--simple ranks with no model: remove --model and --beside")
    wanted = arguments.only or TABLES
    try:
        parts = [line for name, table in TABLES.items() if name in wanted for line in measured(name, table, arguments)]
    except SettingsError as error:  # such as answers of another version of a system, which must not be mixed with these
        hint = "delete it, or choose another folder with `--work` (make: WORK=DIR)"
        raise SystemExit(f"Error: {error}\nhint: {hint}") from None
    page = "\n".join([*head(arguments), *parts, *training()])
    arguments.output.write_text(f"{page}\n", encoding="utf-8")
    print(arguments.output)


def measured(name: str, table: Table, arguments: argparse.Namespace) -> Iterator[str]:
    """The lines of one table: simple systems on all lists, then models beside them on the lists that models rank."""
    options = DataOptions(**{**table.data, "data": str(arguments.data / table.data["data"])})
    work = arguments.work / re.sub(r"[^a-z0-9]+", "-", name)
    with ExitStack() as opened:
        dataset = opened.enter_context(datasets.load(options))
        everything = made.of_dataset(dataset, "test", most=None, seed=options.seed)
        most = min((count for count in (table.model_lists, arguments.max_users) if count), default=None)
        sample = made.of_dataset(dataset, "test", most=most, seed=options.seed) if most else everything
        models, notes = ([], []) if arguments.simple else opened_models(sample, options, opened, arguments)
        default = opened.enter_context(Recommender.load(resolve.DEFAULT_MODEL, offline=True)).bundle
        signals, said = open_systems.signals_of(everything, models, opened, seed=options.seed, bundle=default)
        simple, left_out = open_systems.simple(ALL_BASELINES, signals)
        simple += open_systems.scored(sasrec(table.data, work, arguments), [])
        found = kept(everything, sorted(simple, key=lambda system: system.name != REFERENCE), work / "all")
        if arguments.simple or len(sample.examples) < len(everything.examples):
            yield from section(f"{name}: simple systems", compare(everything, found, notes=[*said, *left_out]))
        if models:
            ranked = kept(sample, models, work / f"models-{len(sample.examples)}")
            beside_them = {system: [one for one in of if one.number in sample.examples] for system, of in found.items()}
            signals = ListSignals(sample, replace(signals.materials))
            together = {**ranked, **beside_them}
            names = [system.name for system in models]
            result = compare(sample, together, notes=[*notes, *said, *left_out], signals=signals, models=names)
            yield from section(name, result)


def opened_models(
    lists: EvalLists, options: DataOptions, opened: ExitStack, arguments: argparse.Namespace
) -> tuple[list[System], list[str]]:
    """The models, each also with the other strategies that are wanted, and what there is to say of them."""
    systems, notes = open_systems.models(
        arguments.models or ["smollm2"],
        lists,
        opened,
        Recommender.load,
        domain=data_options.domain_of(options.dataset),
        exact=False,
        untrained=False,
        offline=True,
    )
    return [*systems, *(other for system in systems for other in beside(system, arguments.beside))], notes


def kept(lists: EvalLists, systems: Sequence[System], work: Path) -> dict[str, list[ListOutcome]]:
    """The answers of each system, which are kept in a folder of its own; models are in memory one after another."""
    found: dict[str, list[ListOutcome]] = {}
    for system in systems:
        print(f"{work.parent.name}, {system.name}: {len(lists.examples)} lists", flush=True)
        folder = work / re.sub(r"[^A-Za-z0-9.]+", "-", system.name)
        with held(folder):
            outcomes, _ = answers(lists, [system], output=folder, in_turn=True, progress=said())
        found.update(outcomes)
    return found


def beside(system: System, strategies: Sequence[str]) -> Iterator[System]:
    """The same model with summaries made otherwise; a training run is read as it was trained."""
    for strategy in strategies if isinstance(system, BundleSystem) else ():
        other = system.with_settings(system.settings.updated(strategy=strategy))
        other.name = f"{system.name} ({strategy})"
        yield other


def sasrec(values: Mapping[str, Any], work: Path, arguments: argparse.Namespace) -> list[str]:
    """The file of SASRec's scores, if it is wanted and there is somebody to train on."""
    if arguments.sasrec is None or values["test"] == 1:
        return []
    given = {**values, "data": arguments.data / values["data"]}
    asked = hashlib.sha256(repr(sorted(given.items())).encode()).hexdigest()[:8]
    file = work.with_name(f"{work.name}-scores-{asked}") / "sasrec.jsonl"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        options = [f"--{key.replace('_', '-')}={value}" for key, value in given.items()]
        command = [sys.executable, "-m", "benchmarks.sasrec", "--env", arguments.sasrec, "--output", file, *options]
        subprocess.run(list(map(str, command)), check=True)
    return [str(file)]


def head(arguments: argparse.Namespace) -> Iterator[str]:
    """What it is and how it was made; no path of this machine."""
    machine = facts()
    models = [Path(name).name for name in arguments.models or ["smollm2"]]
    given = "SIMPLE=1" if arguments.simple else f'MODELS="{" ".join(models)}"'
    given += f' BESIDE="{" ".join(arguments.beside)}"' if arguments.beside else ""
    given += f" USERS={arguments.max_users}" if arguments.max_users else ""
    yield "# Quality\n"
    yield (
        f"Made on {machine['date']} by `make quality DATA=… {given}`, trsr-lite {__version__}, "
        f"{machine['processor']} with {machine['logical_cpus']} logical CPUs. Models read the nouns of the data, if "
        "they know them. Each figure is a mean over held-out lists with its 95 % bootstrap interval; tied candidates "
        "count with their expected rank. p is of a paired sign-flip test against the first system, not corrected for "
        "how many there are. Below each table stands the smallest difference that its lists show in four of five "
        "evaluations. Uniform negatives mostly measure popularity. The data are research samples that are not part of "
        "this repository.\n"
    )


def section(name: str, found: Evaluation) -> Iterator[str]:
    """One table, what must be known of it, and what each model adds."""
    result = found.to_dict()
    first = next(iter(result["systems"]))
    compared = {one["system"]: one for one in result["comparisons"]}
    yield f"## {name[0].upper()}{name[1:]}\n"
    yield f"{result['lists']:,} lists.\n"
    yield f"| system | {' | '.join(COLUMNS.values())} | Recall@3 against {first} | p | AUC against {first} | p |"
    yield f"|---|{'---|' * (len(COLUMNS) + 4)}"
    for system, figures in result["systems"].items():
        changes = [" | "] * 2
        if one := compared.get(system):
            changes = [f"{interval(each, '+')} | {each['p']:.3f}" for each in (one, one["others"]["auc"])]
        yield f"| {system} | {' | '.join(interval(figures[key]) for key in COLUMNS)} | {' | '.join(changes)} |"
    yield ""
    yield from power(result["comparisons"])
    for one in result.get("model_adds", ()):
        yield f"**What {one['system']} adds** to the other signals, with weights {one['fusion']}:\n"
        for metric, figure in one["metrics"].items():
            change = f"{interval(figure, '+')}, p {figure['p']:.3f}"
            yield f"- {COLUMNS[metric]}: {figure['without']:.3f} to {figure['with']:.3f}, {change}"
        yield ""
    for note in result["notes"]:
        yield f"- {note}"
    if result["notes"]:
        yield ""


def power(comparisons: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The smallest differences that the lists could have shown, where that is known."""
    recalls = [one["detectable"] for one in comparisons if one["detectable"]]
    areas = [one["others"]["auc"]["detectable"] for one in comparisons if one["others"]["auc"]["detectable"]]
    if recalls and areas:
        shown = [f"{min(found):.3f} to {max(found):.3f}" for found in (recalls, areas)]
        yield f"These lists could show a difference of {shown[0]} in Recall@3, and of {shown[1]} in AUC.\n"


def interval(figure: Mapping[str, Any], sign: str = "") -> str:
    text = f"{figure['value']:{sign}.3f}"
    return text if figure["low"] is None else f"{text} [{figure['low']:{sign}.2f}, {figure['high']:{sign}.2f}]"


def training() -> Iterator[str]:
    """What `benchmarks.quality` found: a model trained on each data set, on its own held-out users."""
    cells = quality.found()
    if not cells:
        return
    yield "## Trained on these data\n"
    yield (
        "`python -m benchmarks.quality` trains SmolLM2-135M on each data set, on a CPU, and ranks its own held-out "
        "users. The table has Recall@3, 1 : 20, on the same lists: of the trained model, of the same model before "
        "(without summaries, seed 0) and of simple systems. The last columns are the learning curve: Recall@3 of the "
        "validation users, and the mean loss of each quarter of the steps.\n"
    )
    columns = ("data, negatives, seed", "summaries", "objective", "rows", "lists", *SYSTEMS, "validation", "loss")
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for name, cell in sorted(cells.items()):
        data, strategy, negatives, seed, objective, _ = name.split(":")
        found = recalls(cell)
        values = " | ".join(interval(found[system]) if system in found else "" for system in SYSTEMS)
        validations = " → ".join(f"{line['recall@3']:.2f}" for line in cell["validation"])
        losses = " → ".join(f"{loss:.2f}" for loss in cell.get("losses", ()))
        yield (
            f"| {data}, {negatives}, {seed} | {strategy} | {objective} | {cell['training_rows']} | "
            f"{cell.get('lists', cell['users'])} | {values} | {validations} | {losses} |"
        )
    yield ""
    yield from seeds(cells)


def seeds(cells: Mapping[str, Any]) -> Iterator[str]:
    """What was trained with several seeds: another split, other negatives and other weights each time."""
    alike: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for name, cell in sorted(cells.items()):
        data, strategy, negatives, _, objective, steps = name.split(":")
        alike.setdefault((data, strategy, negatives, objective, steps), []).append(recalls(cell))
    several = {name: found for name, found in alike.items() if len(found) > 1}
    if not several:
        return
    yield (
        "The same with several seeds, each with its own users, lists and weights: the mean Recall@3 and, after ±, the "
        "standard deviation from seed to seed.\n"
    )
    columns = ("data, negatives", "summaries", "objective", "seeds", *SYSTEMS)
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for (data, strategy, negatives, objective, _), found in several.items():
        values = []
        for system in SYSTEMS:
            each = [one[system]["value"] for one in found if system in one]
            values.append(f"{mean(each):.3f} ± {stdev(each):.3f}" if len(each) == len(found) else "")
        yield f"| {data}, {negatives} | {strategy} | {objective} | {len(found)} | {' | '.join(values)} |"


def recalls(cell: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Recall@3 of each of `SYSTEMS` that ranked."""
    trained = next(iter(cell["systems"]))  # which is called by its run's folder
    names = dict(zip(SYSTEMS, (trained, f"{trained} (untrained)", *ALL_BASELINES), strict=True))
    if "svm" not in cell["systems"]:  # measured when `tfidf` and `embeddings` were what they are with `-decay` now
        names.update({f"{name}-decay": name for name in RENAMED}, **dict.fromkeys(RENAMED, ""))
    return {shown: cell["systems"][name]["recall@3"] for shown, name in names.items() if name in cell["systems"]}


def said() -> Any:
    """Progress as a line for each tenth of a stage."""
    last: dict[str, int] = {}

    def show(step: Progress) -> None:
        tenth = int(step.fraction * 10)
        if tenth > last.get(step.stage, 0):
            last[step.stage] = tenth
            print(f"  {step.stage}: {step.fraction:.0%}", flush=True)

    return show


if __name__ == "__main__":
    main()
