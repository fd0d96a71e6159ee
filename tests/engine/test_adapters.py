"""Adapters: read where they lie, whatever their rank; what is none ends in one line."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter

from tests import tiny_gguf
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.errors import ModelError

TOKENS = list(range(20, 60))
ANSWERS = (4, 5)
TEXT, ARRAY = 8, 9  # types of GGUF's values


def write_adapter(path: Path, *, ranks: Mapping[str, int], padded: int | None = None) -> Path:
    """A LoRA adapter with random weights for the named tensors of the tiny Llama; the same function where `padded`."""
    shapes = dict.fromkeys(("attn_q", "attn_output"), (tiny_gguf.WIDTH, tiny_gguf.WIDTH))
    shapes |= {"ffn_gate": (tiny_gguf.FEED_FORWARD, tiny_gguf.WIDTH)}
    draw = np.random.default_rng(1)
    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_array("general.tags", ["lora", "a test"])
    writer.add_float32("adapter.lora.alpha", 16.0 * (padded or 6) / 6)
    for name, rank in ranks.items():
        out, into = shapes.get(name.rpartition(".")[2], (tiny_gguf.WIDTH, tiny_gguf.WIDTH))
        for part, shape in (("a", (rank, into)), ("b", (out, rank))):
            matrix = draw.normal(0, 0.3, shape).astype(np.float16)
            if padded:
                matrix = np.pad(matrix, [(0, max(padded - size, 0) if size == rank else 0) for size in shape])
            writer.add_tensor(f"{name}.weight.lora_{part}", matrix)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


PAIRS = {"blk.0.attn_q": 6, "blk.0.ffn_gate": 6, "blk.1.attn_output": 6}


def test_an_engine_computes_the_same_with_a_narrow_adapter_and_with_its_padded_form(tmp_path: Path) -> None:
    model = tiny_gguf.write_llama(tmp_path / "tiny.gguf")

    def margins(**parts: Path) -> list[float]:
        engine = LlamaEngine(model, identity="", **parts)
        try:
            return [one.margin for one in engine.margins(TOKENS, [[7], [9, 11]], ANSWERS, exact=True)]
        finally:
            engine.close()

    narrow = margins(adapter=write_adapter(tmp_path / "narrow.gguf", ranks=PAIRS))
    padded = margins(adapter=write_adapter(tmp_path / "padded.gguf", ranks=PAIRS, padded=16))
    assert padded == pytest.approx(narrow, abs=0.02)
    assert narrow != pytest.approx(margins(), abs=0.2)


KILLED_WHILE_LOADING = """
import os, signal, sys
from pathlib import Path
from trsr_lite.engine import model
from trsr_lite.engine.llama import LlamaEngine

library = model.library()
load = library.llama_adapter_lora_init

def killed(handle, path):
    load(handle, path)
    os.kill(os.getpid(), signal.SIGKILL)

library.llama_adapter_lora_init = killed
LlamaEngine(Path(sys.argv[1]), identity="", adapter=Path(sys.argv[2]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no such signal")
def test_a_process_that_is_killed_while_an_adapter_loads_leaves_nothing(tmp_path: Path) -> None:
    model = tiny_gguf.write_llama(tmp_path / "tiny.gguf")
    adapter = write_adapter(tmp_path / "narrow.gguf", ranks=PAIRS)
    (scratch := tmp_path / "scratch").mkdir()
    command = [sys.executable, "-c", KILLED_WHILE_LOADING, str(model), str(adapter)]
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP", "HOME", "XDG_CACHE_HOME"), str(scratch))
    done = subprocess.run(command, env={**os.environ, **places}, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["narrow.gguf", "scratch", "tiny.gguf"]


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
    with pytest.raises(ModelError, match=r"adapter\.gguf: (not a GGUF that can be read|its header cannot be right)"):
        LlamaEngine(model, identity="", adapter=adapter)


def crafted(kind: int, value: bytes) -> bytes:
    """The head of a GGUF with one value, and a tensor count that needs more than there is."""
    key = b"general.alignment"
    return b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, len(key)) + key + struct.pack("<I", kind) + value


@pytest.mark.parametrize(
    "content",
    [
        crafted(ARRAY, struct.pack("<IQ", 0, 1 << 62)),
        crafted(ARRAY, struct.pack("<IQ", TEXT, 1 << 62)),
        crafted(ARRAY, struct.pack("<IQ", ARRAY, 1) * 5000),
        crafted(TEXT, struct.pack("<Q", 1 << 62)),
        crafted(TEXT, struct.pack("<Q", 1 << 63)),
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
def test_a_crafted_file_ends_at_once(tmp_path: Path, content: bytes) -> None:
    (path := tmp_path / "crafted.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=r"crafted\.gguf: not a GGUF that can be read"):
        LlamaEngine(tiny_gguf.write_llama(tmp_path / "tiny.gguf"), identity="", adapter=path)
