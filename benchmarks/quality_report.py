"""The quality report: models and simple systems on real data, with intervals, as docs/results/quality.md.

    make quality DATA=DIR [MODELS="smollm2 BUNDLE RUN …"] [BESIDE="none …"] [USERS=N] [SASREC=ENV]

Each data set is ranked with each kind of negatives; answers are kept in `--work`, so that a stopped report goes on.
What `benchmarks.quality` found of training on these data is added from its results. The data are not part of the
repository.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
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
from trsr_lite.evaluation.evaluate import Evaluation, evaluate
from trsr_lite.evaluation.evaluate_options import ALL_BASELINES
from trsr_lite.evaluation.systems import BundleSystem, System
from trsr_lite.results import Progress
from trsr_lite.settings import STRATEGIES

OUTPUT = Path(__file__).parents[1] / "docs" / "results" / "quality.md"
COLUMNS = {"recall@3": "Recall@3", "recall@5": "Recall@5", "recall@10": "Recall@10", "mrr@10": "MRR@10", "auc": "AUC"}
SYSTEMS = ("trained", "untrained", *ALL_BASELINES)  # of what was trained on the data
EVERYONE = {"test": 1.0, "validation": 0.0}  # nobody is left to count clicks or train on, but there are more lists
WHOLE = "mind, 1 : 20, uniform negatives, of all users"  # 494, for closer intervals; `--max-users` is not for it
CELLS: dict[str, dict[str, Any]] = {
    **{
        f"{name}, 1 : 20, {negatives} negatives": {**values["data"], "negatives": negatives}
        for name, values in quality.SETS.items()
        for negatives in ("uniform", "popularity")
    },
    WHOLE: {**quality.SETS["mind"]["data"], "negatives": "uniform", **EVERYONE},
    "mind, real impressions": {"dataset": "mind", "data": "mind/dev", "negatives": "impressions", **EVERYONE},
}


def main() -> None:
    """Every table, then the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that has mind/ and amazon-office/")
    parser.add_argument("--work", type=Path, required=True, help="where answers are kept")
    parser.add_argument("-m", "--model", dest="models", action="append", help="a bundle, GGUF or run [smollm2]")
    parser.add_argument(
        "--beside",
        action="append",
        choices=STRATEGIES,
        default=[],
        help="rank with this strategy of summaries too; may be repeated",
    )
    parser.add_argument("--max-users", type=int, help="lists at most of each table but that of all users")
    parser.add_argument("--sasrec", type=Path, metavar="ENV", help="train SASRec too; its environment is made in ENV")
    parser.add_argument(
        "--only", action="append", choices=list(CELLS), metavar="TABLE", help="its title; may be repeated"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    if arguments.only and arguments.output == OUTPUT:
        parser.error("--only makes a part of the page: name its --output")
    wanted = arguments.only or CELLS
    try:
        tables = [section(name, measure(name, values, arguments)) for name, values in CELLS.items() if name in wanted]
    except SettingsError as error:  # such as answers of other models, which must not be mixed with these
        hint = "delete it, or choose another folder with `--work` (make: WORK=DIR)"
        raise SystemExit(f"Error: {error}\nhint: {hint}") from None
    page = "\n".join([*head(arguments), *(line for table in tables for line in table), *training()])
    arguments.output.write_text(f"{page}\n", encoding="utf-8")
    print(arguments.output)


def measure(name: str, values: Mapping[str, Any], arguments: argparse.Namespace) -> Evaluation:
    """One data set with one kind of negatives, ranked by every system."""
    options = DataOptions(**{**values, "data": str(arguments.data / values["data"])})
    place = arguments.work / name.replace(", ", "-").replace(" ", "").replace(":", "in")
    with ExitStack() as opened:
        dataset = opened.enter_context(datasets.load(options))
        most = None if name == WHOLE else arguments.max_users
        lists = made.of_dataset(dataset, "test", most=most, seed=options.seed)
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
        signals, more = open_systems.signals_of(lists, systems, opened, Recommender.load, seed=options.seed)
        simple, left_out = open_systems.simple(ALL_BASELINES, signals)
        systems += [other for system in systems for other in beside(system, arguments.beside)]
        systems += [*simple, *open_systems.scored(sasrec(values, place, arguments), [])]
        print(f"{name}: {len(lists.examples)} lists", flush=True)
        notes = [*notes, *more, *left_out]
        return evaluate(lists, systems, output=place, notes=notes, signals=signals, progress=said())


def beside(system: System, strategies: Sequence[str]) -> Iterator[System]:
    """The same model with summaries made otherwise; a training run is read as it was trained."""
    for strategy in strategies if isinstance(system, BundleSystem) else ():
        other = system.with_settings(system.settings.updated(strategy=strategy))
        other.name = f"{system.name} ({strategy})"
        yield other


def sasrec(values: Mapping[str, Any], place: Path, arguments: argparse.Namespace) -> list[str]:
    """The file of SASRec's scores, if it is wanted and there is somebody to train on."""
    if arguments.sasrec is None or values["test"] == 1:
        return []
    given = {**values, "data": arguments.data / values["data"]}
    asked = hashlib.sha256(repr(sorted(given.items())).encode()).hexdigest()[:8]
    file = place.with_name(f"{place.name}-scores-{asked}") / "sasrec.jsonl"
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
    users = f' BESIDE="{" ".join(arguments.beside)}"' if arguments.beside else ""
    users += f" USERS={arguments.max_users}" if arguments.max_users else ""
    yield "# Quality\n"
    yield (
        f'Made on {machine["date"]} by `make quality DATA=… MODELS="{" ".join(models)}"{users}`, trsr-lite '
        f"{__version__}, {machine['processor']} with {machine['logical_cpus']} logical CPUs. Prompts use the nouns of "
        "the data, if the model knows them. Each figure is a mean over held-out lists with its 95 % bootstrap "
        "interval. Tied candidates count with their expected rank. p is of a paired sign-flip test of Recall@3 against "
        "the first system, not corrected for how many systems there are. Uniform negatives mostly measure popularity. "
        "The data are research samples that are not part of this repository.\n"
    )


def section(name: str, found: Evaluation) -> Iterator[str]:
    """One table, and what must be known of it."""
    result = found.to_dict()
    first = next(iter(result["systems"]))
    compared = {one["system"]: one for one in result["comparisons"]}
    yield f"## {name[0].upper()}{name[1:]}\n"
    yield f"{result['lists']} lists.\n"
    yield f"| system | {' | '.join(COLUMNS.values())} | Recall@3 against {first} | p |"
    yield f"|---|{'---|' * (len(COLUMNS) + 2)}"
    for system, figures in result["systems"].items():
        one = compared.get(system)
        change = f"{interval(one, '+')} | {one['p']:.3f}" if one else " | "
        yield f"| {system} | {' | '.join(interval(figures[key]) for key in COLUMNS)} | {change} |"
    yield ""
    for note in result["notes"]:
        yield f"- {note}"
    if result["notes"]:
        yield ""


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
    """Recall@3 of each of `SYSTEMS` that was asked."""
    trained = next(iter(cell["systems"]))  # which is called by its run's folder
    names = dict(zip(SYSTEMS, (trained, f"{trained} (untrained)", *ALL_BASELINES), strict=True))
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
