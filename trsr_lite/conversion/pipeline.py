"""A run to a bundle: merge, GGUF, quantize, verify.

Invariant: the bundle appears whole, with the proof that it ranks as the trained model does; where it does not, nothing
appears, and the report in the staging folder says which step lost it.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trsr_lite import __version__, bundle, probes
from trsr_lite.bundle import Bundle, ModelFile
from trsr_lite.cache import file_digest
from trsr_lite.conversion import card, gguf, merge, verify
from trsr_lite.conversion.converter import Converter
from trsr_lite.conversion.options import FLOATS, ConvertOptions
from trsr_lite.conversion.proof import Verification
from trsr_lite.conversion.staging import Staging
from trsr_lite.errors import DataError, VerificationError
from trsr_lite.scoring import Calibration
from trsr_lite.training import adapter, base, folder, lists
from trsr_lite.training.base import Base
from trsr_lite.training.lists import HeldOut
from trsr_lite.training.scorer import Scorer

OnStep = Callable[[str], None]
REPORT, CARD = "report.json", "README.md"
MERGED, BASE, ADAPTER, SUMMARIZER = "merged", "base", "adapter.gguf", "summarizer"


class Conversion:
    """The steps of one conversion, each done once; `run` does them all."""

    def __init__(
        self,
        run: Path,
        target: Path,
        converter: Converter,
        options: ConvertOptions,
        *,
        force: bool = False,
        offline: bool = False,
        on_step: OnStep | None = None,
    ) -> None:
        self.run, self.options, self.converter, self.offline = run, options, converter, offline
        self.on_step = on_step or (lambda _: None)
        self.record = folder.read(run)
        self.lists = lists_of(run)[: options.lists]
        trained = run / adapter.place(self.scorer.options)
        inputs = {
            "run": {path.name: path.stat().st_mtime_ns for path in sorted(trained.iterdir())},
            "options": {
                name: value for name, value in asdict(options).items() if not name.startswith(("min_", "max_"))
            },
            "converter": converter.digest,
            "trsr_lite": __version__,
        }
        self.staging = Staging(target, inputs, force=force)

    @cached_property
    def scorer(self) -> Scorer:
        """The run's model in torch, float32: what everything is compared with."""
        return Scorer(self.run, dtype="float32", offline=self.offline)

    @property
    def float_type(self) -> str:
        """The type that the converter writes."""
        return self.options.recommender_type if self.options.recommender_type in FLOATS else "F16"

    @property
    def located(self) -> Base:
        """The run's base."""
        options = self.scorer.options
        return base.locate(options.base, revision=options.revision, offline=self.offline)

    def steps(self) -> list[str]:
        """What will be done, in words, with sizes."""
        parameters = sum(parameter.numel() for parameter in self.scorer.model.parameters())
        first = "the base in float32" if self.options.adapter_only else "the adapter merged into the base in float32"
        return [
            f"{first}: {4 * parameters >> 20:,} MiB",
            f"GGUF {self.float_type} with llama.cpp's converter: {2 * parameters >> 20:,} MiB",
            f"recommender {self.options.recommender_type}",
            "summarizer",
            f"verify on {len(self.lists)} lists",
        ]

    def convert(self) -> Bundle:
        """Every step; raises `VerificationError` where the ranking did not survive."""
        parameters = sum(parameter.numel() for parameter in self.scorer.model.parameters())
        self.staging.require(9 * parameters)
        reference = self._reference()
        floating = self._floating()
        recommender = self._recommender(floating)
        summarizer = self._summarizer(recommender)
        report = self._verify(reference, floating, recommender)
        return self._bundle(recommender, summarizer, report)

    # Steps

    def _reference(self) -> verify.Margins:
        """Margins of the trained model."""

        def score(place: Path) -> None:
            rows = [one.row(self.scorer.settings, self.scorer.tokenizer) for one in self.lists]
            with place.open("wb") as file:
                np.savez(file, *self.scorer.margins(rows))

        self.on_step("margins of the trained model in torch")
        self.staging.step("reference", score, "reference.npz")
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
            trained = self.run / adapter.place(self.scorer.options)
            merge.check_adapter(trained)
            source = self.staging.folder / BASE
            self.staging.step(
                "adapter", lambda place: gguf.convert_adapter(self.converter, trained, source, place), ADAPTER
            )
        return self.staging.folder / result

    def _recommender(self, floating: Path) -> ModelFile:
        """The recommender of the wanted type."""
        file_type = self.options.recommender_type
        path = floating
        if file_type not in FLOATS:
            path = self.staging.folder / f"{BASE if self.options.adapter_only else 'recommender'}-{file_type}.gguf"
            self.on_step(f"quantize to {file_type}")
            self.staging.step("quantize", lambda place: gguf.quantize(floating, place, file_type), path.name)
        with_adapter = None
        if self.options.adapter_only:
            with_adapter = gguf.entry(self.staging.folder / ADAPTER, "F16")
        return gguf.entry(path, file_type, with_adapter)

    def _summarizer(self, recommender: ModelFile) -> ModelFile:
        """The model that writes summaries: the shared base, the run's own, or the one that was asked for."""
        if self.options.adapter_only and self.options.summarizer is None:
            return gguf.entry(recommender.path, recommender.type)
        self.on_step("summarizer")
        name = self.options.summarizer or self.scorer.options.summarizer

        def make(place: Path) -> str:
            return self._make_summarizer(name, place)

        file_type = self.staging.step("summarizer", make, f"{SUMMARIZER}.gguf")
        return gguf.entry(self.staging.folder / f"{SUMMARIZER}.gguf", file_type)

    def _make_summarizer(self, name: str, place: Path) -> str:
        import shutil

        located = base.locate(name, offline=self.offline)
        if located.gguf:
            source = Path(located.path) / located.gguf
            types = gguf.tensor_types(source)
            if any(kind not in FLOATS for kind in types) or self.options.summarizer_type in types:
                shutil.copyfile(source, place)
                return next(iter(types))
            gguf.quantize(source, place, self.options.summarizer_type)
            return self.options.summarizer_type
        whole, floating = place.with_name("making-whole"), place.with_name("making-float.gguf")
        model = base.load(located, torch.float32, offline=self.offline)
        merge.save(model, located, whole, offline=self.offline)
        gguf.convert(self.converter, whole, floating, "F16")
        shutil.rmtree(whole)
        gguf.quantize(floating, place, self.options.summarizer_type)
        floating.unlink()
        return self.options.summarizer_type

    def _save_base(self, place: Path) -> None:
        model = base.load(self.located, torch.float32, offline=self.offline)
        merge.check_base(self.located, model, self.record["base"])
        merge.save(model, self.located, place, offline=self.offline)

    def _merge(self, place: Path) -> None:
        merge.merge(self.run, self.located, self.scorer.options, place, known=self.record["base"], offline=self.offline)

    def _verify(self, reference: verify.Margins, floating: Path, recommender: ModelFile) -> dict[str, Any]:
        """The report of all comparisons; raises `VerificationError` at the first step that lost the ranking."""
        proof = Verification(self.scorer, self.lists, self.options, reference)
        with_adapter = recommender.adapter.path if recommender.adapter else None
        try:
            if not self.options.adapter_only:
                self.on_step("verify the merged model")
                proof.merged(self.staging.folder / MERGED)
            self.on_step("verify the float GGUF")
            proof.gguf(self.float_type, floating, with_adapter, quantized=False)
            if recommender.path != floating:
                self.on_step(f"verify {recommender.type}")
                proof.gguf(str(recommender.type), recommender.path, with_adapter, quantized=True)
        except VerificationError as error:
            hint = f"the files and {REPORT} are kept in {self.staging.folder}"
            raise VerificationError(str(error), hint=hint) from error
        finally:
            proof.write(self.staging.folder / REPORT)
        return proof.report

    # The bundle

    def _bundle(self, recommender: ModelFile, summarizer: ModelFile, report: Mapping[str, Any]) -> Bundle:
        calibration = report["calibration"]
        answers = self.record["answers"]
        made = Bundle(
            name=self.staging.target.name,
            summarizer=summarizer,
            recommender=recommender,
            settings=self.scorer.settings,
            trained=True,
            answers=(answers[0], answers[1]),
            calibration=Calibration(calibration["temperature"], calibration["bias"]),
            noise_floor=report["noise_floor"],
            measured={"conversion_seconds": self.staging.seconds, "tensor_types": report["tensor_types"]},
            probes=tuple(map(tuple, report["probes"])),
            template=probes.template(),
            base=dict(self.record["base"]),
            verified={"lists": report["lists"], "thresholds": self._thresholds(), "steps": report["steps"]},
            versions={**self.record["versions"], **_versions(), "converter": self.converter.digest},
        )
        made.write(self.staging.folder)
        (self.staging.folder / CARD).write_text(card.text(made, self.record), encoding="utf-8")
        files = {file.path.name for role in (recommender, summarizer) for file in (role, role.adapter) if file}
        self.staging.finish([*sorted(files), "manifest.json", CARD, REPORT])
        return made

    def _thresholds(self) -> dict[str, float]:
        return {name: value for name, value in asdict(self.options).items() if name.startswith(("min_", "max_"))}


def verify_model(model: Path, run: Path, *, lists: int, offline: bool = False) -> dict[str, Any]:
    """The report of comparing a bundle's recommender, or one GGUF, with a run."""
    scorer = Scorer(run, dtype="float32", offline=offline)
    file = bundle.load(model, file_digest).recommender
    held_out = lists_of(run)[:lists]
    proof = Verification(scorer, held_out, ConvertOptions(lists=lists))
    quantized = any(name not in FLOATS for name in gguf.tensor_types(file.path))
    proof.gguf(file.type or model.stem, file.path, file.adapter.path if file.adapter else None, quantized=quantized)
    return proof.report


def lists_of(run: Path) -> list[HeldOut]:
    """The validation lists of a run."""
    try:
        return lists.read(run / folder.LISTS)
    except FileNotFoundError:
        raise DataError(f"{run}: it has no {folder.LISTS} to verify on", hint="a run of a recommender has it") from None


def _versions() -> dict[str, str]:
    names = ("torch", "transformers", "peft", "llama-cpp-python")
    return {"trsr-lite": __version__, **{name: importlib.metadata.version(name) for name in names}}
