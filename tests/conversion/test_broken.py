"""A conversion that went wrong is caught before a bundle appears, and the report names the step that lost it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf as gguf_py
import numpy as np
import pytest

from tests.conversion.conftest import LISTS, NEAR_TIES
from trsr_lite.cli import run

Spoil = Callable[[pytest.MonkeyPatch, Any], None]


def rows_unpermuted(path: Path) -> None:
    """Undo what the converter does to the rows of q and k for llama.cpp's rotary embedding."""
    reader = gguf_py.GGUFReader(path, "r+")
    heads = {
        name: int(reader.fields[f"llama.attention.head_count{suffix}"].contents())
        for name, suffix in (("attn_q", ""), ("attn_k", "_kv"))
    }
    changed = 0
    for tensor in reader.tensors:
        for name, count in heads.items():
            if tensor.name.endswith(f"{name}.weight"):
                rows, columns = tensor.data.shape
                halves = tensor.data.reshape(count, rows // count // 2, 2, columns)
                tensor.data[:] = halves.swapaxes(1, 2).reshape(rows, columns).copy()
                changed += 1
    reader.data.flush()
    assert changed == 4


def with_field(path: Path, name: str, value: Any, kind: Any) -> None:
    """Set a field of a GGUF, written anew where it was not there."""
    from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata

    reader, place = gguf_py.GGUFReader(path), path.with_name("changed.gguf")
    writer = gguf_py.GGUFWriter(
        place, arch=reader.fields["general.architecture"].contents(), endianess=reader.endianess
    )
    copy_with_new_metadata(reader, writer, {name: MetadataDetails(kind, value)}, [])
    place.replace(path)


def written_by(change: Callable[[Path], None]) -> Callable[[Any, pytest.MonkeyPatch], None]:
    """A step `gguf` that writes the right file, and then changes it."""

    def spoil(source: Any, patch: pytest.MonkeyPatch) -> None:
        from trsr_lite.conversion import gguf

        def convert(converter: Any, model: Path, target: Path, file_type: str) -> None:
            shutil.copyfile(source.staged / f"{model.name}-F16.gguf", target)
            change(target)

        patch.setattr(gguf, "convert", convert)

    return spoil


def add_bos(path: Path) -> None:
    with_field(path, "tokenizer.ggml.add_bos_token", True, gguf_py.GGUFValueType.BOOL)


def other_template(source: Any, patch: pytest.MonkeyPatch) -> None:
    """llama.cpp's side asks about products where the model was trained on news."""
    from trsr_lite.engine.llama import LlamaEngine
    from trsr_lite.prompts import templates

    scoring = templates.scoring

    def other(summary: Any, recent: Any, candidates: Any, settings: Any, tokenizer: Any, **rest: Any) -> Any:
        domain = {"domain": "product"} if isinstance(tokenizer, LlamaEngine) else {}
        return scoring(summary, recent, candidates, settings.updated(**domain), tokenizer, **rest)

    patch.setattr(templates, "scoring", other)


def merged_without_adapter(source: Any, patch: pytest.MonkeyPatch) -> None:
    from peft.tuners.lora import LoraModel

    patch.setattr(LoraModel, "merge_and_unload", lambda self, **options: self.unload())


def merged_twice_as_strong(source: Any, patch: pytest.MonkeyPatch) -> None:
    from peft.tuners.lora import LoraModel

    merge = LoraModel.merge_and_unload

    def twice(self: Any, **options: Any) -> Any:
        for module in self.modules():
            if isinstance(getattr(module, "scaling", None), dict):
                module.scaling = {name: 2 * value for name, value in module.scaling.items()}
        return merge(self, **options)

    patch.setattr(LoraModel, "merge_and_unload", twice)


def adapter_scaled(path: Path) -> None:
    reader = gguf_py.GGUFReader(path, "r+")
    field = reader.fields["adapter.lora.alpha"]
    field.parts[field.data[0]][0] *= 2
    reader.data.flush()


def adapter_emptied(path: Path) -> None:
    reader = gguf_py.GGUFReader(path, "r+")
    for tensor in reader.tensors:
        tensor.data[:] = np.zeros_like(tensor.data)
    reader.data.flush()


def adapter_written_by(change: Callable[[Path], None]) -> Callable[[Any, pytest.MonkeyPatch], None]:
    def spoil(source: Any, patch: pytest.MonkeyPatch) -> None:
        from trsr_lite.conversion import gguf

        def convert(converter: Any, adapter: Path, base: Path, target: Path) -> None:
            shutil.copyfile(source.staged / "adapter.gguf", target)
            change(target)

        patch.setattr(gguf, "convert_adapter", convert)

    return spoil


NO_CHANGE = written_by(lambda path: None)
FAULTS = {
    "rows of q and k unpermuted": ("gguf", False, written_by(rows_unpermuted), "F16", "margins differ"),
    "another opening token": ("gguf", False, written_by(add_bos), "F16", "the shared prompt"),
    "another template": ("gguf", False, other_template, "F16", "the shared prompt"),
    "adapter dropped": ("merged", False, merged_without_adapter, "merged", "margins differ"),
    "LoRA scale doubled": ("merged", False, merged_twice_as_strong, "merged", "margins differ"),
    "adapter kept apart, dropped": ("adapter", True, adapter_written_by(adapter_emptied), "F16", "margins differ"),
    "adapter kept apart, doubled": ("adapter", True, adapter_written_by(adapter_scaled), "F16", "margins differ"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_conversion_is_caught_and_its_step_named(
    fault: str,
    made: Any,
    staged: Any,
    converter: Any,
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    step, adapter_only, spoil, lost, words = FAULTS[fault]
    again = {"merged": ("merged", "gguf"), "gguf": ("gguf",), "adapter": ("adapter",)}[step]
    source, target = staged(adapter_only=adapter_only, without=again)
    if step == "merged" or spoil is other_template:
        NO_CHANGE(source, monkeypatch)
    spoil(source, monkeypatch)
    asked = ["convert", str(source.run), "--output", str(target), "--recommender-type", "F16", "--offline"]
    asked += ["--llama-cpp", str(converter.folder), "--min-tau-float", str(NEAR_TIES), "--lists", str(LISTS)]
    asked += ["--adapter-only"] if adapter_only else ["--summarizer", str(tiny)]
    assert run(asked) == 5
    said = capsys.readouterr().err
    assert f"{lost} " in said or f"{lost}:" in said
    assert words in said and "report.json" in said and "--recommender-type auto" not in said
    assert not target.exists()
    report = json.loads((target.with_name(f".{target.name}.convert") / "report.json").read_text())
    assert report["lost"] == lost


def test_a_type_that_loses_the_order_is_refused(made: Any, convert: Any, staged: Any) -> None:
    from trsr_lite import VerificationError

    source, target = staged()
    with pytest.raises(VerificationError, match="Q4_0 does not rank as the trained model") as caught:
        convert(source.run, target, recommender_type="Q4_0")
    assert "--recommender-type auto" in str(caught.value.hint) and "report.json" in str(caught.value.hint)
    assert not target.exists()


def test_where_no_type_passes_the_last_one_is_named(convert: Any, staged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from trsr_lite import VerificationError
    from trsr_lite.conversion import convert as pipeline

    monkeypatch.setattr(pipeline, "AUTO_TYPES", ("Q8_0", "Q4_0"))
    monkeypatch.setattr(pipeline, "measure", lambda path, decode: {"prefill": float(path.stat().st_size)})
    source, target = staged()
    with pytest.raises(VerificationError, match="Q4_0 does not rank"):
        convert(source.run, target, recommender_type="auto", min_tau=1.0)
    report = json.loads((target.with_name(f".{target.name}.convert") / "report.json").read_text())
    assert {"Q8_0", "Q4_0"} <= set(report["steps"])


def test_a_report_of_a_good_bundle_names_no_lost_type(
    convert: Any, staged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trsr_lite.conversion import convert as pipeline

    monkeypatch.setattr(pipeline, "AUTO_TYPES", ("F16", "Q4_0"))
    monkeypatch.setattr(pipeline, "measure", lambda path, decode: {"prefill": -float(path.stat().st_size)})
    source, target = staged()
    assert convert(source.run, target, recommender_type="auto").recommender.type == "F16"
    report = json.loads((target / "report.json").read_text())
    assert "Q4_0" in report["steps"] and "lost" not in report


def test_a_report_that_cannot_be_written_does_not_hide_what_was_lost(
    convert: Any, staged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trsr_lite import VerificationError

    write = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if self.name == "report.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    source, target = staged()
    with pytest.raises(VerificationError, match="Q4_0 does not rank") as caught:
        convert(source.run, target, recommender_type="Q4_0")
    assert "but not report.json" in str(caught.value.hint) and "No space left" in str(caught.value.hint)
    assert caught.value.report["lost"] == "Q4_0"
