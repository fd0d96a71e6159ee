"""What a GGUF's head must be before llama.cpp sees the file: it ends the whole process for some that are not.

Invariant: a file that passes has texts, counts, shapes and offsets that fit its length and each other; every fault is
one `ModelError` that names the file. Whether the model computes is found by loading it once elsewhere (`trial`).
Limits are those of llama.cpp's `gguf.cpp`, `llama-vocab.cpp` and `llama-model.cpp`.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path

from trsr_lite.engine import gguf
from trsr_lite.engine.gguf import FLOAT32, INT32, TEXT, UINT32, Head, Tensor, Value
from trsr_lite.errors import ModelError
from trsr_lite.io.files import granted

NAME, DIMENSIONS, LAYERS, LARGEST = 64, 4, 512, 1 << 31  # GGML_MAX_NAME, GGML_MAX_DIMS, LLAMA_MAX_LAYERS; an int
LEAST_ALIGNMENT = 32  # of what lies in a file that is mapped
ARCHITECTURE, TOKENS, EMBEDDINGS = b"general.architecture", b"tokenizer.ggml.tokens", b"token_embd.weight"
PARTS, NUMBER = b"split.count", b"split.no"
UINT16 = 2
LISTS = {
    TOKENS: (TEXT,),
    b"tokenizer.ggml.merges": (TEXT,),
    b"tokenizer.ggml.scores": (FLOAT32, INT32),
    b"tokenizer.ggml.token_type": (INT32,),
}
COUNTS = {b"block_count": LAYERS, b"embedding_length": LARGEST, b"context_length": LARGEST}
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""ggml's number of a tensor type -> values and bytes of a block; types of intermediate results are left out."""
PART = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
GET_AGAIN = "the file is damaged, or made to do harm: get it again from somebody you trust"


def check(path: Path, *, adapter: bool = False) -> None:
    """Raise `ModelError` where llama.cpp should not see a GGUF file, a model or an `adapter`, or one of its parts."""
    for part in parts(path):
        head, size = _read(part)
        kind = head.values.get(b"general.type")
        if not adapter and kind and kind.plain == b"adapter":
            raise ModelError(f"{path}: a LoRA adapter, not a model", hint="give the bundle that it belongs to")
        try:
            for fault in (*_tensors(head, size), *_lists(head), *_shape(head)):
                raise ValueError(fault)
        except ValueError as error:
            raise ModelError(f"{part}: its header cannot be right: {error}", hint=GET_AGAIN) from None


