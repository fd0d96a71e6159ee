"""What tests of conversion share: trained tiny runs, llama.cpp's converter, and one finished conversion of each kind.

llama.cpp knows a BPE tokenizer by a hash of what it does. The tiny tokenizers are none it has heard of, so most tests
use a copy of its scripts that knows them; one test goes the whole way with SmolLM2's tokenizer and the scripts as they
are.

Invariant: finished conversions are made once and copied; what a test changes is its own.
"""

from __future__ import annotations

import hashlib
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REQUIRE_ALL
from tests.training import conftest

tiny_base, tiny_data = conftest.tiny_base, conftest.tiny_data

collect_ignore_glob = ["test_*.py"] if conftest.ABSENT else []
FETCHED = Path(sys.prefix) / ".trsr-lite-converter"
KINDS = ("llama", "qwen2")
# Random weights keep their order badly under coarse types.
LOOSE = {"min_tau": 0.5, "max_recall_loss": 1.0}
# Their margins are dense, so that rounding to F16 swaps a few; the largest difference is judged as always.
NEAR_TIES = 0.97
LISTS = 4


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models compute no faster with more threads, which wait for each other by spinning."""
    from trsr_lite.engine import llama

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llama, "default_threads", lambda: 1)
        yield


@pytest.fixture(scope="session")
def tiny_qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen2, with rows to spare: its tokenizer class brings a token of its own."""
    folder = tmp_path_factory.mktemp("bases") / "tiny-qwen2"
    return conftest.write_base(folder, "qwen2", vocab_size=576)


@pytest.fixture(scope="session")
def scripts() -> Any:
    """llama.cpp's converter as users get it: fetched once for each virtual environment."""
    from trsr_lite import ModelError
    from trsr_lite.conversion import llama_cpp_scripts

    try:
        return llama_cpp_scripts.find(None, FETCHED)
    except ModelError as error:
        absent = pytest.fail if REQUIRE_ALL else pytest.skip
        absent(f"{error} ({error.hint})")


