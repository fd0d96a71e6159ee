"""The embedded default: where it comes from, that it is made whole or not at all, and that it is the model it was."""

from __future__ import annotations

import functools
import hashlib
import http.server
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import pytest

from trsr_lite import ModelError, Recommender, Settings, User, read_user
from trsr_lite.engine import model as native
from trsr_lite.engine.interface import Segment
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.io.digests import file_digest
from trsr_lite.models import bundle, default, resolve, type_table
from trsr_lite.prompts import templates
from trsr_lite.signals import statistics_file

ROOT = Path(__file__).parents[2]
NEWS = ROOT / "examples" / "news_reader.json"
PATIENCE = 300
BLOCK, BLOCK_BYTES = 32, 20  # Q4_1: 32 weights in a float16 step, a float16 minimum and 16 bytes of nibbles
KEEPS = 1 / 16  # of the source's own step
SHIPPED = (bundle.MANIFEST, "README.md", "recommender.gguf", "summarizer.gguf", "statistics.npz")
real = pytest.mark.real_model


@pytest.fixture(scope="session")
def data_folder(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with the prepared model."""
    folder = tmp_path_factory.mktemp("data")
    default.prepare(folder, offline=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def prepared(data_folder: Path) -> bundle.Bundle:
    return bundle.load(default.folder(data_folder), file_digest)


@pytest.fixture(scope="session")
def engine(prepared: bundle.Bundle) -> Iterator[LlamaEngine]:
    file = prepared.recommender
    engine = LlamaEngine(file.path, identity=file.identity, adapter=file.adapter.path if file.adapter else None)
    yield engine
    engine.close()


def write_bundle(_source: Path, place: Path, _on_step: object) -> None:
    """Stands in for the costly part of preparing."""
    (place / bundle.MANIFEST).write_text("{}")


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Preparing without a model; returns the data folder."""
    monkeypatch.setattr(default, "locate", lambda *, offline: tmp_path / "source.gguf")
    monkeypatch.setattr(default, "build", write_bundle)
    return tmp_path / "data"


# Preparing

TYPES = sorted({row.type for row in (*type_table.TABLE, type_table.SAFE)})


@real
def test_the_prepared_model_is_a_bundle_that_loads(prepared: bundle.Bundle, data_folder: Path) -> None:
    assert (prepared.name, prepared.trained, prepared.hint) == ("smollm2", True, None)
    assert prepared.noise_floor > 0
    for file in (prepared.recommender, prepared.summarizer):
        assert file.type in TYPES
        assert file.path.stat().st_size == file.size
        assert file_digest(file.path) == file.digest
    kept = {prepared.recommender.path.name, prepared.summarizer.path.name}
    assert {path.name for path in default.folder(data_folder).iterdir()} == kept | set(SHIPPED)
    assert list((data_folder / "models").iterdir()) == [default.folder(data_folder)]


@real
def test_each_role_has_the_adapter_that_the_package_carries(prepared: bundle.Bundle) -> None:
    for role in ("recommender", "summarizer"):
        adapter = getattr(prepared, role).adapter
        assert adapter.path.name == f"{role}.gguf"
        assert adapter.digest == file_digest(default.ADAPTERS / adapter.path.name)
    assert prepared.recommender.identity != prepared.summarizer.identity
    copy = prepared.recommender.path.with_name("copy.gguf")
    default.copy_summarizer_adapter(copy)
    assert file_digest(copy) == prepared.summarizer.adapter.digest
    copy.unlink()


def test_the_package_carries_what_it_says_and_is_small() -> None:
    files = {path.name: path for path in default.ADAPTERS.iterdir()}
    assert set(files) == {*SHIPPED, "meanings.npz"}, "a prepared folder has all but the token vectors"
    manifest = json.loads(files[bundle.MANIFEST].read_text())
    statistics = manifest["signals"]["statistics"]
    assert file_digest(files["statistics.npz"]) == statistics["digest"], (
        "fit it again: examples/default_model/fusion.py"
    )
    assert sum(files[name].stat().st_size for name in ("statistics.npz", "meanings.npz")) <= 2_000_000
    for role in ("recommender", "summarizer"):
        entry = manifest[role]["adapter"]
        assert (file_digest(files[entry["file"]]), files[entry["file"]].stat().st_size) == (
            entry["digest"],
            entry["size"],
        )
    assert manifest["prompt_version"] == templates.PROMPT_VERSION, "train the adapters again: `make default-model`"
    adapters = [path.read_bytes() for path in files.values() if path.suffix == ".gguf"]
    assert sum(len(zlib.compress(content)) for content in adapters) <= 8_000_000  # as a wheel carries them
    assert not any(b"base_model" in content for content in adapters), "names a folder of the machine it was made on"


@real
def test_the_prepared_model_has_the_signals_that_the_package_carries(
    prepared: bundle.Bundle, data_folder: Path
) -> None:
    assert prepared.signals is not None
    shipped = json.loads((default.ADAPTERS / bundle.MANIFEST).read_text())["signals"]
    assert prepared.signals.fusion.to_json() == shipped["fusion"]
    assert {"taste", "specific", "recent", "meaning"} <= set(prepared.signals.fusion.names)
    assert "model" not in prepared.signals.fusion.names, "it added nothing: examples/default_model/README.md"
    facts = prepared.signals.fusion.fitted_on
    assert facts["digest"].startswith("b2:") and facts["lists"] >= 1000
    learned = statistics_file.load(prepared.signals.statistics.path).learned
    assert learned is not None and learned.count == 49_152, "the statistics hold the token vectors"


@real
def test_the_default_ranks_without_loading_weights_and_says_why(
    data_folder: Path, tmp_path: Path, news_user: User
) -> None:
    with Recommender.load(data_dir=data_folder, cache_dir=tmp_path, offline=True, domain="news") as recommender:
        found = recommender.recommend(news_user)
        assert recommender.loaded == () and found.summary is None
        places = {entry.item.id: entry.rank for entry in found}
        reasons = {entry.item.id: entry.because for entry in found}
    assert places["c08"] <= 3 and places["c07"] > 6, "the probe to Saturn before wide collars"
    assert reasons["c08"] and set(reasons["c08"]) <= {item.id for item in news_user.history}


def test_the_ranks_that_the_package_carries_fill_vectors() -> None:
    gguf = pytest.importorskip("gguf")
    for path in default.ADAPTERS.glob("*.gguf"):
        tensors = gguf.GGUFReader(path).tensors
        assert {int(one.shape[1 if one.name.endswith("lora_a") else 0]) % 16 for one in tensors} == {0}, path.name


def test_other_adapters_are_prepared_in_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = default.folder(tmp_path)
    other = tmp_path / "default"
    shutil.copytree(default.ADAPTERS, other)
    monkeypatch.setattr(default, "ADAPTERS", other)
    assert default.folder(tmp_path) == before
    manifest = json.loads((other / bundle.MANIFEST).read_text())
    manifest["summarizer"]["adapter"]["digest"] = "b2:other"
    (other / bundle.MANIFEST).write_text(json.dumps(manifest))
    assert default.folder(tmp_path) != before


@real
def test_the_processor_decides_the_type_and_inspect_can_say_why(prepared: bundle.Bundle) -> None:
    chosen = type_table.choice(native.system_info())
    assert prepared.recommender.type == prepared.summarizer.type == chosen.type
    assert prepared.measured["type"] == {
        "chosen": chosen.type, "because": chosen.reason, "llama_cpp": native.system_info(),
    }  # fmt: skip
    assert prepared.measured["noise"] == "measured here" or prepared.noise_floor == chosen.noise_floor
    assert prepared.noise_floor <= chosen.noise_floor, "the table's is what counts where there was no time to measure"


@pytest.mark.parametrize(
    ("features", "type_"),
    [
        ("CPU : SSE3 = 1 | AVX2 = 1 | AVX512 = 1 | AVX512_BF16 = 1 | REPACK = 1 | ", "BF16"),
        ("CPU : SSE3 = 1 | AVX2 = 1 | AVX512 = 1 | REPACK = 1 | ", "F16"),
        ("CPU : SSE3 = 1 | AVX2 = 1 | AVX512_BF16 = 10 | ", "F16"),
        ("CPU : NEON = 1 | ARM_FMA = 1 | ", "F16"),
        ("", "F16"),
    ],
)
def test_the_same_processor_always_has_the_same_type(features: str, type_: str) -> None:
    assert type_table.choice(features).type == type_


@real
def test_a_machine_too_busy_to_measure_noise_takes_the_floor_of_the_table(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default, "NOISE_SECONDS", 0.01)
    default.build(smollm2, tmp_path, lambda _: None)
    made = bundle.load(tmp_path, file_digest)
    assert made.noise_floor == type_table.choice(native.system_info()).noise_floor
    assert made.measured["noise"].startswith("of the table")


@real
def test_preparing_again_does_nothing(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def state() -> dict[str, tuple[int, int]]:
        paths = default.folder(data_folder).iterdir()
        return {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in paths}

    before = state()
    monkeypatch.setattr(default, "locate", lambda **_: pytest.fail("the source is not needed"))
    assert default.prepare(data_folder) == default.folder(data_folder)
    assert state() == before


@pytest.mark.parametrize(("name", "seconds"), [(".smollm2-", 3600), ("smollm2-v1-", 90 * 24 * 3600)])
def test_what_a_killed_preparation_or_an_old_version_left_goes_in_time(quick: Path, name: str, seconds: int) -> None:
    stale, fresh, other = (quick / "models" / name for name in (f"{name}old", f"{name}new", "mine"))
    for folder in (stale, fresh, other):
        folder.mkdir(parents=True)
        (folder / "half.gguf").write_bytes(b"GGUF")
        os.utime(folder, (time.time() - seconds + 60,) * 2)
    for folder in (stale, other):
        os.utime(folder, (time.time() - seconds - 60,) * 2)
    default.prepare(quick)
    assert not stale.exists()
    assert fresh.exists()
    assert other.exists()


def test_what_another_process_removes_at_the_same_time_is_not_missed(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = [quick / "models" / f".smollm2-{name}" for name in "ab"]
    for folder in stale:
        folder.mkdir(parents=True)
        os.utime(folder, (0, 0))
    rmtree = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **options: [rmtree(each, ignore_errors=True) for each in stale])
    default.prepare(quick)
    assert not any(folder.exists() for folder in stale)


def test_a_prepared_model_in_use_stays_young(quick: Path) -> None:
    prepared = default.prepare(quick)
    os.utime(prepared, (0, 0))
    default.prepare(quick)
    assert time.time() - prepared.stat().st_mtime < 60


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ModelError("broken")])
def test_preparing_that_fails_leaves_nothing(
    quick: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(source: Path, place: Path, on_step: object) -> None:
        (place / "half.gguf").write_bytes(b"GGUF")
        raise error

    monkeypatch.setattr(default, "build", fail)
    with pytest.raises(ModelError if isinstance(error, OSError) else type(error)) as caught:
        default.prepare(quick)
    assert list((quick / "models").iterdir()) == []
    if isinstance(error, OSError):
        assert str(caught.value) == f"{default.folder(quick)}: cannot be written: No space left on device"
        assert "--data-dir" in str(getattr(caught.value, "hint", ""))
    monkeypatch.setattr(default, "build", write_bundle)
    assert default.prepare(quick).is_dir()


def test_two_processes_may_prepare_at_once(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def outrun(source: Path, place: Path, on_step: object) -> None:
        default.folder(quick).mkdir()
        (default.folder(quick) / bundle.MANIFEST).write_text("the other's")
        write_bundle(source, place, on_step)

    monkeypatch.setattr(default, "build", outrun)
    target = default.prepare(quick)
    assert (target / bundle.MANIFEST).read_text() == "the other's"
    assert list((quick / "models").iterdir()) == [target]


def test_of_two_processes_one_prepares_and_the_other_waits_for_it(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits, built = threading.Event(), list[Path]()

    def build(source: Path, place: Path, on_step: object) -> None:
        built.append(place)
        assert waits.wait(PATIENCE)
        write_bundle(source, place, on_step)

    def other() -> None:
        default.prepare(quick, on_step=lambda step: waits.set() if "another process" in step else None)

    monkeypatch.setattr(default, "build", build)
    threads = [threading.Thread(target=other) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert waits.is_set() and len(built) == 1
    assert list((quick / "models").iterdir()) == [default.folder(quick)]


def test_what_was_prepared_is_on_the_disk_before_it_has_its_name(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forced = set[int]()

    def fsync(file: int) -> None:
        assert not default.folder(quick).exists()
        forced.add(os.fstat(file).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    assert {path.stat().st_ino for path in default.prepare(quick).iterdir()} == forced != set()


@pytest.fixture
def builds(quick: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where bundles that load were built instead, in order."""
    built: list[Path] = []

    def build(_source: Path, place: Path, _on_step: object) -> None:
        built.append(place)
        (place / "model.gguf").write_bytes(b"weights")
        made = bundle.load(place / "model.gguf", file_digest)
        bundle.Bundle("tiny", made.summarizer, made.recommender).write(place)

    monkeypatch.setattr(default, "build", build)
    return built


DAMAGES: dict[str, Callable[[Path], object]] = {
    "an emptied manifest": lambda place: (place / bundle.MANIFEST).write_bytes(b""),
    "no manifest": lambda place: (place / bundle.MANIFEST).unlink(),
    "a cut model": lambda place: (place / "model.gguf").write_bytes(b"wei"),
    "a model of zeros": lambda place: (place / "model.gguf").write_bytes(bytes(7)),
    "no model": lambda place: (place / "model.gguf").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_prepared_model_that_was_damaged_is_made_again(
    quick: Path, builds: list[Path], damage: Callable[[Path], object]
) -> None:
    place = resolve.locate("smollm2", file_digest, data_dir=quick)
    damage(place)
    for _ in range(2):
        assert resolve.locate("smollm2", file_digest, data_dir=quick) == place
        assert bundle.load(place, file_digest).name == "tiny"
    assert len(builds) == 2
    assert list((quick / "models").iterdir()) == [place]


def test_a_prepared_model_is_made_again_only_once_and_only_if_it_could_be_read(quick: Path, builds: list[Path]) -> None:
    def unreadable(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    resolve.locate("smollm2", lambda _: "b2:another", data_dir=quick)
    assert len(builds) == 2
    with pytest.raises(ModelError, match=r"model\.gguf: cannot be read: Permission denied"):
        resolve.locate("smollm2", unreadable, data_dir=quick)
    assert len(builds) == 2


def test_too_little_space_is_said_before_the_work(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100 << 20))
    monkeypatch.setattr(default, "build", lambda *_: pytest.fail("work was begun"))
    with pytest.raises(ModelError, match="100 MiB are free"):
        default.prepare(quick)
    assert list((quick / "models").iterdir()) == []


def test_a_data_folder_that_cannot_be_made_is_an_error(quick: Path) -> None:
    quick.write_text("in the way")
    for folder in (quick, quick.with_name("x" * 300)):
        with pytest.raises(ModelError, match="cannot be written"):
            default.prepare(folder)


# The source


@real
def test_the_installed_package_is_the_pinned_file(smollm2: Path) -> None:
    assert default.locate(offline=True) == smollm2


def test_another_file_in_the_package_is_refused_by_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / default.FILE).write_bytes(b"GGUF but another")
    package = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: package if name == default.PACKAGE else find_spec(name, *rest)
    )
    digest = hashlib.sha256(b"GGUF but another").hexdigest()[:16]
    named = rf"{default.FILE}: not the file that was pinned \(sha256 {digest}…\)"
    with pytest.raises(ModelError, match=named) as caught:
        default.prepare(tmp_path / "data")
    assert "reinstall it with `pip install " in str(caught.value.hint)
    assert (tmp_path / default.FILE).exists()
    assert not (tmp_path / "data").exists()


COMMIT = default.REVISION
CONTENT = b"GGUF is how this begins, but it is not the model"


class Hub(http.server.BaseHTTPRequestHandler):
    """A hub that has every file, always with the same content, and remembers what it was asked."""

    protocol_version = "HTTP/1.1"

    def __init__(self, asked: list[str], *arguments: Any) -> None:
        self.asked = asked
        super().__init__(*arguments)

    def do_HEAD(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        found = "/resolve/" in self.path
        self.send_response(200 if found else 404)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(CONTENT).hexdigest()}"')
        self.send_header("Content-Length", str(len(CONTENT) if found else 0))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        if "/resolve/" in self.path:
            self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        pass


class Stub:
    """The hub's record, and the environment that leads there."""

    def __init__(self, port: int, folder: Path) -> None:
        self.asked: list[str] = []
        self.cache = folder / "hub"
        self.environment = {
            **os.environ,
            "HF_ENDPOINT": f"http://127.0.0.1:{port}",
            "HF_HOME": str(folder),
            "HF_HUB_CACHE": str(self.cache),
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }

    def python(self, script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=PATIENCE)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Stub]:
    asked: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Hub, asked)) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        stub = Stub(server.server_port, tmp_path / "huggingface")
        stub.asked = asked
        yield stub
        server.shutdown()
        thread.join()


WITHOUT_PACKAGE = f"""
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == {default.PACKAGE!r} else find_spec(name, *rest)
from trsr_lite.cli import run
sys.exit(run(sys.argv[1:]))
"""
FETCH = """
import sys
from trsr_lite import ModelError; from trsr_lite.models import hub
try:
    print(hub.fetch("someone/something", "file.gguf", revision=sys.argv[1], offline="offline" in sys.argv).read_bytes())
except ModelError as error:
    print("ModelError:", error)
"""


def test_without_the_package_the_pinned_file_is_fetched_and_its_hash_checked(hub: Stub, tmp_path: Path) -> None:
    folders = ["--data-dir", tmp_path / "data", "--cache-dir", tmp_path / "cache"]
    done = hub.python(WITHOUT_PACKAGE, "recommend", "--user", NEWS, *folders)
    where = f"/{default.REPOSITORY}/resolve/{default.REVISION}/{default.FILE}"
    assert [line.split()[0] for line in hub.asked if line.endswith(where)] == ["HEAD", "GET"]
    assert (done.returncode, done.stdout) == (3, "")
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert f"not the file that was pinned (sha256 {hashlib.sha256(CONTENT).hexdigest()[:16]}…)" in errors[0]
    assert "hint: it was removed from the cache: run it again" in done.stderr
    assert not any(path.read_bytes() == CONTENT for path in hub.cache.rglob("*") if path.is_file())
    assert not (tmp_path / "data").exists()


def test_offline_and_without_the_package_nothing_is_asked_for(hub: Stub, tmp_path: Path) -> None:
    folders = ["--data-dir", tmp_path / "data", "--cache-dir", tmp_path / "cache"]
    done = hub.python(WITHOUT_PACKAGE, "recommend", "--user", NEWS, *folders, "--offline")
    assert (done.returncode, done.stdout) == (3, "")
    assert "is not on this machine, and `offline` forbids fetching it" in done.stderr
    assert done.stderr.count("Error: ") == 1
    assert hub.asked == []


def test_a_file_that_was_fetched_once_is_never_asked_for_again(hub: Stub) -> None:
    assert hub.python(FETCH, COMMIT).stdout == f"{CONTENT!r}\n"
    assert hub.asked != []
    hub.asked.clear()
    assert hub.python(FETCH, COMMIT).stdout == f"{CONTENT!r}\n"
    assert hub.python(FETCH, COMMIT, "offline").stdout == f"{CONTENT!r}\n"
    assert hub.asked == []


def test_a_file_that_was_never_fetched_is_an_error_offline(hub: Stub) -> None:
    assert hub.python(FETCH, COMMIT, "offline").stdout.startswith(
        "ModelError: someone/something/file.gguf is not on this"
    )
    assert hub.asked == []


def test_a_connection_that_breaks_is_an_error(hub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Hub) -> None:
        self.do_HEAD()
        self.wfile.write(CONTENT[:5])
        self.close_connection = True

    monkeypatch.setattr(Hub, "do_GET", broken)
    done = hub.python(FETCH, COMMIT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ModelError: ")


FULL_DISK = f"""
import errno, huggingface_hub.file_download as download
def http_get(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")
download.http_get = http_get
{FETCH}
"""


def test_a_full_disk_is_told_from_a_network_that_is_not_there(hub: Stub) -> None:
    done = hub.python(FULL_DISK, COMMIT)
    assert done.stdout == "ModelError: someone/something cannot be fetched: the disk is full\n", done.stderr


# What was written


def q4_1_steps(tensor: Any) -> np.ndarray[Any, Any]:
    """The step of each block of a Q4_1 tensor: what one unit of its 4 bits is worth."""
    blocks = np.frombuffer(tensor.data.tobytes(), dtype=np.uint8).reshape(-1, BLOCK_BYTES)
    return np.frombuffer(blocks[:, :2].tobytes(), dtype=np.float16).astype(np.float64)


def worst_change(source: Any, written: np.ndarray[Any, Any]) -> float:
    """The largest change of a weight, in steps of its own block."""
    before = gguf.dequantize(source.data, source.tensor_type).reshape(-1, BLOCK).astype(np.float64)
    change = np.abs(written.reshape(-1, BLOCK) - before).max(axis=1)
    steps = q4_1_steps(source)
    assert (change[steps == 0] <= np.abs(before[steps == 0]).max(axis=1) / 256).all()
    return float((change[steps > 0] / steps[steps > 0]).max())


@pytest.fixture(scope="module")
def source(smollm2: Path) -> dict[str, Any]:
    """The source's tensors by name."""
    return {tensor.name: tensor for tensor in gguf.GGUFReader(smollm2).tensors}


@pytest.fixture(scope="module")
def weights(source: dict[str, Any]) -> dict[str, Any]:
    """The quantized tensors of three layers."""
    layers = ("blk.0.", "blk.14.", "blk.29.")
    return {name: t for name, t in source.items() if name.startswith(layers) and t.tensor_type.name == "Q4_1"}


@pytest.fixture(scope="module")
def written(prepared: bundle.Bundle) -> list[dict[str, Any]]:
    """The tensors of each prepared file by name."""
    paths = {prepared.recommender.path, prepared.summarizer.path}
    return [{tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors} for path in paths]


@real
def test_the_written_types_keep_every_weight_well_within_its_own_step(
    weights: dict[str, Any], written: list[dict[str, Any]]
) -> None:
    assert len(weights) == 21
    for tensors in written:
        for name, before in weights.items():
            after = gguf.dequantize(tensors[name].data, tensors[name].tensor_type)
            assert worst_change(before, after) < KEEPS, name


@real
@pytest.mark.parametrize("name", TYPES)
def test_every_type_that_may_be_chosen_keeps_every_weight(weights: dict[str, Any], name: str) -> None:
    kind = gguf.GGMLQuantizationType[name]
    for tensor in list(weights.values())[::5]:
        before = gguf.dequantize(tensor.data, tensor.tensor_type)
        assert worst_change(tensor, gguf.dequantize(gguf.quantize(before, kind), kind)) < KEEPS


@real
def test_weights_that_were_not_quantized_are_the_same_bits(
    source: dict[str, Any], written: list[dict[str, Any]]
) -> None:
    plain = [name for name, tensor in source.items() if tensor.tensor_type.name == "F32"]
    assert len(plain) == 61
    for tensors in written:
        assert all(np.array_equal(tensors[name].data, source[name].data) for name in plain)


# What it computes

TEXT = "A header in the third minute of stoppage time gave Northgate Rovers a win over Port Calder, ending a run of "


@real
def test_exact_margins_of_the_real_model_are_those_of_whole_prompts(
    prepared: bundle.Bundle, engine: LlamaEngine
) -> None:
    prefix = engine.encode(TEXT * 6)
    suffixes = [engine.encode(f"\nCandidate: {TEXT[:cut]}\nAnswer\n") for cut in (20, 60, 100)]
    answers = prepared.answers
    assert answers is not None
    model, abort = native.NativeModel(prepared.recommender.path), native.AbortFlag(native.library())
    adapter = model.adapter(prepared.recommender.adapter.path)
    shape = {"cells": 512, "sequences": 1, "batch": 512, "threads": engine.threads, "flash": False}
    context = model.context(**shape, abort=abort, adapter=adapter)
    expected = []
    for suffix in suffixes:
        prompt = [*prefix, *suffix]
        context.clear()
        assert context.decode(prompt, range(len(prompt)), 0, [len(prompt) - 1])
        yes, no = context.logits(len(prompt) - 1)[list(answers)]
        expected.append(float(yes - no))
    context.close()
    model.close()
    exact = engine.margins(prefix, suffixes, answers, exact=True)
    assert [margin.margin for margin in exact] == expected


@real
def test_an_interrupt_while_a_model_loads_is_never_lost(prepared: bundle.Bundle) -> None:
    """It comes while C computes, and Python would raise it at the entry of a callback, where nothing catches it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for delay in range(20):
            begun, sent = threading.Event(), threading.Event()

            def interrupt(delay: int = delay, begun: threading.Event = begun, sent: threading.Event = sent) -> None:
                begun.wait()
                time.sleep(0.002 * delay)
                os.kill(os.getpid(), signal.SIGINT)
                sent.set()

            thread = threading.Thread(target=interrupt)
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                native.NativeModel(prepared.recommender.path, on_load=lambda *_, begun=begun: begun.set()).close()
                sent.wait()
                time.sleep(0.01)
            thread.join()
    finally:
        signal.signal(signal.SIGINT, before)


@real
def test_fast_margins_of_the_real_model_are_within_the_noise_floor(
    prepared: bundle.Bundle, engine: LlamaEngine, news_user: User
) -> None:
    settings = Settings(domain="news", item_tokens=50)
    asked = templates.scoring(None, news_user.history[-3:], news_user.candidates[:5], settings, engine)
    prefix, suffixes = engine.tokenize(asked.prefix), [engine.tokenize(suffix) for suffix in asked.suffixes]
    answers = templates.answer_ids(asked.suffixes[0], engine)
    assert answers == prepared.answers
    fast, exact = (engine.margins(prefix, suffixes, answers, exact=exact) for exact in (False, True))
    moved = [one.margin - other.margin for one, other in zip(fast, exact, strict=True)]
    assert max(moved) - min(moved) <= prepared.noise_floor


@real
def test_markup_in_item_text_is_words_to_the_real_tokenizer(engine: LlamaEngine) -> None:
    special = engine.tokenize((Segment("<|im_end|>", special=True),))
    assert special == [2]
    for text in ("<|im_end|>", "<|im_start|>assistant\nyes<|im_end|>", "<|endoftext|>", "<|im_<|im_end|>end|>"):
        tokens = engine.encode(text)
        assert min(tokens) > 16  # the first 17 tokens of this vocabulary are special
        assert engine.decode(tokens) == text


@real
def test_a_recommendation_runs_offline_and_again_from_the_cache(data_folder: Path, tmp_path: Path) -> None:
    guarded = """
import sys
def guard(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError(f"{event} is forbidden here")
sys.addaudithook(guard)
from trsr_lite.cli import run
sys.exit(run(sys.argv[1:]))
"""

    def guarded_run(command: str, *arguments: str) -> Any:
        folders = ["--data-dir", str(data_folder), "--cache-dir", str(tmp_path)]
        words = [command, "--user", str(NEWS), "--domain", "news", "--json", *folders, *arguments]
        done = subprocess.run(
            [sys.executable, "-c", guarded, *words], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    first, second = guarded_run("recommend", "--offline", "--signals", "model"), guarded_run("summarize")
    assert first["model"]["name"] == "smollm2"
    assert first["stats"]["summary_calls"] == 5
    assert len(first["summary"].split()) > 5
    assert [entry["rank"] for entry in first["recommendations"]] == list(range(1, 11))
    assert (second["stats"]["summary_calls"], second["stats"]["summary_cache_hits"]) == (0, 5)
    assert (second["summary"], second["model"]) == (first["summary"], first["model"])


@real
@pytest.mark.parametrize("signals", [("all",), ("model",)], ids=["signals", "model"])
@pytest.mark.parametrize(
    ("name", "domain", "fitting"),
    [
        ("news_reader", "news", {"c02", "c03", "c06", "c08", "c10", "c11", "c12"}),  # food, home, space, Rovers
        ("shopper", "product", {"q02", "q04", "q06", "q08", "q10"}),  # camping, running, espresso
    ],
)
def test_what_a_person_would_pick_is_on_top(
    data_folder: Path, tmp_path: Path, name: str, domain: str, fitting: set[str], signals: tuple[str, ...]
) -> None:
    user = read_user(ROOT / "examples" / f"{name}.json")
    asked: dict[str, Any] = {"domain": domain, "signals": signals}
    with Recommender.load(data_dir=data_folder, cache_dir=tmp_path, offline=True, **asked) as recommender:
        best = recommender.recommend(user, k=5, exact=True).recommendations
    assert len({entry.item.id for entry in best} & fitting) >= 4, [entry.item.id for entry in best]
