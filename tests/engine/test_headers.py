"""A GGUF of a stranger never ends the process: its header is checked first, and it is tried in another process."""

from __future__ import annotations

import random
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

from tests import tiny_gguf
from trsr_lite.engine import gguf, headers, trial
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.errors import ModelError
from trsr_lite.io.digests import file_digest
from trsr_lite.models import bundle, soundness

SEED, TRIED = 28, 16


def patched(source: Path, target: Path, change: Callable[[bytearray, gguf.Head], None]) -> Path:
    """A copy of a model in which `change` has changed bytes."""
    content = bytearray(source.read_bytes())
    change(content, gguf.head(bytes(content), keep=(headers.TOKENS,)))
    target.write_bytes(content)
    return target


def place(content: bytes | bytearray, key: bytes) -> int:
    """Where the type of a value stands."""
    return content.index(struct.pack("<Q", len(key)) + key) + 8 + len(key)


def metadata(key: bytes, kind: int, value: bytes) -> Callable[[bytearray, gguf.Head], None]:
    """Put another value of the same length into the metadata."""

    def change(content: bytearray, _head: gguf.Head) -> None:
        at = place(content, key)
        content[at : at + 4 + len(value)] = struct.pack("<I", kind) + value

    return change


def tensor(name: bytes, form: str, offset: int, value: int) -> Callable[[bytearray, gguf.Head], None]:
    """Change one number in the description of a matrix, so many bytes behind its name."""

    def change(content: bytearray, _head: gguf.Head) -> None:
        at = content.index(struct.pack("<Q", len(name)) + name) + 8 + len(name) + offset
        struct.pack_into(form, content, at, value)

    return change


def doubled(content: bytearray, head: gguf.Head) -> None:
    tokens = head.values[headers.TOKENS].texts or ()
    one, other = next((a, b) for a in tokens for b in tokens if a != b and len(a) == len(b) == 5)
    at = content.index(struct.pack("<Q", 5) + other)
    content[at + 8 : at + 13] = one


def inserted(raw: bytes) -> Callable[[bytearray, gguf.Head], None]:
    """One value more, before all others."""

    def change(content: bytearray, _head: gguf.Head) -> None:
        struct.pack_into("<Q", content, 16, struct.unpack_from("<Q", content, 16)[0] + 1)
        content[24:24] = raw

    return change


def alignment(kind: int, value: bytes) -> Callable[[bytearray, gguf.Head], None]:
    return inserted(struct.pack("<Q", 17) + gguf.ALIGNMENT + struct.pack("<I", kind) + value)


def number(value: int) -> bytes:
    return struct.pack("<I", value)