@pytest.fixture(scope="session")
def converter(scripts: Any, tiny_base: Path, tiny_qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The converter with the tiny tokenizers among those it knows."""
    from trsr_lite.conversion import llama_cpp_scripts

    folder = tmp_path_factory.mktemp("llama.cpp") / "checkout"
    shutil.copytree(scripts.folder, folder)
    script = folder / "conversion" / "base.py"
    source = script.read_text(encoding="utf-8")
    anchor = "        res = None\n"
    assert source.count(anchor) == 1, "llama.cpp's table of tokenizers has another form"
    known = "".join(
        f'        if chkhsh == "{_fingerprint(base, source)}":\n            res = "{name}"\n'
        for base, name in ((tiny_base, "gpt-2"), (tiny_qwen, "qwen2"))
    )
    script.write_text(source.replace(anchor, anchor + known), encoding="utf-8")
    found = llama_cpp_scripts.find(folder, FETCHED)
    return _in_process()(found.folder, found.digest)


THEIRS = ("gguf", "conversion")  # packages of a checkout, of which there may be several


def _in_process() -> type:
    from trsr_lite.conversion.llama_cpp_scripts import Converter

    theirs: dict[str, Any] = {}

    class InProcess(Converter):
        """Runs the scripts in this process, which spares importing torch each time; they bring their own packages."""

        def run(self, script: str, arguments: Sequence[str | Path]) -> None:
            ours = [name for name in sys.modules if name.partition(".")[0] in THEIRS]
            with pytest.MonkeyPatch.context() as patch:
                for name in ours:
                    patch.delitem(sys.modules, name)
                patch.setattr(sys, "argv", [script, *map(str, arguments)])
                patch.setattr(sys, "path", [str(self.folder), *sys.path])
                sys.modules.update(theirs)
                try:
                    runpy.run_path(str(self.folder / script), run_name="__main__")
                finally:
                    for name in [name for name in sys.modules if name.partition(".")[0] in THEIRS]:
                        theirs[name] = sys.modules.pop(name)

    return InProcess


def _fingerprint(base: Path, source: str) -> str:
    """The hash of a tokenizer, on the text that the converter has for it."""
    from transformers import AutoTokenizer

    line = next(line for line in source.splitlines() if line.strip().startswith("chktxt = "))
    text = eval(line.partition("=")[2])
    return hashlib.sha256(str(AutoTokenizer.from_pretrained(base).encode(text)).encode()).hexdigest()


@pytest.fixture(scope="session")
def runs(
    tiny_base: Path, tiny_qwen: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A finished run for each architecture, which no test may change."""
    from trsr_lite.training.train import train

    place, found = tmp_path_factory.mktemp("runs"), {}
    for kind, base in zip(KINDS, (tiny_base, tiny_qwen), strict=True):
        options = conftest.tiny_options(base)
        train(options, conftest.tiny_settings(), conftest.tiny_examples(tiny_data), place / kind)
        found[kind] = place / kind
    return found


@dataclass(frozen=True)
class Made:
    """A finished conversion: its run, its bundle, and a staging folder with every step but the last done."""

    run: Path
    bundle: Path
    staged: Path
    steps: tuple[str, ...]
    options: dict[str, Any]


Convert = Callable[..., Any]


@pytest.fixture(scope="session")
def convert(converter: Any, tiny: Path) -> Convert:
    """`convert(run, target, force=…, on_step=…, **options)`: F16 with the tiny GGUF as summarizer; the `Bundle`."""
    from trsr_lite.conversion.convert import Conversion
    from trsr_lite.conversion.convert_options import ConvertOptions

    def run(source: Path, target: Path, **changes: Any) -> Any:
        given = {name: changes.pop(name) for name in ("force", "on_step") if name in changes}
        usual = {
            "recommender_type": "F16",
            "min_tau_float": NEAR_TIES,
            "lists": LISTS,
            **({} if changes.get("adapter_only") else {"summarizer": str(tiny)}),
        }
        return Conversion(
            source, target, lambda: converter, ConvertOptions(**{**usual, **changes}), offline=True, **given
        ).convert()

    return run


@pytest.fixture(scope="session")
def made(convert: Convert, runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """`made(kind, adapter_only=…)`: a finished conversion, made at first use."""
    from trsr_lite.conversion.staging import Staging

    found: dict[tuple[str, bool], Made] = {}

    def make(kind: str = "llama", *, adapter_only: bool = False) -> Made:
        if (kind, adapter_only) not in found:
            place = tmp_path_factory.mktemp(f"made-{kind}")
            steps: list[str] = []
            options = {"adapter_only": adapter_only}
            with pytest.MonkeyPatch.context() as patch:
                finish = Staging.finish

                def keep(self: Staging, names: list[str]) -> None:
                    shutil.copytree(self.folder, place / "staged")
                    finish(self, names)

                patch.setattr(Staging, "finish", keep)
                convert(runs[kind], place / "bundle", on_step=steps.append, **options)
            found[kind, adapter_only] = Made(runs[kind], place / "bundle", place / "staged", tuple(steps), options)
        return found[kind, adapter_only]

    return make


@pytest.fixture
def staged(made: Callable[..., Made], tmp_path: Path) -> Callable[..., tuple[Made, Path]]:
    """`staged(kind, without=(…))`: a conversion that stopped before its end, and the target it would have written.

    Steps named in `without` are as if they had never been done.
    """
    import orjson

    def copy(kind: str = "llama", *, adapter_only: bool = False, without: tuple[str, ...] = ()) -> tuple[Made, Path]:
        source = made(kind, adapter_only=adapter_only)
        target = tmp_path / "again"
        folder = target.with_name(f".{target.name}.convert")
        shutil.copytree(source.staged, folder)
        marks = orjson.loads((folder / "steps.json").read_bytes())
        for name in without:
            marks["steps"].pop(name, None)
        (folder / "steps.json").write_bytes(orjson.dumps(marks))
        return source, target

    return copy
