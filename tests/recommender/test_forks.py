"""A process that forks: what it opened says so in the child before it waits for anything, and stays whole here."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny_gguf
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
PATIENCE = 120  # seconds until a script counts as hanging

PREPARE = """
import json, os, signal, sys, threading, warnings
from pathlib import Path

from trsr_lite import Catalog, FakeEngine, Item, ModelError, Recommender, Settings, TrsrError, User
from trsr_lite.catalog.build import build
from trsr_lite.models.bundle import Bundle, ModelFile
from trsr_lite.summaries.store import SummaryStore

warnings.simplefilter("ignore")  # Python warns of a fork with threads: that is what is tried here
folder = Path(sys.argv[1])
items = [Item(f"i{number}", {"title": f"Title {number}"}) for number in range(20)]
user = User("u", history=items[:12], candidates=items[12:])


def child(*acts):
    \"\"\"What becomes of each in a forked child, which then ends as any program does.\"\"\"
    source, sink = os.pipe()
    if os.fork() == 0:
        signal.alarm(60)  # one that hangs ends, too
        for act in acts:
            try:
                said = ["done", str(act())]
            except TrsrError as error:
                said = [type(error).__name__, str(error)]
            os.write(sink, json.dumps(said).encode() + b"\\n")
        sys.exit()
    os.close(sink)
    with os.fdopen(source) as file:
        lines = [json.loads(line) for line in file]
    _, status = os.wait()
    assert os.waitstatus_to_exitcode(status) == 0
    return lines
"""


def run(code: str, *arguments: Path) -> object:
    """What a script prints, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARE + code, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0
    return json.loads(done.stdout.splitlines()[-1])


def test_a_store_says_so_and_its_parent_goes_on(tmp_path: Path) -> None:
    code = """
store, stop = SummaryStore(folder), threading.Event()

def write():
    number = 0
    while not stop.is_set():
        store.put(f"key{number}", "block", f"text {number}")
        number += 1

writer = threading.Thread(target=write)
writer.start()
said = [child(lambda: store.get(["key0"]), lambda: store.put("k", "block", "t"), lambda: store.clear("u"),
              lambda: store.link("u", ["k"]), store.info, store.close, lambda: SummaryStore(folder).get(["early"]))
        for _ in range(8)]
store.put("early", "block", "before the last fork")
said.append(child(lambda: SummaryStore(folder).get(["early"])))
stop.set()
writer.join()
print(json.dumps([said, store.get(["key0", "early"])]))
"""
    *said, last = run(code, tmp_path)[0]  # type: ignore[index]
    for acts in said:
        assert [kind for kind, _ in acts] == ["Closed"] * 5 + ["done", "done"]
        assert "the summary store" in acts[0][1] and "which this one was forked from" in acts[0][1]
    assert last == [["done", "{'early': 'before the last fork'}"]]
    with sqlite3.connect(tmp_path / "summaries.sqlite3") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        (count,) = connection.execute("SELECT count(*) FROM summaries").fetchone()
    assert count > 1


def test_a_catalog_says_so_and_its_parent_goes_on(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text("".join(f'{{"id": "i{n}", "title": "Title {n}"}}\n' for n in range(20)))
    code = """
build([folder / "items.jsonl"], folder / "items.catalog")
catalog = Catalog(folder / "items.catalog")
said = child(lambda: len(catalog), lambda: catalog.get("i1"), lambda: catalog.retrieve(items[:2]), catalog.info,
             catalog.close, lambda: len(Catalog(folder / "items.catalog")))
print(json.dumps([said, len(catalog), catalog.get("i1").title]))
"""
    said, count, title = run(code, tmp_path)  # type: ignore[misc]
    assert [kind for kind, _ in said] == ["Closed"] * 4 + ["done", "done"]
    assert "the catalog" in said[0][1] and "items.catalog" in said[0][1]
    assert (said[-1][1], count, title) == ("20", 20, "Title 1")


def test_a_recommender_says_so_whatever_its_parent_is_doing(tmp_path: Path) -> None:
    code = """
begun, go_on = threading.Event(), threading.Event()

def script(prompt):
    begun.set()
    go_on.wait(60)
    return " a summary."

files = {role: ModelFile(folder / f"{role}.gguf", f"b2:{role}", 1) for role in ("summarizer", "recommender")}
recommender = Recommender(Bundle(name="scripted", **files), SummaryStore(folder), lambda *_: FakeEngine(script=script))
caller = threading.Thread(target=recommender.recommend, args=[user])
caller.start()
begun.wait(60)  # a call runs, and another waits
update = threading.Thread(target=recommender.summarize, args=[user])
update.start()
said = child(lambda: recommender.recommend(user), lambda: recommender.summarize(user), lambda: recommender.forget("u"),
             lambda: recommender.update(user, {"id": "x", "title": "x"}), lambda: recommender.prompt(user),
             lambda: recommender.summaries([items]), recommender.describe, recommender.cancel, recommender.unload,
             recommender.close)
go_on.set()
caller.join()
update.join()
found = recommender.recommend(user)
recommender.close()
print(json.dumps([said, len(found.recommendations)]))
"""
    said, ranked = run(code, tmp_path)  # type: ignore[misc]
    assert [kind for kind, _ in said] == ["Closed"] * 9 + ["done"]
    assert "the recommender belongs to process" in said[0][1]
    assert ranked == 8


OWN = """
from trsr_lite.engine.llama import LlamaEngine

def recommend():
    with Recommender.load(sys.argv[2], cache_dir=folder, strategy="none") as own:
        return len(own.recommend(user).recommendations)
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="Metal does not work in a forked process")
def test_a_child_may_compute_where_its_parent_has_not(tmp_path: Path) -> None:
    code = "print(json.dumps([child(recommend), recommend()]))"
    assert run(OWN + code, tmp_path, tiny_gguf.write_llama(tmp_path / "tiny.gguf")) == [[["done", "8"]], 8]


def test_llama_cpp_is_refused_where_its_parent_has_computed(tmp_path: Path) -> None:
    code = """
with Recommender.load(sys.argv[2], cache_dir=folder, strategy="none") as recommender:
    engine = LlamaEngine(Path(sys.argv[2]), identity="")
    engine.margins([20, 21, 22], [[7]], (4, 5))
    recommender.recommend(user, exact=True)  # stored: what the child is asked for is not
    said = child(recommend, lambda: engine.margins([20, 21, 22], [[7]], (4, 5)), lambda: recommender.recommend(user))
    found = len(recommender.recommend(user).recommendations)
print(json.dumps([said, found]))
"""
    said, found = run(OWN + code, tmp_path, tiny_gguf.write_llama(tmp_path / "tiny.gguf"))  # type: ignore[misc]
    assert [kind for kind, _ in said] == ["ModelError", "ModelError", "Closed"]
    assert "llama.cpp has computed in process" in said[0][1]
    assert found == 8