E, Q = headers.EMBEDDINGS, b"blk.0.attn_q.weight"
CASES: dict[str, tuple[Callable[[bytearray, gguf.Head], None], str]] = {
    "an alignment of another type": (alignment(gguf.FLOAT32, struct.pack("<f", 32.0)), "alignment"),
    "an alignment of 0": (alignment(gguf.UINT32, number(0)), "alignment of 0"),
    "an alignment of 24": (alignment(gguf.UINT32, number(24)), "alignment of 24"),
    "an alignment of 8": (alignment(gguf.UINT32, number(8)), "alignment of 8"),
    "doubled tokens": (doubled, "1 of its .* tokens stand there twice"),
    "no blocks": (metadata(b"llama.block_count", gguf.UINT32, number(0)), "block_count` is 0"),
    "many blocks": (metadata(b"llama.block_count", gguf.UINT32, number(1 << 31)), "block_count` is 2147483648"),
    "blocks as a float": (metadata(b"llama.block_count", gguf.FLOAT32, number(2)), "block_count` is "),
    "no width": (metadata(b"llama.embedding_length", gguf.UINT32, number(0)), "embedding_length` is 0"),
    "another width": (metadata(b"llama.embedding_length", gguf.UINT32, number(32)), "64 values each, and .* 32"),
    "a nested array": (inserted(struct.pack("<Q", 1) + b"n" + struct.pack("<IIQ", 9, 9, 1)), "an array in an array"),
    "a value twice": (inserted(struct.pack("<Q", 12) + b"general.name" + struct.pack("<IB", 0, 1)), "there twice"),
    "a huge list": (metadata(headers.TOKENS, 9, struct.pack("<IQ", 8, 1 << 60)), "beyond the end"),
    "a huge list of numbers": (metadata(b"tokenizer.ggml.token_type", 9, struct.pack("<IQ", 5, 1 << 62)), "beyond"),
    "short types": (metadata(b"tokenizer.ggml.token_type", 9, struct.pack("<IQ", 5, 1)), "not a GGUF that can be read"),
    "many tensors": (lambda content, _: struct.pack_into("<Q", content, 8, 1 << 60), "not a GGUF that can be read"),
    "many values": (lambda content, _: struct.pack_into("<Q", content, 16, 1 << 60), "not a GGUF that can be read"),
    "no dimensions": (tensor(Q, "<I", 0, 0), "not a GGUF that can be read|has shape"),
    "many dimensions": (tensor(Q, "<I", 0, 1 << 31), "not a GGUF that can be read"),
    "an empty matrix": (tensor(Q, "<Q", 4, 0), r"attn_q.weight` has shape \[0, 64\]"),
    "an endless matrix": (tensor(Q, "<Q", 4, 1 << 62), "attn_q.weight` has shape"),
    "a type that is not known": (tensor(Q, "<I", 20, 4), "has type 4, which"),
    "a place outside": (tensor(Q, "<Q", 24, 1 << 40), "attn_q.weight` is at 1099511627776, and should be"),
    "a place within another": (tensor(Q, "<Q", 24, 0), "attn_q.weight` is at 0, and should be"),
    "too few embeddings": (tensor(E, "<Q", 12, 10), "embeddings for 10 of its|should be at"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_header_that_cannot_be_right_is_one_line(tiny: Path, tmp_path: Path, name: str) -> None:
    change, message = CASES[name]
    path = patched(tiny, tmp_path / "stranger.gguf", change)
    with pytest.raises(ModelError, match=message) as raised:
        headers.check(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    for vocab_only in (False, True):
        with pytest.raises(ModelError, match=message):
            LlamaEngine(path, identity="", vocab_only=vocab_only)


@pytest.mark.parametrize("fixture", ["tiny", "tiny_sliding", "tiny_mamba"])
def test_a_model_as_it_should_be_passes(request: pytest.FixtureRequest, fixture: str) -> None:
    path = request.getfixturevalue(fixture)
    headers.check(path)
    trial.run(path, size=path.stat().st_size)


def test_the_table_of_types_is_that_of_the_gguf_package() -> None:
    import gguf as package

    known = {kind.value: sizes for kind, sizes in package.GGML_QUANT_SIZES.items()}
    assert headers.BLOCKS.items() <= known.items()
    assert {package.GGMLQuantizationType(kind).name for kind in known.keys() - headers.BLOCKS.keys()} == {
        "Q8_1",
        "Q8_K",
    }


def not_a_number(content: bytearray, head: gguf.Head) -> None:
    matrix = next(one for one in head.tensors if one.name == Q)
    struct.pack_into("<f", content, head.start + matrix.offset + 400, float("nan"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (not_a_number, "invalid data"),
        (metadata(b"llama.attention.head_count", gguf.UINT32, number(0)), "cannot load it"),
        (metadata(b"llama.attention.head_count", gguf.UINT32, number(3)), "cannot load it"),
        (metadata(b"llama.attention.head_count_kv", gguf.UINT32, number(3)), "cannot load it"),
        (metadata(b"llama.attention.key_length", gguf.UINT32, number(1 << 30)), "cannot load it"),
        (metadata(b"llama.rope.dimension_count", gguf.UINT32, number(5)), "cannot load it"),
        (metadata(b"llama.attention.layer_norm_rms_epsilon", gguf.FLOAT32, struct.pack("<f", float("nan"))), "cannot"),
    ],
    ids=["NaN", "no heads", "odd heads", "odd key heads", "wide heads", "odd rotation", "NaN in the metadata"],
)  # fmt: skip
def test_what_only_loading_shows_is_one_line_too(
    tiny: Path, tmp_path: Path, change: Callable[[bytearray, gguf.Head], None], message: str
) -> None:
    path = patched(tiny, tmp_path / "stranger.gguf", change)
    with pytest.raises(ModelError, match=message) as raised:
        trial.run(path, size=path.stat().st_size)
    assert str(path) in str(raised.value)


def mutated(source: bytes, end: int, seed: int) -> bytes:
    """A header with a few numbers or bytes replaced, or cut, or with a part of it twice."""
    draw = random.Random(seed)
    content = bytearray(source)
    keys = [match.start() for match in re.finditer(rb"(general|llama|gemma3|tokenizer|blk|token_embd)\.", source[:end])]
    kind = draw.randrange(5)
    if kind == 0:  # anywhere in the first values, where a change means most
        for _ in range(draw.randint(1, 4)):
            content[draw.randrange(4, 600)] = draw.choice((0, 1, 2, 9, 127, 128, 255, draw.randrange(256)))
    elif kind == 1:  # a number after a name
        at = draw.choice(keys)
        at += re.match(rb"[\w.]+", source[at:]).end()  # type: ignore[union-attr]
        value = draw.choice((0, 1, 3, 255, 1 << 15, 1 << 31, (1 << 32) - 1, draw.getrandbits(32)))
        struct.pack_into("<I", content, at + draw.choice((0, 4, 8, 12, 16, 20)), value)
    elif kind == 2:  # bytes anywhere in the header
        for _ in range(draw.randint(1, 20)):
            content[draw.randrange(end)] = draw.randrange(256)
    elif kind == 3:
        at = draw.randrange(8, end)
        length = draw.randint(1, 40)
        content[at:at] = content[at : at + length]
    else:
        at = draw.randrange(8, end)
        del content[at : at + draw.randint(1, 40)]
    return bytes(content)


MANY = """
import sys
from pathlib import Path
from trsr_lite.engine import headers, trial
from trsr_lite.errors import ModelError

for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        headers.check(path)
        print(path.name, "passes", flush=True)
    except ModelError as error:
        assert len(str(error).splitlines()) == 1 and error.exit_code == 3 and str(path) in str(error), error
"""
LOAD = """
import sys
from pathlib import Path
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.errors import ModelError

try:
    engine = LlamaEngine(Path(sys.argv[1]), identity="")
    engine.margins(engine.encode("a title"), [[5], [6]], (4, 5))
except ModelError as error:
    print(error)
"""


@pytest.mark.parametrize("fixture", ["tiny", "tiny_sliding"])
def test_no_mutated_header_ends_the_process(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    fixture: str,
    python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Four hundred of each file: most are refused by their header, and what is left by a child or not at all."""
    source = request.getfixturevalue(fixture).read_bytes()
    end = gguf.head(source).start
    (folder := tmp_path / "many").mkdir()
    for seed in range(400):
        (folder / f"{seed:03}.gguf").write_bytes(mutated(source, end, SEED * 1000 + seed))
    passed = [line.split()[0] for line in python("-c", MANY, folder).stdout.splitlines()]
    assert 20 < len(passed) < 300
    kept = 0
    for name in passed[:TRIED]:
        path = folder / name
        try:
            trial.run(path, size=path.stat().st_size)
        except ModelError as error:
            assert str(path) in str(error)
        else:
            kept += 1
            if kept <= 2:  # what passed is loaded in a process, and computes
                python("-c", LOAD, path)


def test_a_child_that_is_stopped_ends_with_what_stopped_it(tiny: Path) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        trial.run(tiny, size=1, on_wait=stop)


def test_a_file_is_tried_once(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []
    monkeypatch.setattr(trial, "run", lambda path, *_, **__: tried.append(path))
    monkeypatch.setattr(soundness, "_here", set())
    copy = tmp_path / "again.gguf"
    copy.write_bytes(tiny.read_bytes())
    file = bundle.load(copy, file_digest).recommender
    for here in (soundness._here, set(), set()):
        monkeypatch.setattr(soundness, "_here", here)
        soundness.check(file, tmp_path / "cache")
    assert tried == [copy]
    monkeypatch.setattr(soundness, "_here", set())
    soundness.check(file, None)
    assert tried == [copy, copy]


def test_what_fails_is_not_remembered(tiny: Path, tmp_path: Path) -> None:
    path = patched(tiny, tmp_path / "nan.gguf", not_a_number)
    file = bundle.load(path, file_digest).recommender
    for _ in range(2):
        with pytest.raises(ModelError, match="invalid data"):
            soundness.check(file, tmp_path / "cache")


def test_a_frozen_program_has_the_header_alone(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(soundness, "_here", set())
    monkeypatch.setattr(trial, "run", lambda *_, **__: pytest.fail("starts itself again"))
    soundness.check(bundle.load(tiny, file_digest).recommender, None)
    path = patched(tiny, tmp_path / "stranger.gguf", CASES["doubled tokens"][0])
    with pytest.raises(ModelError, match="stand there twice"):
        soundness.check(bundle.load(path, file_digest).recommender, None)


def test_the_command_line_ends_with_3_and_one_line(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], news_path: Path
) -> None:
    from trsr_lite.cli import run as cli

    broken = {
        "heads": metadata(b"llama.attention.head_count", gguf.UINT32, number(3)),
        "nan": not_a_number,
        "twice": doubled,
    }
    for name, change in broken.items():
        path = patched(tiny, tmp_path / f"{name}.gguf", change)
        assert cli(["recommend", "-m", str(path), "--user", str(news_path)]) == 3
        said = capsys.readouterr().err.strip().splitlines()
        assert next(line for line in said if line.startswith("Error:")).startswith(f"Error: {path}: ")
        assert not [line for line in said if "Traceback" in line]


@pytest.fixture
def news_path() -> Path:
    return Path(__file__).parents[2] / "examples" / "news_reader.json"


def test_weights_of_the_tiny_models_lie_where_the_head_says(tiny: Path) -> None:
    head = gguf.head(tiny.read_bytes())
    theirs = {one.name: one.data_offset for one in GGUFReader(tiny).tensors}
    assert {one.name.decode(): head.start + one.offset for one in head.tensors} == theirs


def test_a_vocabulary_without_weights_passes(tmp_path: Path) -> None:
    tokens, merges = tiny_gguf.vocabulary()
    writer = GGUFWriter(tmp_path / "vocabulary.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_merges(merges)
    writer.add_token_scores(list(np.zeros(len(tokens))))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert LlamaEngine(tmp_path / "vocabulary.gguf", identity="", vocab_only=True).encode("yes") != []
