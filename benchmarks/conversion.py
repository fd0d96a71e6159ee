"""What each tensor type costs and keeps, and what one shared base saves: a finished run, converted in every way.

    python -m benchmarks.conversion --run RUN --work DIR [--lists 100]

Everything made and measured is kept in DIR, so that a second call goes on where the first one stopped. Each type is
compared with the trained model in torch (float32), as `trsr-lite convert` compares it; a bundle with the adapter apart
is compared with two merged models in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import in_turns, report
from trsr_lite.conversion import comparison, gguf, llama_cpp_scripts, merge
from trsr_lite.conversion.convert import Conversion
from trsr_lite.conversion.convert_options import ConvertOptions
from trsr_lite.conversion.verify import held_out, reference
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.io import files as disk
from trsr_lite.io import folders
from trsr_lite.io.digests import file_digest
from trsr_lite.models.speed import measure
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.training import run_dir

TYPES = ("F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "IQ4_NL")
EXACT = ("F16", "Q8_0")  # the types with a required figure: compared exactly, and on all lists
OTHERS = 40  # lists for the other types, scored as `recommend` does
FEW, ROUNDS = 8, 5  # lists that the two bundles are verified and timed on, and turns of timing
REQUIRED = {"F16": "difference ≤ 0.05, tau ≥ 0.995", "Q8_0": "tau ≥ 0.98, |ΔRecall@3| ≤ 0.01"}


class Kept:
    """Results by name, in a file: each is computed once, of one run (`asked`)."""

    def __init__(self, path: Path, asked: list[Any]) -> None:
        self.path = path
        self.values: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"asked": asked}
        if self.values.get("asked") != asked:
            raise SystemExit(f"{path}: of another run, or of other lists: choose another `--work`")

    def __call__(self, name: str, compute: Callable[[], Any]) -> Any:
        if name not in self.values:
            self.values[name] = compute()
            disk.replace(self.path, f"{json.dumps(self.values, indent=2)}\n".encode())
            print(name, self.values[name], flush=True)
        return self.values[name]


def files(run: Path, work: Path, tools: llama_cpp_scripts.Converter) -> dict[str, Path]:
    """Tensor type -> the merged model as that file."""
    if not (work / "merged").is_dir():
        merge.merge_run(run, work / "merged", offline=True)
    paths = {name: work / f"{name}.gguf" for name in TYPES}
    if not paths["F16"].exists():
        gguf.convert(tools, work / "merged", paths["F16"], "F16")
    for name, path in paths.items():
        if not path.exists():
            gguf.quantize(paths["F16"], path, name)
    return paths


def kept_order(run: Path, paths: dict[str, Path], count: int, kept: Kept) -> None:
    """How each type ranks the held-out lists of the run."""
    scorer = reference(run, offline=True)
    lists, settings = held_out(run)[:count], scorer.settings

    def score() -> list[list[float]]:
        rows = [one.row(settings, scorer.tokenizer) for one in lists]
        return [margins.tolist() for margins in scorer.margins(rows)]

    trained = [np.array(margins, np.float32) for margins in kept("torch", score)]
    scorer.forget()

    def compare(path: Path, exact: bool) -> dict[str, Any]:
        some = lists if exact else lists[:OTHERS]
        engine = LlamaEngine(path, identity="", keep=0)
        try:
            found = comparison.margins(engine, some, settings, exact=exact)
        finally:
            engine.close()
        return {"lists": len(some), **comparison.compare(trained[: len(some)], found, some).to_dict()}

    for name, path in paths.items():
        kept(_key(name), lambda name=name, path=path: compare(path, name in EXACT))


def _key(name: str) -> str:
    return f"{name} {'exact' if name in EXACT else 'fast'}"


def bundles(run: Path, work: Path, tools: llama_cpp_scripts.Converter) -> tuple[Path, Path]:
    """The run as a bundle with the adapter apart, and as one with two merged models."""
    apart, merged = work / "apart", work / "two"
    # The order that Q8_0 keeps is measured above; here only memory and speed are.
    usual = {"recommender_type": "Q8_0", "lists": FEW, "min_tau": 0.0, "max_recall_loss": 1.0}
    for target, options in (
        (apart, ConvertOptions(adapter_only=True, **usual)),
        (merged, ConvertOptions(summarizer=str(work / "merged"), summarizer_type="Q8_0", **usual)),
    ):
        if not target.exists():
            Conversion(run, target, lambda: tools, options, offline=True, on_step=print).convert()
    return apart, merged


def resident(bundle: Path) -> list[int]:
    """Peak resident bytes of a process that uses both roles of a bundle, and of it before it loads a model."""
    command = [sys.executable, "-m", "benchmarks.resident", str(bundle)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(part) for part in done.stdout.split()]


def speed(run: Path, apart: Path, merged: Path) -> list[float]:
    """Scoring rate of a base with its adapter, as a share of the merged model's, turn by turn."""
    lists = held_out(run)[:FEW]
    settings = reference(run, offline=True).settings
    engines = {}
    for name, place in (("apart", apart), ("merged", merged)):
        with Recommender.load(place, offline=True) as recommender:
            file = recommender.bundle.recommender
        adapter = file.adapter.path if file.adapter else None
        engines[name] = LlamaEngine(file.path, identity="", adapter=adapter, keep=0)
    seconds = in_turns(
        {
            name: lambda engine=engine: comparison.margins(engine, lists, settings, exact=False)
            for name, engine in engines.items()
        },
        ROUNDS,
    )
    for engine in engines.values():
        engine.close()
    return [one / other for one, other in zip(seconds["merged"], seconds["apart"], strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--lists", type=int, default=100)
    arguments = parser.parse_args()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    kept = Kept(work / "results.json", [file_digest(arguments.run / run_dir.RUN), arguments.lists])
    tools = llama_cpp_scripts.find(None, folders.cache(), offline=False)
    paths = files(arguments.run, work, tools)
    kept_order(arguments.run, paths, arguments.lists, kept)
    apart, merged = bundles(arguments.run, work, tools)
    shared, two = kept("resident", lambda: [resident(apart), resident(merged)])
    pace = kept("speed", lambda: speed(arguments.run, apart, merged))
    rates = {name: kept(f"{name} rate", lambda path=path: measure(path)) for name, path in paths.items()}
    rows = []
    for name, path in paths.items():
        found = kept.values[_key(name)]
        change, low, high = found["recall"]
        figures = (
            f"{path.stat().st_size / 2**20:.0f} MiB, prefill {rates[name]['prefill']:.0f}, decode "
            f"{rates[name]['decode']:.0f} tokens/s, difference {found['max_difference']:.3f}, tau {found['tau']:.4f}, "
            f"ΔRecall@3 {change:+.3f} [{low:+.3f}, {high:+.3f}], {found['lists']} lists scored "
            f"{'exactly' if name in EXACT else 'as recommend does'}"
        )
        rows.append((name, figures, REQUIRED.get(name, "")))
    rows += [
        ("memory of a shared base / of two merged models", f"{shared[0] / two[0]:.2f}", "≤ 0.6"),
        ("the same without the empty process", f"{(shared[0] - shared[1]) / (two[0] - two[1]):.2f}", ""),
        ("scoring rate with the adapter apart / merged", f"{float(np.median(pace)):.2f}", "≥ 0.8"),
    ]
    results = {name: value for name, value in kept.values.items() if name not in ("torch", "asked")}
    report("conversion", rows, {"lists": arguments.lists, "results": results})


if __name__ == "__main__":
    main()
