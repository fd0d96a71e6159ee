"""Whatever is named as an output: a file or a folder that somebody has is left as it is, unless `--force` is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import Run, runner
from tests.conftest import ROOT
from trsr_lite.io.remote import RemotePath

NEWS = str(ROOT / "examples" / "news_reader.json")
BOOKS = str(ROOT / "examples" / "exports" / "goodreads.csv")
MINE = "years of work"
# Every option that names an output, as a command; `{}` is the output, `{model}` a tiny model, `{data}` a folder.
FILES = {
    "catalog build --output": "catalog build {data}/items.jsonl --output {}",
    "import --output": "import {books} --output {}",
    "import --candidates-output": "import {books} --candidates-output {}",
    "catalog build --rejects": "catalog build {data}/items.jsonl --output {data}/new.catalog --rejects {}",
    "catalog add --rejects": "catalog add {data}/old.catalog {data}/items.jsonl --rejects {}",
    "evaluate --report": "evaluate --lists {data}/lists.jsonl -m {model} --strategy none --report {}",
    "evaluate --output": "evaluate --lists {data}/lists.jsonl -m {model} --strategy none --output {}",
    "summarize --pairs-out": "summarize --user {news} -m {model} --pairs-out {}",
    "batch --output": "batch --users {data}/users.jsonl -m {model} --summaries-only --output {}",
    "convert gguf --output": "convert gguf {data}/base --output {}",
    "convert quantize --output": "convert quantize {model} --type Q8_0 --output {}",
    "convert merge --output": "convert merge {data}/run --output {}",
    "convert --output": "convert {data}/run --output {}",
    "train --output": "train --dataset jsonl --data {data} --output {}",
}
FOLDERS = {  # what lies in the folder, for options that write into one
    "evaluate --output": "notes.txt",
    "batch --output": "rejects.jsonl",
    "batch --output ": "plan.jsonl",
    "convert --output": "manifest.json",
    "convert merge --output": "config.json",
    "train --output": "adapter/adapter.txt",
}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


@pytest.fixture
def data(tmp_path: Path, run: Run) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    items = [{"id": "p1", "title": "Lamp"}, {"id": "p2", "title": "Spade"}, {"id": "p3", "title": "Cup"}]
    user = {"user_id": "u1", "history": items[:1], "candidates": items[1:], "positives": ["p2"]}
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    for name in ("lists.jsonl", "users.jsonl"):
        (folder / name).write_text(json.dumps(user) + "\n")
    assert run("catalog", "build", folder / "items.jsonl", "--output", folder / "old.catalog").code == 0
    return folder


def words(command: str, output: Path, data: Path, model: Path) -> list[str]:
    return [word.format(str(output), data=data, model=model, news=NEWS, books=BOOKS) for word in command.split()]


@pytest.mark.parametrize("option", FILES)
def test_a_file_that_is_there_is_refused_and_stays(
    run: Run, data: Path, tiny: Path, tmp_path: Path, option: str
) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text(MINE)
    outcome = run(*words(FILES[option], thesis, data, tiny))
    assert outcome.code in (2, 3), outcome.err
    assert outcome.err.count("Error:") == 1 and str(thesis) in outcome.err
    assert thesis.read_text() == MINE


@pytest.mark.parametrize("option", FOLDERS)
@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_other_things_is_refused_and_stays(
    run: Run, data: Path, tiny: Path, tmp_path: Path, option: str, force: bool
) -> None:
    file = tmp_path / "folder" / FOLDERS[option]
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"name": MINE}))
    more = ["--force"] if force and not option.startswith("batch") else []
    outcome = run(*words(FILES[option.strip()], tmp_path / "folder", data, tiny), *more)
    assert outcome.code in (2, 3) and str(tmp_path / "folder") in outcome.err, outcome.err
    assert json.loads(file.read_text()) == {"name": MINE}
    assert [path for path in (tmp_path / "folder").rglob("*") if path.is_file()] == [file]


def test_pairs_are_appended_to_pairs_alone(run: Run, data: Path, tiny: Path, tmp_path: Path) -> None:
    for text in ('{"a": 1}\n', "no JSON, and no end of line", '[1]\n{"kind": "block"}\n'):
        mine = tmp_path / "mine.jsonl"
        mine.write_text(text)
        outcome = run("summarize", "--user", NEWS, "-m", tiny, "--pairs-out", mine)
        assert outcome.code == 2 and "is not a file of pairs" in outcome.err
        assert mine.read_text() == text


def test_of_hidden_files_only_those_of_writers_are_temporary(tmp_path: Path) -> None:
    ours, mine = tmp_path / ".part-000001.jsonl.0123abcd.tmp", tmp_path / ".notes.tmp"
    for file in (ours, mine):
        file.touch()
    RemotePath(str(tmp_path)).remove_temporary()
    assert mine.exists() and not ours.exists()
