"""The verification of one conversion: each step judged against the trained model, and a report of all of them.

Invariant: the report holds every comparison that was made, also when a step fails, and names the one that failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import torch

from trsr_lite.conversion import comparison, gguf
from trsr_lite.conversion.comparison import Comparison, Margins
from trsr_lite.conversion.convert_options import STRICT, ConvertOptions
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.errors import DataError, VerificationError
from trsr_lite.io import files
from trsr_lite.io.digests import file_digest
from trsr_lite.io.files import granted
from trsr_lite.models import bundle
from trsr_lite.prompts import fingerprint
from trsr_lite.training import base_model, ranking_data, run_dir
from trsr_lite.training.base_model import Base
from trsr_lite.training.ranking_data import RankingExample
from trsr_lite.training.torch_scorer import Scorer

MERGED_LISTS = 8  # ranked by the merged model in torch too; its GGUF ranks all lists


class Verification:
    """Compares files with the model of `scorer` on `lists`, of which `reference` are its margins."""

    def __init__(
        self, scorer: Scorer, lists: Sequence[RankingExample], limits: ConvertOptions, reference: Margins | None = None
    ) -> None:
        self.scorer, self.lists, self.limits = scorer, list(lists), limits.thresholds(len(lists))
        rows = [one.row(scorer.settings, scorer.tokenizer) for one in lists] if reference is None else []
        self.reference = scorer.margins(rows) if reference is None else reference
        self.report: dict[str, Any] = {
            "reference": describe(scorer.record),
            "lists": len(self.lists),
            "thresholds": self.limits,
            "steps": {},
        }

    def merged(self, folder: Path) -> None:
        """Judge a merged model in torch."""
        model = base_model.load(Base(str(folder), str(folder)), torch.float32, offline=True)
        some = self.lists[:MERGED_LISTS]
        rows = [one.row(self.scorer.settings, self.scorer.tokenizer) for one in some]
        found = self.scorer.with_model(model).margins(rows)
        self._judge("merged", comparison.compare(self.reference[: len(some)], found, some), quantized=False)

    def gguf(self, name: str, path: Path, adapter: Path | None = None) -> None:
        """Judge a GGUF, exact; fast scoring is compared too, and gives noise floor and calibration."""
        settings, types = self.scorer.settings, gguf.tensor_types(path)
        quantized = any(kind not in STRICT for kind in types)
        engine = LlamaEngine(path, identity="", adapter=adapter, keep=0)
        try:
            try:
                comparison.check_tokens(self.lists, settings, self.scorer.tokenizer, engine)
            except VerificationError as error:
                self.report["lost"] = name
                raise VerificationError(f"{name}: {error}", report=self.report) from error
            exact = comparison.margins(engine, self.lists, settings, exact=True)
            self._judge(name, comparison.compare(self.reference, exact, self.lists), quantized=quantized)
            fast = comparison.margins(engine, self.lists, settings, exact=False)
            self.report["steps"][f"{name} fast"] = comparison.compare(self.reference, fast, self.lists).to_dict()
            self.report.pop("lost", None)  # of a type that another one replaces
            self.report |= {
                "noise_floor": comparison.noise_floor(fast, exact),
                "calibration": dict(comparison.calibrate(fast, self.lists)),
                "tensor_types": types,
                "probes": [list(tokens) for tokens in fingerprint.tokens(engine)],
            }
        finally:
            engine.close()

    def first(
        self, types: Sequence[str], file: Callable[[str], Path], adapter: Path | None, on_step: Callable[[str], None]
    ) -> str:
        """The first type whose file passes, or has passed; raises `VerificationError` where none does."""
        for number, name in enumerate(types, 1):
            if name in self.report["steps"]:  # judged before them, and it passed
                self.report.pop("lost", None)  # of a type that it replaces
                return name
            on_step(f"verify {name}")
            try:
                self.gguf(name, file(name), adapter)
            except VerificationError:
                if number == len(types):
                    raise
            else:
                return name
        raise ValueError("no type to choose from")

    def write(self, path: Path) -> None:
        """Keep the report."""
        with files.checked(path):
            path.write_bytes(orjson.dumps(self.report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))

    def _judge(self, name: str, found: Comparison, *, quantized: bool) -> None:
        self.report["steps"][name] = found.to_dict()
        limits, faults = self.limits, []
        if not quantized and not found.max_difference <= limits["max_margin"]:
            faults.append(f"margins differ by up to {found.max_difference:.3f} (allowed {limits['max_margin']})")
        least = limits["min_tau" if quantized else "min_tau_float"]
        if not found.tau >= least:
            faults.append(f"Kendall tau is {found.tau:.4f} (at least {least})")
        if quantized and not -found.recall[0] <= limits["max_recall_loss"]:
            faults.append(f"Recall@3 fell by {-found.recall[0]:.3f} (allowed {limits['max_recall_loss']:.3g})")
        if faults:
            self.report["lost"] = name
            message = f"{name} does not rank as the trained model: {'; '.join(faults)}"
            raise VerificationError(message, report=self.report)


def prove(model: Path, run: Path, limits: ConvertOptions, *, offline: bool = False) -> dict[str, Any]:
    """The report of comparing a bundle's recommender, or one GGUF, with a run."""
    scorer = reference(run, offline=offline)
    file = bundle.load(model, file_digest).recommender
    proof = Verification(scorer, held_out(run)[: limits.lists], limits)
    proof.gguf(file.type or model.stem, file.path, file.adapter.path if file.adapter else None)
    return proof.report


def reference(run: Path, *, offline: bool) -> Scorer:
    """What everything is compared with: a merge and a GGUF know nothing of the 4 bits that a base was trained in."""
    return Scorer(run, dtype="float32", unquantized=True, offline=offline)


def describe(record: Mapping[str, Any]) -> str:
    """The reference, in words."""
    if record["config"]["options"].get("four_bit"):
        return "the adapter on its unquantized base in torch (float32); it was trained on that base in 4 bits"
    return "the trained model in torch (float32)"


def held_out(run: Path) -> list[RankingExample]:
    """The validation lists of a run; raises `DataError` where there are none, or one of them is damaged."""
    path = run / run_dir.LISTS
    with granted(path):
        found = ranking_data.read(path) if path.exists() else []
    if not found:
        raise DataError(f"{run}: it has no {run_dir.LISTS} to verify on", hint="a run of a recommender has it")
    return found
