"""A run to a bundle: merge, GGUF, quantize, verify.

Invariant: the bundle appears whole, with the proof that it ranks as the trained model does. If it does not, nothing
appears, and the report in the staging folder says which step lost the ranking.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trsr_lite import __version__
from trsr_lite.conversion import comparison, gguf, merge, model_card, staging, summarizer_source
from trsr_lite.conversion.convert_options import AUTO, AUTO_TYPES, ROOM, ConvertOptions
from trsr_lite.conversion.llama_cpp_scripts import Converter
from trsr_lite.conversion.staging import AGAIN, Staging
from trsr_lite.conversion.verify import Verification, describe, held_out, reference
from trsr_lite.datasets import origin
from trsr_lite.errors import SettingsError, TrsrError, VerificationError
from trsr_lite.io import files
from trsr_lite.io.digests import file_digest
from trsr_lite.models import bundle, bundle_folder
from trsr_lite.models.bundle import Bundle, ModelFile
from trsr_lite.models.calibration import Calibration
from trsr_lite.models.speed import measure
from trsr_lite.prompts import fingerprint
from trsr_lite.training import base_model, lora, run_dir
from trsr_lite.training.ranking_data import RankingExample
from trsr_lite.training.torch_scorer import Scorer
from trsr_lite.training.train_options import TrainOptions

OnStep = Callable[[str], None]
REPORT, CARD = "report.json", "README.md"
AFTERWARDS = ("min_", "max_", "lists", "recommender_type", "summarizer")  # may change, and finished steps stay
OTHER_TYPE = "`--recommender-type auto` takes the fastest type that keeps the ranking; "
MERGED, BASE, ADAPTER, SUMMARIZER = "merged", "base", "adapter.gguf", "summarizer"


def usable(run: Path, options: ConvertOptions) -> tuple[dict[str, Any], TrainOptions, list[RankingExample]]:
    """The record, the options and the held-out lists of a run; raises `TrsrError` where it cannot be converted so."""
    record, trained = run_dir.finished(run)
    lists = held_out(run)[: options.lists]
    if not trained.full:
        merge.check_adapter(run / lora.place(trained))
    elif options.adapter_only:
        raise SettingsError(
            f"{run}: all weights were trained: there is no adapter to keep apart",
            hint="convert without `--adapter-only`",
        )
    return record, trained, lists


class Conversion:
    """The steps of one conversion, each done once; `convert` does them all.

    `converter` finds llama.cpp's scripts, once the run is known to be one that can be converted.
    """

    def __init__(
        self,
        run: Path,
        target: Path,
        converter: Callable[[], Converter],
        options: ConvertOptions,
        *,
        force: bool = False,
        offline: bool = False,
        data_dir: Path | None = None,
        on_step: OnStep | None = None,
    ) -> None:
        bundle_folder.check(target, force=force)
        self.run, self.options, self.offline = run, options, offline
        self.on_step = on_step or (lambda _: None)
        self.record, train_options, self.lists = usable(run, options)
        self.converter = converter()
        self.trained = run / lora.place(train_options)
        self.target, self.force = Path(os.path.realpath(target)), force  # a link stays, and leads to the new one
        self.source = summarizer_source.of_run(
            self.record,
            train_options,
            options,
            self.converter,
            staging.beside(target) / BASE,
            data_dir=data_dir,
            offline=offline,
        )
        inputs = [*sorted(self.trained.iterdir()), run / run_dir.LISTS]
        self._inputs = {
            "run": {path.name: file_digest(path) for path in inputs},
            "options": {name: value for name, value in asdict(options).items() if not name.startswith(AFTERWARDS)},
            "converter": self.converter.digest,
            "trsr_lite": __version__,
        }

    @cached_property
    def scorer(self) -> Scorer:
        """The run's model in torch, float32: what everything is compared with."""
        return reference(self.run, offline=self.offline)

    @cached_property
    def parameters(self) -> int:
        """Number of weights of the model."""
        return base_model.parameters(self.scorer.base, offline=self.offline)

    @property
    def float_type(self) -> str:
        """The type that the converter writes; BF16 rounds too much to be judged as a conversion alone."""
        return "F32" if self.options.recommender_type == "F32" else "F16"

    def steps(self) -> list[str]:
        """What will be done, in words, with sizes."""
        first = "the base in float32" if self.options.adapter_only else "the adapter merged into the base in float32"
        return [
            f"{first}: {4 * self.parameters >> 20:,} MiB",
            f"GGUF {self.float_type} with llama.cpp's converter: "
            f"{(4 if self.float_type == 'F32' else 2) * self.parameters >> 20:,} MiB",
            f"recommender {', '.join(self._types)}",
            "summarizer",
            f"verify on {len(self.lists)} lists",
        ]

    def convert(self) -> Bundle:
        """Every step; raises `VerificationError` where the ranking did not survive."""
        with staging.alone(self.target):
            self.staging = Staging(self.target, self._inputs, force=self.force)
            return self._convert()

    def _convert(self) -> Bundle:
        most = (ROOM + (6 if self.options.recommender_type == AUTO else 0)) * self.parameters
        self.staging.require(most + self.source.room())
        reference = self._reference()
        floating = self._floating()
        rates = self._quantized(floating)
        adapted = gguf.entry(self.staging.folder / ADAPTER, "F16") if self.options.adapter_only else None
        order = sorted(self._types, key=lambda name: -rates.get(name, 0.0))
        own, tuned = self._summarizer()
        chosen, report = self._verify(reference, floating, order, adapted)
        recommender = gguf.entry(self._file(floating, chosen), chosen, adapted)
        return self._bundle(recommender, replace(own or recommender, adapter=tuned), report, rates)

    @property
    def _types(self) -> tuple[str, ...]:
        """Types of which the recommender becomes one."""
        return AUTO_TYPES if self.options.recommender_type == AUTO else (self.options.recommender_type,)

    # Steps

    def _reference(self) -> comparison.Margins:
        """Margins of the trained model."""

        def score(place: Path) -> None:
            rows = [one.row(self.scorer.settings, self.scorer.tokenizer) for one in self.lists]
            with place.open("wb") as file:
                np.savez(file, *self.scorer.margins(rows))
            self.scorer.forget()  # one float32 model in memory at a time

        self.on_step(f"margins of {describe(self.record)}")
        self.staging.step("reference", score, "reference.npz", of=len(self.lists))
        with np.load(self.staging.folder / "reference.npz") as stored:
            return [stored[name] for name in stored.files]

    def _floating(self) -> Path:
        """The float GGUF: of the merged model, or of the base alone."""
        name = BASE if self.options.adapter_only else MERGED
        self.on_step(f"{name} model in float32")
        self.staging.step(name, self._save_base if self.options.adapter_only else self._merge, name)
        self.on_step(f"GGUF {self.float_type}")
        result, source = f"{name}-{self.float_type}.gguf", self.staging.folder / name
        self.staging.step("gguf", lambda place: gguf.convert(self.converter, source, place, self.float_type), result)
        if self.options.adapter_only:
            self.on_step("GGUF of the adapter")
            self.staging.step(
                "adapter", lambda place: gguf.convert_adapter(self.converter, self.trained, source, place), ADAPTER
            )
        return self.staging.folder / result

    def _quantized(self, floating: Path) -> dict[str, float]:
        """Every type that is wanted, as a file; where there is a choice, the prefill rate of each here (tokens/s)."""
        rates: dict[str, float] = {}
        for name in self._types:
            if name != self.float_type:
                self.on_step(f"quantize to {name}")
                self.staging.step(
                    f"quantize {name}",
                    lambda place, name=name: gguf.quantize(floating, place, name),  # type: ignore[misc]
                    self._file(floating, name).name,
                )
            if len(self._types) > 1:
                self.on_step(f"measure {name} on this machine")
                path = self._file(floating, name)
                rates[name] = self.staging.step(
                    f"rate {name}",
                    lambda _, path=path: measure(path, decode=False)["prefill"],  # type: ignore[misc]
                )
        return rates

    def _file(self, floating: Path, file_type: str) -> Path:
        if file_type == self.float_type:
            return floating
        return self.staging.folder / f"{BASE if self.options.adapter_only else 'recommender'}-{file_type}.gguf"

    def _summarizer(self) -> tuple[ModelFile | None, ModelFile | None]:
        """What was found, in the bundle: its file unless it is the recommender's, and its adapter."""
        self.on_step("summarizer")
        source, own, tuned = self.source, None, None
        if source.write:
            path = self.staging.folder / f"{SUMMARIZER}.gguf"
            own = gguf.entry(path, self.staging.step("summarizer", source.write, path.name, of=source.identity))
        if source.adapter:
            path = self.staging.folder / f"{SUMMARIZER}-{ADAPTER}"
            self.staging.step("summarizer adapter", source.adapter, path.name, of=source.identity)
            tuned = gguf.entry(path, "F16")
        return own, tuned

    def _save_base(self, place: Path) -> None:
        model = base_model.load(self.scorer.base, torch.float32, offline=self.offline)
        base_model.check_same(self.scorer.base, model, self.record["base"])
        merge.save(model, self.scorer.base, place, offline=self.offline)

    def _merge(self, place: Path) -> None:
        merge.merge(
            self.run, self.scorer.base, self.scorer.options, place, known=self.record["base"], offline=self.offline
        )

    def _verify(
        self, reference: comparison.Margins, floating: Path, order: Sequence[str], adapted: ModelFile | None
    ) -> tuple[str, dict[str, Any]]:
        """The first type of `order` that passes, and the report; raises `VerificationError` where the ranking is lost.

        The float GGUF must pass whatever is chosen: what it loses is no matter of types.
        """
        proof = Verification(self.scorer, self.lists, self.options, reference)
        with_adapter = adapted.path if adapted else None
        try:
            if not self.options.adapter_only:
                self.on_step("verify the merged model")
                proof.merged(self.staging.folder / MERGED)
            self.on_step("verify the float GGUF")
            proof.gguf(self.float_type, floating, with_adapter)
            chosen = proof.first(order, lambda name: self._file(floating, name), with_adapter, self.on_step)
        except VerificationError as error:
            kept = f"the files and {REPORT} are kept in {self.staging.folder}"
            try:
                proof.write(self.staging.folder / REPORT)
            except TrsrError as unwritten:  # what was found matters more
                kept = f"the files are kept in {self.staging.folder}, but not {REPORT}: {unwritten}"
            of_type = proof.report.get("lost") == self.options.recommender_type != self.float_type
            error.hint = f"{OTHER_TYPE if of_type else ''}{kept}"
            raise
        proof.write(self.staging.folder / REPORT)
        return chosen, proof.report

    # The bundle

    def _bundle(
        self,
        recommender: ModelFile,
        summaries: ModelFile,
        report: Mapping[str, Any],
        rates: Mapping[str, float],
    ) -> Bundle:
        calibration = report["calibration"]
        answers = self.record["answers"]
        made = Bundle(
            name=self.staging.target.name,
            summarizer=summaries,
            recommender=recommender,
            settings=self.scorer.settings,
            trained=True,
            domains=tuple(self.record["data"].get("domains", ())),
            answers=(answers[0], answers[1]),
            calibration=Calibration(calibration["temperature"], calibration["bias"]),
            noise_floor=report["noise_floor"],
            measured={
                "conversion_seconds": self.staging.seconds,
                "tensor_types": report["tensor_types"],
                **({"prefill_tokens_per_second": dict(rates)} if rates else {}),
            },
            probes=tuple(map(tuple, report["probes"])),
            template=fingerprint.template(),
            base={**self.record["base"], "name": model_card.public_name(self.record["base"])},
            origin=origin.of(self.record["config"]["data"], self.record["data"]["files"]),
            verified={name: report[name] for name in ("reference", "lists", "thresholds", "steps")},
            versions={**self.record["versions"], **_versions(), "converter": self.converter.digest},
        )
        with files.checked(self.staging.folder, hint=AGAIN):
            made.write(self.staging.folder)
            (self.staging.folder / CARD).write_text(model_card.text(made, self.record), encoding="utf-8")
        names = {file.path.name for role in (recommender, summaries) for file in (role, role.adapter) if file}
        self.staging.finish([*sorted(names), bundle.MANIFEST, CARD, REPORT])
        return replace(made, recommender=self._placed(recommender), summarizer=self._placed(summaries))

    def _placed(self, file: ModelFile) -> ModelFile:
        """A file of the bundle, where it is now."""
        return replace(
            file,
            path=self.staging.target / file.path.name,
            adapter=self._placed(file.adapter) if file.adapter else None,
        )


def _versions() -> dict[str, str]:
    names = ("torch", "transformers", "peft", "llama-cpp-python")
    return {"trsr-lite": __version__, **{name: importlib.metadata.version(name) for name in names}}
