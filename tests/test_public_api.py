"""The public surface: what `trsr_lite` offers is listed and resolves, and starting up costs nothing heavy."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import trsr_lite
from trsr_lite import TrsrError, errors

HEAVY = {"numpy", "torch", "llama_cpp", "orjson", "click"}
NOT_FOR_HELP = (
    *("numpy", "orjson", "llama_cpp", "rich", "huggingface_hub", "platformdirs", "psutil"),
    *("jinja2", "sqlite3", "torch", "tomllib", "filelock", "fsspec", "gguf"),
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


PUBLIC = {
    "run": ["Recommender", "run_async", "Settings", "EngineOptions", "Retrieval", "Catalog", "Cancellation"],
    "commands": ["train", "tune", "convert", "verify", "evaluate"],
    "options": ["TrainOptions", "PairOptions", "DataOptions", "ConvertOptions", "EvaluateOptions", "TuneOptions"],
    "data": ["Item", "User", "read_candidates", "read_user", "read_users"],
    "results": [
        "Result", "Recommendation", "SummaryNode", "Summary", "Stats", "Skipped", "Progress", "TrainResult", "Bundle",
        "ModelFile", "Calibration", "Evaluation", "EvalLists", "Example", "ListOutcome", "CatalogChange", "Tuned",
    ],
    "errors": [
        "TrsrError", "Cancelled", "Closed", "DataError", "ModelError", "SettingsError", "StoreError",
        "VerificationError",
    ],
    "tests": ["FakeEngine"],
    "version": ["__version__"],
}  # fmt: skip
"""The whole surface: whoever changes it changes this list, and CHANGELOG.md says so."""


def test_the_public_surface_is_this() -> None:
    assert sorted(name for names in PUBLIC.values() for name in names) == trsr_lite.__all__


def test_what_a_public_function_returns_is_public() -> None:
    """So that a program can name the type of whatever it gets, and read what its fields are."""
    functions = [getattr(trsr_lite, name) for name in PUBLIC["commands"]]
    kinds = (*trsr_lite.Recommender.__mro__[:-1], trsr_lite.Catalog)
    functions += [method for kind in kinds for method in vars(kind).values()]
    seen = set()
    for function in functions:
        function = getattr(function, "__func__", getattr(function, "fget", function))
        if callable(function) and not function.__name__.startswith("_"):
            seen |= set(re.findall(r"\b[A-Z]\w+", str(function.__annotations__.get("return"))))
    assert {"TrainResult", "Bundle", "Evaluation", "Result", "Catalog", "CatalogChange"} <= seen
    inside = {"CallQueue", "Call"}  # of `Recommender.queue`, which the server and tests of a host look at
    assert seen - {"None", "Any", "Self", "Iterator", *inside} <= set(trsr_lite.__all__)


def test_a_result_that_is_public_says_what_its_fields_are() -> None:
    for name in PUBLIC["results"]:
        kind = getattr(trsr_lite, name)
        text = inspect.getdoc(kind) or ""
        if dataclasses.is_dataclass(kind) and name not in ("ModelFile", "Calibration", "EvalLists", "Example"):
            assert len(text) > 40, name


@pytest.mark.parametrize(
    ("call", "near"),
    [
        (lambda: trsr_lite.train("run", dataset="mind", data="x", learning_rat=1), "learning_rate"),
        (lambda: trsr_lite.convert("run", "bundle", recommender_typ="F16"), "recommender_type"),
        (lambda: trsr_lite.verify("bundle", "run", max_margn=1), "max_margin"),
        (lambda: trsr_lite.evaluate("bundle", dataset="mind", dta="x"), "data"),
        (lambda: trsr_lite.tune("bundle", "new", lists="x.jsonl", margin="never"), "margins"),
        (lambda: trsr_lite.Recommender.load("nowhere.gguf", strategi="none"), "strategy"),
    ],
    ids=["train", "convert", "verify", "evaluate", "tune", "load"],
)
def test_a_wrong_keyword_suggests_the_nearest(call: Callable[[], object], near: str) -> None:
    with pytest.raises(trsr_lite.SettingsError, match=r"^there is no (option|setting) ") as caught:
        call()
    assert caught.value.hint == f"did you mean `{near}`?"


def test_a_result_is_a_sequence_of_its_recommendations() -> None:
    entries = tuple(
        trsr_lite.Recommendation(rank, trsr_lite.Item(f"i{rank}", {"title": "A"}), 0.5, 0.0, 1.0, False)
        for rank in (1, 2, 3)
    )
    made = {"user_id": "u", "strategy": "none", "summary": None, "nodes": (), "model": {}, "stats": trsr_lite.Stats()}
    result = trsr_lite.Result(**made, recommendations=entries)
    assert (len(result), list(result), result[0], result[-1]) == (3, list(entries), entries[0], entries[2])
    assert (result[:2], result[5:], entries[1] in result, result.index(entries[2])) == (entries[:2], (), True, 2)
    assert [entry.rank for entry in reversed(result)] == [3, 2, 1]
    with pytest.raises(IndexError):
        result[3]
    empty = trsr_lite.Result(**made, recommendations=())
    assert (bool(result), bool(empty), len(empty)) == (True, True, 0), "a summary alone is a result too"
    assert result == trsr_lite.Result(**made, recommendations=entries) != empty
    assert result != entries


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
