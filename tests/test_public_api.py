"""The public surface: what `trsr_lite` offers is listed and resolves, and starting up costs nothing heavy."""

from __future__ import annotations

import ast
import inspect
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import trsr_lite
from trsr_lite import TrsrError, errors

HEAVY = {"numpy", "torch", "llama_cpp", "orjson", "click"}
NOT_FOR_HELP = (
    *("numpy", "orjson", "llama_cpp", "rich", "huggingface_hub", "platformdirs", "psutil"),
    *("jinja2", "sqlite3", "torch", "tomllib"),
)
Python = Callable[..., "subprocess.CompletedProcess[str]"]


def imported(importtime: str) -> set[str]:
    """Top-level names of what `-X importtime` reports."""
    lines = [line for line in importtime.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().partition(".")[0] for line in lines}


# Names


def test_public_names_are_sorted() -> None:
    assert trsr_lite.__all__ == sorted(set(trsr_lite.__all__))


def test_public_names_are_exactly_what_resolves() -> None:
    assert sorted({*trsr_lite._HOMES, "__version__"}) == trsr_lite.__all__
    for name in trsr_lite.__all__:
        assert getattr(trsr_lite, name) is not None
    assert dir(trsr_lite) == trsr_lite.__all__


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(inspect.getsource(trsr_lite))
    (checking,) = (node for node in tree.body if isinstance(node, ast.If))
    names = {
        alias.asname: (node.module, alias.name)
        for node in checking.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = {name: (f"trsr_lite.{home}", name) for name, home in trsr_lite._HOMES.items()}
    assert names == homes
    assert (Path(trsr_lite.__file__).parent / "py.typed").is_file()


def test_a_public_thing_says_what_it_is() -> None:
    silent = [name for name in trsr_lite._HOMES if not inspect.getdoc(getattr(trsr_lite, name))]
    assert silent == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'trsr_lite' has no attribute 'Recomender'"):
        trsr_lite.Recomender  # noqa: B018
    with pytest.raises(ImportError):
        from trsr_lite import Recomender  # noqa: F401


def test_a_star_import_brings_the_public_names(python: Python) -> None:
    code = "from trsr_lite import *; import trsr_lite; print(sorted({*trsr_lite.__all__} - {*globals()}))"
    assert python("-c", code).stdout.strip() == "[]"


# Start-up


def test_importing_the_package_imports_nothing_heavy(python: Python) -> None:
    found = imported(python("-X", "importtime", "-c", "import trsr_lite").stderr)
    assert "trsr_lite" in found
    assert not found & HEAVY


def test_help_imports_click_and_the_standard_library_only(python: Python) -> None:
    done = python("-X", "importtime", "-m", "trsr_lite", "--help")
    found = imported(done.stderr)
    assert "Usage: trsr-lite" in done.stdout
    assert "click" in found
    assert not found.intersection(NOT_FOR_HELP)


def test_the_version_is_printed(python: Python) -> None:
    assert trsr_lite.__version__ in python("-m", "trsr_lite", "--version").stdout


# Errors


def error_classes() -> list[type[TrsrError]]:
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, TrsrError)]


def test_every_error_is_public_and_has_its_documented_exit_code() -> None:
    codes = {kind.__name__: kind.exit_code for kind in error_classes()}
    assert codes == {
        "Cancelled": 130,
        "VerificationError": 5,
        "Closed": 1,
        "DataError": 4,
        "ModelError": 3,
        "SettingsError": 2,
        "StoreError": 1,
        "TrsrError": 1,
    }
    assert set(codes) <= set(trsr_lite.__all__)
    for name, code in codes.items():
        assert any(name in line and f" {code} " in line for line in (errors.__doc__ or "").splitlines())


def test_a_message_is_one_line_and_a_hint_is_its_own() -> None:
    error = TrsrError("first\n  second\tthird", hint="do `this`")
    assert (str(error), error.hint) == ("first second third", "do `this`")
    assert TrsrError("alone").hint is None
