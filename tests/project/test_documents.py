"""What the README and the site tell a reader to type works as written, and where they point there is something."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

import trsr_lite
from trsr_lite import ConvertOptions, EngineOptions, Recommender, TuneOptions, cli, read_user
from trsr_lite.catalog import build
from trsr_lite.cli.flags import CONFIGURABLE
from trsr_lite.options import make
from trsr_lite.serve.http import openapi
from trsr_lite.training.request import Request as TrainRequest

ROOT = Path(__file__).parents[2]
SITE = sorted((ROOT / "docs").rglob("*.md"))
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *SITE,
        *sorted(ROOT.glob("*/README.md")),
        *sorted(ROOT.glob("examples/*/README.md")),
    )
}
README = PAGES["README.md"]
START, FORMATS, EMBED = "docs/start.md", "docs/reference/formats.md", "docs/guides/embed.md"
IMPORT = "docs/guides/import.md"
SLOW = ("train", "convert", "push", "pull", "evaluate", "tune", "bench", "batch", "catalog")
SLOW_OPTIONS = (
    "-m",
    "--catalog",
    "--pairs-out",
    "--http",
    "--mcp",
)  # another model, a file that another command makes, or a server that ends when it is told


def blocks(text: str, language: str) -> list[str]:
    return [
        re.sub(rf"^{indent}", "", body, flags=re.MULTILINE)
        for indent, body in re.findall(rf"^( *)```{language}[^\n]*\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE)
    ]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each line that a reader types, with its words; two commands of one line are two."""
    for page, text in PAGES.items():
        for block in blocks(text, "console"):
            for line in block.replace("\\\n", " ").splitlines():
                for part in line.split(" && "):
                    if words := shlex.split(part, comments=True):
                        yield page, words


TYPED = list(commands())


def own_history() -> list[list[str]]:
    """What people type one after the other: each of the page Start with a history of their own, and the guide."""
    section = PAGES[START].split("## Your own history")[1].split("\n## ")[0]
    people = [*re.split(r"^=== ", section, flags=re.MULTILINE)[1:], PAGES[IMPORT]]
    typed = [
        [line for block in blocks(text, "console") for line in block.replace("\\\n", " ").splitlines()]
        for text in people
    ]
    return [[call.removeprefix("trsr-lite ") for call in lines if call.startswith("trsr-lite ")] for lines in typed]


def arguments(words: list[str]) -> list[str] | None:
    """What goes to the command line of this package; None where another program is started."""
    start = next((place for place, word in enumerate(words) if Path(word).name in ("trsr-lite", "trsr_lite")), None)
    return None if start is None else words[start + 1 :]


CALLS = sorted({shlex.join(call) for _, words in TYPED if (call := arguments(words))})


def is_slow(call: str) -> bool:
    """Whether it takes long, needs the hub or a file of another command: other tests run it."""
    words = shlex.split(call)
    return words[0] in SLOW or any(word in SLOW_OPTIONS for word in words)


IN_ORDER = {shlex.join(shlex.split(call)) for calls in own_history() for call in calls}
QUICK = [call for call in CALLS if not is_slow(call) and call not in IN_ORDER]
OF_README = [
    shlex.join(call) for page, words in TYPED if page == "README.md" and (call := arguments(words))
    and not is_slow(shlex.join(call))
]  # fmt: skip


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the reader's: the examples, the user file of the page Start, and a cache that stays."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "examples").mkdir()
    for path in (ROOT / "examples").glob("*.*"):
        shutil.copy(path, folder / "examples")
    (folder / "me.json").write_text(blocks(PAGES[START], "json")[0], encoding="utf-8")
    lists = next(block for block in blocks(PAGES[FORMATS], "json") if '"positives"' in block)
    (folder / "lists.jsonl").write_text(lists, encoding="utf-8")
    items = [json.loads(blocks(PAGES[START], "json")[0])["history"][0] | {"category": "space"}]
    items += json.loads((ROOT / "examples" / "news_reader.json").read_text(encoding="utf-8"))["candidates"]
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    build.build([folder / "items.jsonl"], folder / "items.catalog")
    return folder


