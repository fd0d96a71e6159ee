"""Adapters with a padded rank: the same function, and files that are none of our business are left to llama.cpp."""

from __future__ import annotations

import logging
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

from tests import tiny_gguf
from trsr_lite.engine import lora
from trsr_lite.engine import model as native
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.errors import ModelError

TOKENS = list(range(20, 60))
ANSWERS = (4, 5)


def write_adapter(path: Path, *, ranks: Mapping[str, int], dtype: type = np.float16, alpha: float = 16.0) -> Path:
    """A LoRA adapter with random weights for the named tensors of the tiny Llama."""
    shapes = dict.fromkeys(("attn_q", "attn_output"), (tiny_gguf.WIDTH, tiny_gguf.WIDTH))
    shapes |= {"ffn_gate": (tiny_gguf.FEED_FORWARD, tiny_gguf.WIDTH)}
    draw = np.random.default_rng(1)
    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_array("general.tags", ["lora", "a test"])
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, rank in ranks.items():
        out, into = shapes.get(name.rpartition(".")[2], (tiny_gguf.WIDTH, tiny_gguf.WIDTH))
        for part, shape in (("a", (rank, into)), ("b", (out, rank))):
            writer.add_tensor(f"{name}.weight.lora_{part}", draw.normal(0, 0.3, shape).astype(dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


PAIRS = {"blk.0.attn_q": 6, "blk.0.ffn_gate": 6, "blk.1.attn_output": 6}


def matrices(path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: np.array(tensor.data) for tensor in GGUFReader(path).tensors}


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_rank_is_padded_with_zeros_and_the_product_is_the_same(tmp_path: Path, dtype: type) -> None:
    narrow = write_adapter(tmp_path / "narrow.gguf", ranks=PAIRS, dtype=dtype)
    content = lora.widened(narrow.read_bytes())
    assert content is not None
    (wide := tmp_path / "wide.gguf").write_bytes(content)
    before, after = matrices(narrow), matrices(wide)
    assert list(before) == list(after)
    alpha = GGUFReader(wide).fields["adapter.lora.alpha"].contents()
    assert alpha / 16 == pytest.approx(16.0 / 6)
    for name in PAIRS:
        pair = [f"{name}.weight.lora_{part}" for part in "ab"]
        assert after[pair[0]].shape[0] == after[pair[1]].shape[1] == 16
        assert not after[pair[0]][6:].any() and not after[pair[1]][:, 6:].any()
        for one in pair:
            assert after[one].dtype == dtype
        np.testing.assert_allclose(after[pair[1]] @ after[pair[0]], before[pair[1]] @ before[pair[0]], atol=1e-6)
    assert GGUFReader(wide).fields["general.tags"].contents() == ["lora", "a test"]
    assert lora.widened(content) is None


def test_bfloat16_needs_twice_the_rank(tmp_path: Path) -> None:
    path = tmp_path / "adapter.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    for part, shape in (("a", (16, 64)), ("b", (64, 16))):
        raw = np.ones((shape[0], shape[1] * 2), np.uint8)
        writer.add_tensor(f"blk.0.attn_q.weight.lora_{part}", raw, raw_dtype=GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    content = lora.widened(path.read_bytes())
    assert content is not None
    (wide := tmp_path / "wide.gguf").write_bytes(content)
    assert [tuple(tensor.shape) for tensor in GGUFReader(wide).tensors] == [(64, 32), (32, 64)]


@pytest.mark.parametrize(
    "ranks",
    [
        {"blk.0.attn_q": 16, "blk.0.ffn_gate": 16},
        {"blk.0.attn_q": 6, "blk.0.ffn_gate": 4},
        {"token_embd": 6},
        {},
    ],
    ids=["fills vectors already", "two ranks and one alpha", "an embedding, which is looked up", "empty"],
)
def test_what_gains_nothing_is_left_as_it_is(tmp_path: Path, ranks: dict[str, int]) -> None:
    assert lora.widened(write_adapter(tmp_path / "adapter.gguf", ranks=ranks).read_bytes()) is None


def test_an_engine_computes_the_same_with_the_padded_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_gguf.write_llama(tmp_path / "tiny.gguf")
    adapter = write_adapter(tmp_path / "adapter.gguf", ranks=PAIRS)

    def margins(**parts: Path) -> list[float]:
        engine = LlamaEngine(model, identity="", **parts)
        try:
            return [one.margin for one in engine.margins(TOKENS, [[7], [9, 11]], ANSWERS, exact=True)]
        finally:
            engine.close()

    used: list[Path] = []
    library = native.library()
    load = library.llama_adapter_lora_init

    def spy(handle: object, path: bytes) -> object:
        used.append(Path(path.decode()))
        return load(handle, path)

    monkeypatch.setattr(library, "llama_adapter_lora_init", spy)
    plain, padded = margins(), margins(adapter=adapter)
    monkeypatch.setattr(lora, "widened", lambda content: None)
    narrow = margins(adapter=adapter)
    assert used[0] != adapter and not used[0].exists()
    assert used[1] == adapter
    assert padded == pytest.approx(narrow, abs=0.02)
    assert narrow != pytest.approx(plain, abs=0.2)


@pytest.mark.parametrize(("owner", "name"), [(Path, "write_bytes"), (tempfile, "TemporaryDirectory")])
def test_without_room_for_a_moment_the_adapter_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, owner: Any, name: str
) -> None:
    model = tiny_gguf.write_llama(tmp_path / "tiny.gguf")
    adapter = write_adapter(tmp_path / "adapter.gguf", ranks=PAIRS)

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(owner, name, full)
    with caplog.at_level(logging.WARNING):
        engine = LlamaEngine(model, identity="", adapter=adapter)
    assert engine.margins(TOKENS, [[7]], ANSWERS)
    engine.close()
    assert "adapter.gguf: scoring will be slower" in caplog.text and "No space left" in caplog.text


def test_an_adapter_in_the_place_of_a_model_is_called_one(tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "a.gguf", ranks={"blk.0.attn_q": 8})
    with pytest.raises(ModelError, match=r"a\.gguf: a LoRA adapter, not a model") as raised:
        LlamaEngine(path, identity="a")
    assert "bundle" in str(raised.value.hint)


@pytest.mark.parametrize("keep", [4, 20, 60, 400])
def test_a_cut_adapter_is_an_error_that_names_the_file(tmp_path: Path, keep: int) -> None:
    model = tiny_gguf.write_llama(tmp_path / "tiny.gguf")
    adapter = write_adapter(tmp_path / "adapter.gguf", ranks=PAIRS)
    adapter.write_bytes(adapter.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"adapter\.gguf: llama\.cpp cannot load this adapter"):
        LlamaEngine(model, identity="", adapter=adapter)


def crafted(kind: int, value: bytes) -> bytes:
    """The head of a GGUF with one value, and a tensor count that needs more than there is."""
    key = b"general.alignment"
    return b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, len(key)) + key + struct.pack("<I", kind) + value


@pytest.mark.parametrize(
    "content",
    [
        crafted(lora.ARRAY, struct.pack("<IQ", 0, 1 << 62)),
        crafted(lora.ARRAY, struct.pack("<IQ", lora.TEXT, 1 << 62)),
        crafted(lora.ARRAY, struct.pack("<IQ", lora.ARRAY, 1) * 5000),
        crafted(lora.TEXT, struct.pack("<Q", 1 << 62)),
        crafted(lora.TEXT, struct.pack("<Q", 1 << 63)),
        crafted(99, b""),
    ],
    ids=[
        "endless bytes",
        "endless texts",
        "arrays in arrays",
        "an endless text",
        "one longer still",
        "a type that there is not",
    ],
)
def test_a_crafted_file_ends_at_once_and_is_left_to_llama_cpp(tmp_path: Path, content: bytes) -> None:
    with pytest.raises((struct.error, KeyError, ValueError, OverflowError)):
        lora.widened(content)
    (path := tmp_path / "crafted.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=r"crafted\.gguf: llama\.cpp cannot load this adapter"):
        LlamaEngine(tiny_gguf.write_llama(tmp_path / "tiny.gguf"), identity="", adapter=path)


def test_an_alignment_of_nothing_is_left_as_it_is(tmp_path: Path) -> None:
    content = write_adapter(tmp_path / "adapter.gguf", ranks=PAIRS).read_bytes()
    head, tags = content.index(b"general.tags") - 8, content.index(b"adapter.lora.alpha") - 8
    zero = struct.pack("<Q", 17) + b"general.alignment" + struct.pack("<II", 4, 0)
    assert lora.widened(content[:head] + zero + content[tags:]) is None


def test_no_temporary_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    model = tiny_gguf.write_llama(tmp_path / "tiny.gguf")
    LlamaEngine(model, identity="", adapter=write_adapter(tmp_path / "adapter.gguf", ranks=PAIRS)).close()
    assert list((tmp_path / "scratch").iterdir()) == []
