"""What the files at the root promise to whoever joins or releases is so."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "trsr_lite"
tomllib = pytest.importorskip("tomllib")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def layers() -> list[set[str]]:
    """The rooms of each layer of the import contract, lowest first."""
    (contract,) = (one for one in PROJECT["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    return [set(re.findall(r"trsr_lite\.(\w+)", line)) for line in reversed(contract["layers"])]


def test_architecture_lists_the_rooms_of_every_layer() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", ARCHITECTURE, re.MULTILINE)
    listed: dict[int, set[str]] = {}
    for number, rooms in rows:
        listed.setdefault(int(number), set()).update(re.findall(r"`(\w+)`", rooms))
    assert [listed[number] for number in sorted(listed)] == layers()


def test_every_room_is_in_a_layer() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert rooms - {"__init__", "__main__"} == set().union(*layers())  # `__main__` starts `cli` and is imported by none


def test_no_function_is_longer_than_sixty_lines() -> None:
    functions = [
        (path.relative_to(PACKAGE).as_posix(), node.name, node.end_lineno - node.lineno + 1)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]
    assert len(functions) > 1000
    assert [found for found in functions if found[2] > 60] == []


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_a_page_for_contributors_names_files_that_exist(page: str) -> None:
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)*/[\w.-]+\.\w+)`", (ROOT / page).read_text(encoding="utf-8"))
    named = [name for name in named if "NAME" not in name and not name.startswith("runs/")]
    assert len(named) >= 3
    assert [name for name in named if not ((ROOT / name).exists() or (PACKAGE / name).exists())] == []


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("a prompt written", "def scoring("),
        ("a margin computed", "def margins("),
        ("a summary's key made", "def key("),
        ("a bundle checked", "def load("),
        ("a training row packed", "def pack("),
    ],
)
def test_architecture_answers_where_something_is(question: str, name: str) -> None:
    (path,) = re.findall(rf"^\| {question} \| `([\w/.]+)`", ARCHITECTURE, re.MULTILINE)
    assert name in (PACKAGE / path).read_text(encoding="utf-8")


def version_check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("version", ROOT / ".github" / "workflows" / "version.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """The files that name the version, where they may be changed."""
    for name in version_check().NAMED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_a_release_with_another_tag_or_a_file_of_another_version_is_refused(released: Path) -> None:
    check = version_check()
    (version,) = set(check.versions(released).values())
    assert check.main(f"v{version}", released) is None
    assert "the tag 9.9.9" in check.main("v9.9.9", released)
    citation = released / "CITATION.cff"
    citation.write_text(citation.read_text(encoding="utf-8").replace(f"version: {version}", "version: 9.9.9"))
    assert "CITATION.cff 9.9.9" in check.main("", released)


def test_the_newest_release_is_short_and_stands_below_what_is_unreleased() -> None:
    heads = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
    assert heads[0] == "Unreleased"
    assert re.fullmatch(r"\d+\.\d+\.\d+ — \d{4}-\d\d-\d\d", heads[1])
    section = CHANGELOG.split(f"## {heads[1]}\n")[1].split("\n## ")[0]
    assert len(section.splitlines()) <= 120


def test_files_that_github_reads_are_valid() -> None:
    yaml = pytest.importorskip("yaml", reason="comes with the extra docs")

    def read(name: str) -> Any:
        return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))

    release = read(".github/workflows/release.yml")
    publish = release["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    assert publish["needs"] == "wheel" and release["jobs"]["wheel"]["needs"] == "build"
    assert {system.split("-")[0] for system in release["jobs"]["wheel"]["strategy"]["matrix"]["os"]} == {
        "ubuntu", "macos", "windows",
    }  # fmt: skip
    for form in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        if form.name != "config.yml":
            data = read(f".github/ISSUE_TEMPLATE/{form.name}")
            assert data["name"] and data["description"]
            assert all(part["type"] in ("textarea", "markdown") and part["attributes"] for part in data["body"])
    assert {one["package-ecosystem"] for one in read(".github/dependabot.yml")["updates"]} == {"pip", "github-actions"}
    assert read("CITATION.cff")["authors"] == [{"name": "The trsr-lite authors"}]


def test_checks_before_a_commit_are_those_of_make_lint() -> None:
    yaml = pytest.importorskip("yaml", reason="comes with the extra docs")
    hooks = [
        hook
        for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
        for hook in repo["hooks"]
    ]
    tools = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks}
    lint = re.split(r"^lint:.*$", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)[1].split("\n\n")[
        0
    ]
    assert tools == set(re.findall(r"\$\(BIN\)/(\S+)", lint))


def test_the_source_distribution_has_every_file_of_the_root() -> None:
    include = set(PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    kept = {path.name for path in ROOT.iterdir() if path.suffix in (".md", ".cff", ".yml", ".yaml", ".txt")}
    assert kept | {"LICENSE", "Makefile", "docs", "tests", "trsr_lite"} <= include


OUTSIDE = [path for folder in ("benchmarks", "convert", "docs", "examples") for path in (ROOT / folder).rglob("*.py")]


def test_programs_beside_the_package_import_modules_that_exist() -> None:
    missing = []
    for path in OUTSIDE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "trsr_lite":
                here = Path(*node.module.split("."))
                if not ((ROOT / here).with_suffix(".py").is_file() or (ROOT / here / "__init__.py").is_file()):
                    missing.append((path.name, node.module))
    assert missing == []


def test_every_benchmark_is_described() -> None:
    page = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    programs = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text("utf-8")}
    named = set(re.findall(r"(?<=[`./])(\w+)", page)) | {"quality_report"}  # `make quality` starts that one
    assert programs - named == set()