@pytest.fixture
def reader(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in that folder."""
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("TRSR_LITE_CACHE_DIR", str(checkout / "cache"))
    return checkout


@pytest.fixture
def default_model(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real default, which is prepared already."""
    monkeypatch.setenv("TRSR_LITE_DATA_DIR", str(prepared))
    load = Recommender.load
    monkeypatch.setattr(Recommender, "load", lambda *names, **more: load(*names, **{**more, "data_dir": prepared}))


@pytest.fixture
def tiny_model(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny model in the default's place: what is typed works, whatever comes out."""
    monkeypatch.setenv("TRSR_LITE_MODEL", str(tiny))
    monkeypatch.setenv("TRSR_LITE_THREADS", "1")
    load, evaluate, options = Recommender.load, trsr_lite.evaluate, EngineOptions(threads=1)
    monkeypatch.setattr(Recommender, "load", lambda _, **more: load(tiny, **{"options": options, **more}))
    monkeypatch.setattr(trsr_lite, "evaluate", lambda _, **more: evaluate(tiny, machine=options, **more))
    monkeypatch.setattr(trsr_lite, "tune", _tune)
    monkeypatch.setattr(trsr_lite, "train", _train)
    monkeypatch.setattr(trsr_lite, "convert", _convert)


def _train(output: str, **options: Any) -> Any:
    """Checks what a run would be; other tests train."""
    request = TrainRequest.of(output, options, {})
    return SimpleNamespace(run=output, options=request.options, best={"recall@3": 0.4})


def _tune(model: str, output: str, *, force: bool = False, **options: Any) -> Any:
    """Checks what a tuning would be; other tests tune."""
    make(TuneOptions, options)
    return SimpleNamespace(weights={"words": 1.0}, metrics={"auc": {"after": 0.7}})


def _convert(run: str, output: str, **options: Any) -> Any:
    """Checks what a conversion would be; other tests convert."""
    make(ConvertOptions, options)
    return SimpleNamespace(recommender=SimpleNamespace(path=Path(output) / "recommender.gguf"))


@pytest.mark.parametrize("call", [call for call in CALLS if is_slow(call)])
def test_a_slow_command_has_options_that_exist(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[click.Command] = []
    monkeypatch.setattr(click.Command, "invoke", lambda self, context: ran.append(self))
    assert cli.run(shlex.split(call)) == 0
    assert not isinstance(ran[-1], click.Group)
    assert cli.run([*shlex.split(call), "--no-such-option"]) == 2


def check_command(call: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(shlex.split(call)) == 0
    assert capfd.readouterr().out.strip()


@pytest.mark.real_model
@pytest.mark.usefixtures("reader", "default_model")
@pytest.mark.parametrize("call", OF_README)
def test_a_command_of_the_readme_runs(call: str, capfd: pytest.CaptureFixture[str]) -> None:
    check_command(call, capfd)


@pytest.mark.usefixtures("reader", "tiny_model")
@pytest.mark.parametrize("call", [call for call in QUICK if call not in OF_README])
def test_a_quick_command_of_the_site_runs(call: str, capfd: pytest.CaptureFixture[str]) -> None:
    check_command(call, capfd)


@pytest.mark.usefixtures("tiny_model")
@pytest.mark.parametrize("calls", own_history(), ids=["feeds", "books", "bookmarks", "guide"])
def test_a_history_of_ones_own_is_ranked_with_the_commands_of_the_page(
    calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("feedparser", reason="comes with the extra import")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("node_modules"))
    assert any(call.startswith("recommend ") for call in calls)
    for call in calls:
        check_command(call, capfd)


def test_a_stranger_needs_five_commands_at_most() -> None:
    assert [len(calls) <= 3 for calls in own_history()[:3]] == [True] * 3  # and two install the package


def test_other_programs_that_are_typed_are_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    extras = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    )
    unknown = []
    for page, words in TYPED:
        program = Path(words[0]).name
        if arguments(words) or words[:3] == ["python3", "-m", "venv"] or words == [".", ".venv/bin/activate"]:
            continue
        if program == "make":
            fine = words[1] in targets
        elif program == "pip":
            fine = set(re.findall(r"[a-z0-9]+", (re.findall(r"\[(.+?)\]", " ".join(words)) or [""])[0])) <= extras
        elif program in ("python", "node"):
            fine = (ROOT / words[1]).exists()
        elif program in ("pipx", "uv"):
            fine = words[-1] == ".[smollm2]"
        elif program == "python3":
            fine = words[1] == "-c"
        elif program == "curl":
            fine = words[1].partition(":8080")[2] in openapi.document()["paths"]
        elif program in ("pytest", "pre-commit"):
            fine = all((ROOT / word).exists() for word in words if word.startswith("tests/"))
        else:
            fine = False
        if not fine:
            unknown.append((page, shlex.join(words)))
    assert unknown == []


def check_programs(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    programs = blocks(PAGES[page], "python") if page in PAGES else [(ROOT / page).read_text(encoding="utf-8")]
    for program in programs:
        exec(compile(program, page, "exec"), {"__file__": str(ROOT / page)})
        assert capsys.readouterr().out.strip()


@pytest.mark.real_model
@pytest.mark.usefixtures("reader", "default_model")
@pytest.mark.parametrize("page", ["README.md", "examples/library.py"])
def test_a_program_of_the_readme_runs(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_programs(page, capsys)


@pytest.mark.usefixtures("reader", "tiny_model")
@pytest.mark.parametrize(
    "page", [page for page, text in PAGES.items() if blocks(text, "python") and page not in ("README.md", EMBED)]
)
def test_a_program_of_the_site_runs(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_programs(page, capsys)


def test_user_files_of_the_pages_are_read(tmp_path: Path) -> None:
    shown = [(page, block) for page in ("README.md", START, FORMATS) for block in blocks(PAGES[page], "json")]
    users = [(page, block) for page, block in shown if '"history":' in block]
    assert {page for page, _ in users} == {"README.md", START, FORMATS}
    for number, (_, block) in enumerate(users):
        (tmp_path / f"{number}.json").write_text(block, encoding="utf-8")
        assert read_user(tmp_path / f"{number}.json").candidates


def test_json_of_the_pages_is_json() -> None:
    for page, text in PAGES.items():
        for block in blocks(text, "json"):
            lines = block.splitlines()
            one_a_line = len(lines) > 1 and all(line.endswith("}") and line.startswith("{") for line in lines)
            assert all(map(json.loads, lines)) if one_a_line else json.loads(block), page


def test_the_configuration_page_names_every_option_that_can_be_configured() -> None:
    page = PAGES["docs/reference/configuration.md"]
    row = re.compile(r"^\| `--([a-z-]+)` \| `(TRSR_LITE_\w+)`(?:, `\w+`)? \|", re.MULTILINE)
    rows: dict[str, str] = dict(row.findall(page))
    assert set(rows) == set(CONFIGURABLE)
    assert rows == {name: f"TRSR_LITE_{name.upper().replace('-', '_')}" for name in rows}


def test_readme_lists_every_command() -> None:
    table = re.findall(r"^\| (`[a-z`, ]+`) \|", README, re.MULTILINE)
    assert {name for row in table for name in re.findall(r"[a-z]+", row)} >= set(cli.COMMANDS)


def test_readme_is_short_and_no_line_has_more_than_two_figures() -> None:
    assert len(README.split()) <= 1200
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    crowded = [line for line in prose.splitlines() if len(re.findall(r"(?<![\w.@-])\d[\d.,]*(?![\w-])", line)) > 2]
    assert crowded == []


def test_results_of_the_readme_stand_in_the_lab_book() -> None:
    table = README.split("## Is it any good?")[1].split("\n## ")[0]
    shares = re.findall(r"(\d+) %", table)
    assert len(shares) >= 4
    assert [share for share in shares if f"0.{share}" not in PAGES["docs/results/index.md"]] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    if page.startswith("docs/"):
        return  # the site's own build checks those, and anchors too
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", PAGES[page])
    local = [link for link in links if not link.startswith("https://")]
    assert [link for link in local if not ((ROOT / page).parent / link).exists()] == []


LONGEST = 25


def sentences(text: str) -> Iterator[str]:
    """What a page says in sentences: no code, no tables, no headings."""
    text = re.sub(r"^---\n.*?\n---\n|```.*?```|<[^>]+>", "", text, flags=re.DOTALL)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]*`", "code", text))
    text = re.sub(r"^\s*(?:\||#|!|:::|===|--8<).*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*(?:[-*]|\d+\.|:) ", "\n\n", text, flags=re.MULTILINE)
    for paragraph in re.split(r"\n\s*\n", text):
        yield from re.split(r"(?<=[.!?:;])[*_)]*\s+", " ".join(paragraph.split()))


@pytest.mark.parametrize("page", PAGES)
def test_no_sentence_must_be_read_twice(page: str) -> None:
    counted = [(len(re.findall(r"\w[\w'’.,×%/-]*", sentence)), sentence) for sentence in sentences(PAGES[page])]
    assert [sentence for length, sentence in counted if length > LONGEST] == []
