"""What the site promises: commands and names are all there, and a reader's browser fetches nothing elsewhere."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import trsr_lite
from trsr_lite import cli

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def commands() -> ModuleType:
    pytest.importorskip("mkdocs", reason="comes with the extra docs")
    spec = importlib.util.spec_from_file_location("commands", ROOT / "docs" / "site" / "commands.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_and_every_part_of_a_group_has_its_help_on_a_page(commands: ModuleType) -> None:
    found = commands.commands()
    assert set(found) == set(cli.COMMANDS)
    catalog = commands.page(found["catalog"], "catalog")
    assert {f"trsr-lite catalog {name}" for name in ("build", "add", "remove", "info")} <= set(
        re.findall(r"^## `(.+)`$", catalog, re.MULTILINE)
    )
    assert "Usage: trsr-lite recommend [OPTIONS]" in commands.page(found["recommend"], "recommend")
    assert "-h, --help" in catalog
    assert all(f"({name}.md)" in commands.index(found) for name in found)


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://unpkg.com/mermaid.js"></script>',
        '<link rel="stylesheet" href="https://fonts.example/css">',
        '<img alt="badge" src="//img.example/badge.svg">',
    ],
)
def test_a_page_that_fetches_something_is_refused(commands: ModuleType, text: str) -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="start.md"))
    local = '<script src="assets/bundle.js"></script> <a href="https://example.org">a link</a>'
    assert commands.on_post_page(local, page=page) == local
    with pytest.raises(Exception, match=r"start\.md: fetches"):
        commands.on_post_page(f"<p>{text}</p>", page=page)


def test_the_api_page_documents_every_public_name() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    documented = re.findall(r"^::: trsr_lite\.(\w+)$", page, re.MULTILINE)
    assert sorted(documented) == sorted(set(trsr_lite.__all__) - {"__version__"})


def test_lists_of_attributes_become_sections() -> None:
    pytest.importorskip("griffe", reason="comes with the extra docs")
    spec = importlib.util.spec_from_file_location("docstrings", ROOT / "docs" / "site" / "docstrings.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = "A thing.\n\nAttributes\n----------\none, two: a number,\n    or none.\nthree: text."
    assert module.as_sections(text) == (
        "A thing.\n\nAttributes:\n    one: a number,\n    two: a number,\n        or none.\n    three: text."
    )


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    pytest.importorskip("mkdocs", reason="comes with the extra docs")
    spec = importlib.util.spec_from_file_location("figures", ROOT / "docs" / "site" / "figures.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_table_of_the_lab_book_is_that_of_its_file(figures: ModuleType) -> None:
    page = figures.filled((ROOT / "docs" / "results" / "index.md").read_text(encoding="utf-8"))
    file = json.loads((ROOT / "benchmarks" / "results" / "signals.json").read_text(encoding="utf-8"))
    first = next(iter(file["sets"].values()))
    recall = first["systems"]["fused"]["recall@3"]
    (row,) = re.findall(r"^\| fused \| (.+) \|$", page, re.MULTILINE)
    assert row.startswith(f"{recall['value']:.2f} [{recall['low']:.2f}, {recall['high']:.2f}], ")
    assert row.count("|") == len(file["sets"]) - 1
    with pytest.raises(Exception, match="there is no table 'speeds'"):
        figures.filled("<!-- figures: speeds -->")
