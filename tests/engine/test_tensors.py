"""Rows of a GGUF's matrix are what the gguf package reads, whatever their type."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from trsr_lite.engine.tensors import EMBEDDINGS, Rows
from trsr_lite.errors import ModelError

TYPES = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")


def write(path: Path, kind: str, rows: int = 7, width: int = 512) -> np.ndarray:
    """A file with one matrix of random blocks; what the gguf package makes of them."""
    number = gguf.GGMLQuantizationType[kind]
    values, size = gguf.GGML_QUANT_SIZES[number]
    rng = np.random.default_rng(3)
    if kind == "F32":
        raw = rng.normal(size=(rows, width)).astype(np.float32).view(np.uint8)
    else:
        raw = rng.integers(0, 256, (rows, width // values, size), np.uint8)
        if kind in ("F16", "BF16"):
            raw[..., 1] &= 0x3B  # no infinities
        else:
            halves = rng.normal(size=(rows, width // values, 2)).astype(np.float16).view(np.uint8)
            place = (
                slice(208, 210) if kind == "Q6_K" else slice(0, 4 if kind in ("Q4_1", "Q5_1", "Q4_K", "Q5_K") else 2)
            )
            raw[..., place] = halves[..., : place.stop - place.start]
        raw = raw.reshape(rows, -1)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("tokenizer.ggml.tokens", ["a", "é", ""])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_float32("one", 1.0)
    writer.add_tensor("other.weight", np.ones((3, 5), np.float32))
    dtype = {"F32": np.float32, "F16": np.float16}.get(kind)
    writer.add_tensor(EMBEDDINGS, raw.view(dtype) if dtype else raw, raw_dtype=None if dtype else number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tensor = next(one for one in gguf.GGUFReader(path).tensors if one.name == EMBEDDINGS)
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(rows, width)


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_decodes_as_the_gguf_package_does(kind: str, tmp_path: Path) -> None:
    expected = write(tmp_path / "m.gguf", kind)
    rows = Rows(tmp_path / "m.gguf")
    assert (rows.count, rows.width, rows.kind) == (7, 512, kind)
    assert rows.rows([6, 0, 6]).dtype == np.float32
    np.testing.assert_allclose(rows.rows([6, 0, 6]), expected[[6, 0, 6]], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(rows.rows(np.arange(7)), expected, rtol=1e-6, atol=1e-6)


def test_no_rows_are_no_rows(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", "Q8_0")
    assert Rows(tmp_path / "m.gguf").rows([]).shape == (0, 512)


def test_a_type_that_is_not_known_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", "Q8_0")
    content = bytearray((tmp_path / "m.gguf").read_bytes())
    place = content.index(EMBEDDINGS.encode()) + len(EMBEDDINGS) + 4 + 16
    assert content[place] == 8
    content[place] = 19
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(ModelError, match="tensor type 19"):
        Rows(tmp_path / "m.gguf")


def test_a_file_without_the_matrix_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", "F32")
    with pytest.raises(ModelError, match="no matrix `else`"):
        Rows(tmp_path / "m.gguf", "else")


@pytest.mark.parametrize("part", [0.999, 0.5, 0.02, 0.005])
def test_a_cut_file_is_one_line(part: float, tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", "Q8_0")
    content = (tmp_path / "m.gguf").read_bytes()
    (tmp_path / "m.gguf").write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ModelError, match=r"m\.gguf: "):
        Rows(tmp_path / "m.gguf")


def test_a_length_that_lies_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", "Q8_0")
    content = bytearray((tmp_path / "m.gguf").read_bytes())
    content[24:32] = b"\xff" * 8  # of the first key
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(ModelError, match="not a GGUF that can be read"):
        Rows(tmp_path / "m.gguf")