def parts(path: Path) -> tuple[Path, ...]:
    """The files of a model, the first one first: most have one.

    Raises `ModelError` where one is missing, or where `path` is another than the first.
    """
    named = PART.fullmatch(path.name)
    if not named:
        return (path,)
    values = _read(path)[0].values
    if (value := values.get(PARTS)) is None or value.plain in (0, 1):
        return (path,)
    count = int(named["count"])
    if value.kind != UINT16 or value.plain != count:
        raise ModelError(f"{path}: has {_shown(value)} parts by its header, and {count} by its name", hint=GET_AGAIN)
    found = tuple(path.with_name(f"{named['name']}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1))
    if path != found[0]:
        raise ModelError(f"{path}: is one part of a model", hint=f"give the first one, {found[0]}")
    for number, part in enumerate(found):
        if not part.is_file():
            raise ModelError(f"{part}: this part of the model is missing", hint=f"all {count} parts belong together")
        own = _read(part)[0].values.get(NUMBER) if number else values.get(NUMBER)
        if own is None or own.kind != UINT16 or own.plain != number:
            raise ModelError(f"{part}: is not part {number + 1} by its header", hint=GET_AGAIN)
    return found


def _read(path: Path) -> tuple[Head, int]:
    """The head of a file, and the file's length."""
    try:
        with granted(path), path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return gguf.head(content, keep=(TOKENS,)), len(content)
    except (struct.error, KeyError, ValueError, OverflowError, MemoryError) as error:
        fault = "it ends too early" if isinstance(error, struct.error) else str(error) or type(error).__name__
        raise ModelError(f"{path}: not a GGUF that can be read: {fault}", hint=GET_AGAIN) from error


def _tensors(head: Head, size: int) -> Iterator[str]:
    """Faults of the tensors: their names, types, shapes and places."""
    if head.tensors and head.alignment % LEAST_ALIGNMENT:
        yield f"an alignment of {head.alignment}"
    expected, names = 0, set[bytes]()
    for tensor in head.tensors:
        name = f"tensor `{_text(tensor.name[:NAME])}`"
        if not 0 < len(tensor.name) < NAME or tensor.name in names:
            yield f"{name} has a name that is too long, or another one's"
        names.add(tensor.name)
        if tensor.kind not in BLOCKS:
            yield f"{name} has type {tensor.kind}, which this version does not know"
            return
        if not 0 < len(tensor.shape) <= DIMENSIONS or not all(0 < length < LARGEST for length in tensor.shape):
            yield f"{name} has shape {list(tensor.shape)[:DIMENSIONS]}"
        values, each = BLOCKS[tensor.kind]
        if tensor.shape and tensor.shape[0] % values:
            yield f"{name} has rows of {tensor.shape[0]} values, and its type wants a multiple of {values}"
        taken = prod(tensor.shape) // values * each
        if tensor.offset != expected:
            yield f"{name} is at {tensor.offset}, and should be at {expected}"
        if taken > size - head.start - tensor.offset:
            yield f"{name} goes beyond the end of the file"
        expected += -(-taken // head.alignment) * head.alignment


def _lists(head: Head) -> Iterator[str]:
    """Faults of the vocabulary."""
    for key, kinds in LISTS.items():
        if (value := head.values.get(key)) and (value.count is None or value.kind not in kinds):
            yield f"`{_text(key)}` has the wrong type"
    tokens = head.values.get(TOKENS)
    if tokens is None or tokens.texts is None:
        return
    count = len(tokens.texts)
    if not count:
        yield "it has no tokens"
    read = {text.partition(b"\0")[0] or b"[EMPTY_%d]" % number for number, text in enumerate(tokens.texts)}
    if len(read) < count:  # as llama.cpp reads them: it ends the process
        yield f"{count - len(read)} of its {count} tokens stand there twice"
    for key in (b"tokenizer.ggml.scores", b"tokenizer.ggml.token_type"):
        if (value := head.values.get(key)) and (value.count or 0) < count:
            yield f"`{_text(key)}` has {value.count} entries for {count} tokens"


def _shape(head: Head) -> Iterator[str]:
    """Faults of what the metadata say of the model, and of its embeddings, which must fit them."""
    architecture = head.values.get(ARCHITECTURE)
    if architecture is None:  # a later part of a model; llama.cpp refuses any other
        return
    if not isinstance(architecture.plain, bytes):
        yield "`general.architecture` is not a text"
        return
    found: dict[bytes, int] = {}
    for key, most in COUNTS.items():
        full = architecture.plain + b"." + key
        if (value := head.values.get(full)) is None:
            continue
        if value.kind != UINT32 or not isinstance(value.plain, int) or not 0 < value.plain <= most:
            yield f"`{_text(full)}` is {_shown(value)}"
            return
        found[key] = value.plain
    embeddings = next((tensor for tensor in head.tensors if tensor.name == EMBEDDINGS), None)
    if embeddings:
        yield from _embeddings(embeddings, found.get(b"embedding_length"), head.values.get(TOKENS))


def _embeddings(tensor: Tensor, width: int | None, tokens: Value | None) -> Iterator[str]:
    if width is not None and tensor.shape[0] != width:
        yield f"its embeddings have {tensor.shape[0]} values each, and its metadata say {width}"
    if tokens is not None and tokens.count is not None and prod(tensor.shape[1:]) < tokens.count:
        yield f"it has embeddings for {prod(tensor.shape[1:])} of its {tokens.count} tokens"


def _text(name: bytes) -> str:
    return name.decode(errors="replace")


def _shown(value: Value) -> str:
    return f"a list of {value.count}" if value.count is not None else repr(value.plain)[:40]
