"""Each reader of files takes what is almost right: it reads it, or says in one line what is wrong."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import tiny_gguf
from tests.conftest import ROOT
from tests.fuzz.changes import damaged, documents, examples
from trsr_lite import Catalog, TrsrError, read_user
from trsr_lite.datasets import dataset
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.engine import gguf, headers
from trsr_lite.io.digests import file_digest
from trsr_lite.models import bundle
from trsr_lite.models.bundle import Bundle, ModelFile
from trsr_lite.prompts import chat, chat_rendering
from trsr_lite.recommender.user_files import read_candidates
from trsr_lite.serve import message
from trsr_lite.signals.fusion import Fusion
from trsr_lite.summaries.store import FILE_NAME, SummaryStore

USER = json.loads((ROOT / "examples" / "news_reader.json").read_text())
SHORT = {**USER, "history": USER["history"][:3], "candidates": USER["candidates"][:3]}
ITEMS = [
    {"id": f"i{number}", "title": f"A title {number}", "price": 3.5, "tags": ["a", "b"], "date": "2026-01-02"}
    for number in range(4)
]
TABLE = "id,title,price,date\n" + "".join(f"i{n},A title {n},3.5,2026-01-0{n + 1}\n" for n in range(4))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What is left out is said in warnings, which are not looked at here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """Within this block only errors of this package come, and each is one short line."""
    try:
        yield
    except TrsrError as error:
        assert len(str(error).splitlines()) <= 1 and len(str(error)) < 2000 and str(error).isprintable()


def lines(items: list[Any]) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


@examples(150)
@given(content=documents(SHORT))
def test_a_user(content: bytes, tmp_path: Path) -> None:
    (path := tmp_path / "user.json").write_bytes(content)
    with one_line():
        user = read_user(path)
        assert all(item.id for item in user.history)


@examples(120)
@given(
    content=damaged(lines(ITEMS)) | damaged(TABLE.encode()) | documents(ITEMS),
    end=st.sampled_from(["jsonl", "csv", "json"]),
)
def test_candidates(content: bytes, end: str, tmp_path: Path) -> None:
    (path := tmp_path / f"candidates.{end}").write_bytes(content)
    with one_line():
        read_candidates(path)


@examples(80)
@given(data=st.data())
def test_items_of_a_catalog(data: st.DataObject, tmp_path: Path) -> None:
    end = data.draw(st.sampled_from(["jsonl", "csv"]))
    rows = [data.draw(documents(item)).replace(b"\n", b" ") for item in ITEMS]
    content = b"\n".join(rows) if end == "jsonl" else data.draw(damaged(TABLE.encode()))
    (path := tmp_path / f"items.{end}").write_bytes(content)
    with one_line(), Catalog.build(path, tmp_path / "items.catalog", force=True) as catalog:
        catalog.retrieve([], "a title", 3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog, a store and a bundle as they should be."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "items.jsonl").write_bytes(lines(ITEMS))
    Catalog.build(folder / "items.jsonl", folder / "items.catalog").close()
    store = SummaryStore(folder / "store")
    store.put_all([(f"{n:040x}", "block", f"A summary {n}.") for n in range(5)])
    store.close()
    (made := folder / "bundle").mkdir()
    model = tiny_gguf.write_llama(made / "tiny.gguf")
    file = ModelFile(model, file_digest(model), model.stat().st_size, "F32")
    Bundle("tiny", file, file, answers=(4, 5), probes=((1, 2),), trained=False).write(made)
    return folder


@examples(60)
@given(data=st.data())
def test_a_catalog(data: st.DataObject, files: Path, tmp_path: Path) -> None:
    content = data.draw(damaged((files / "items.catalog").read_bytes()))
    (path := tmp_path / "items.catalog").write_bytes(content)
    with one_line(), Catalog(path) as catalog:
        len(catalog), catalog.info(), catalog.get("i1"), catalog.retrieve([], "a title", 3)


@examples(60)
@given(data=st.data())
def test_a_store(data: st.DataObject, files: Path, tmp_path: Path) -> None:
    """A text that comes back is one that was put in, whatever was done to the file."""
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    (tmp_path / "store").mkdir()
    content = data.draw(damaged((files / "store" / FILE_NAME).read_bytes()))
    (tmp_path / "store" / FILE_NAME).write_bytes(content)
    store = SummaryStore(tmp_path / "store")
    with one_line():
        found = store.get([f"{n:040x}" for n in range(5)])
        assert set(found.values()) <= {f"A summary {n}." for n in range(5)}
        store.put("f" * 40, "block", "new")
    store.close()


@examples(120)
@given(data=st.data())
def test_a_manifest(data: st.DataObject, files: Path) -> None:
    manifest = files / "bundle" / bundle.MANIFEST
    before = manifest.read_bytes()
    try:
        manifest.write_bytes(data.draw(documents(json.loads(before))))
        with one_line():
            bundle.load(files / "bundle", file_digest).to_dict()
    finally:
        manifest.write_bytes(before)


@examples(300)
@given(data=st.data())
def test_the_header_of_a_model(data: st.DataObject, tiny: Path, tmp_path: Path) -> None:
    """What passes is loaded in a process of its own first: see tests/engine/test_headers.py."""
    content = tiny.read_bytes()
    end = gguf.head(content).start
    (path := tmp_path / "model.gguf").write_bytes(data.draw(damaged(content, 4, end)))
    with one_line():
        headers.check(path)


@examples(200)
@given(content=documents({"jsonrpc": "2.0", "id": 3, "method": "recommend", "params": {"user": SHORT, "k": 3}}))
def test_a_line_of_the_protocol(content: bytes) -> None:
    for line in content.split(b"\n"):
        try:
            message.read(line)
        except message.Refused as refused:
            assert message.failure(refused.to, refused.code, str(refused)).count(b"\n") == 1


FUSION = {
    "version": 1,
    "weights": {name: {"weight": 0.5, "mean": 0.1, "scale": 2.0} for name in ("model", "words")},
    "temperature": 1.0, "bias": 0.0, "fitted_on": {},
}  # fmt: skip


@examples(150)
@given(content=documents(FUSION))
def test_a_fusion(content: bytes) -> None:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return
    with one_line():
        Fusion.from_json(data)


@examples(100)
@given(content=damaged(tiny_gguf.CHATML_TEMPLATE.encode()))
def test_a_chat_template(content: bytes) -> None:
    """What may run long is left to the child, as tests/prompts/test_chat_rendering.py shows."""
    template = content.decode(errors="replace")
    if chat_rendering.is_plain(template):
        with one_line():
            chat.frame(template, "<s>", "</s>")


@examples(40)
@given(data=st.data())
def test_a_data_set(data: st.DataObject, tmp_path: Path) -> None:
    rows = [{"user_id": f"u{n % 3}", "item_id": f"i{n % 4}", "timestamp": n} for n in range(12)]
    (tmp_path / "items.jsonl").write_bytes(data.draw(damaged(lines(ITEMS)) | st.just(lines(ITEMS))))
    (tmp_path / "interactions.jsonl").write_bytes(data.draw(damaged(lines(rows)) | st.just(lines(rows))))
    with one_line():
        loaded = dataset.load(DataOptions(dataset="jsonl", data=str(tmp_path), min_items=2))
        loaded.close()


def test_a_database_of_somebody_else_is_one_line(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "other.catalog")) as other:
        other.execute("CREATE TABLE items (id, content)")
    with pytest.raises(TrsrError):
        Catalog(tmp_path / "other.catalog")
