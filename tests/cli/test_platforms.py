"""Other systems than this one, with fakes: what is counted, where files go, and what `doctor` says."""

from __future__ import annotations

import builtins
import ctypes
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.commands import Run, runner
from trsr_lite.cli import doctor
from trsr_lite.engine import model, threads
from trsr_lite.errors import ModelError

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"

# Threads


class Libc:
    """`sysctlbyname` that knows one number, or fails as on Intel."""

    def __init__(self, cores: int | None) -> None:
        self.cores = cores

    def sysctlbyname(self, name: bytes, value: Any, *_: Any) -> int:
        assert name == b"hw.perflevel0.physicalcpu"
        if self.cores is None:
            return -1
        ctypes.cast(value, ctypes.POINTER(ctypes.c_int32)).contents.value = self.cores
        return 0


@pytest.mark.parametrize(("performance", "expected"), [(4, 4), (None, 8)], ids=["Apple silicon", "Intel"])
def test_on_a_mac_only_performance_cores_count(
    monkeypatch: pytest.MonkeyPatch, performance: int | None, expected: int
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Libc(performance))
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 8)
    monkeypatch.setattr(psutil, "Process", lambda: types.SimpleNamespace())
    monkeypatch.setattr(threads, "cgroup_quota", lambda: None)
    assert threads.default_threads() == expected


@pytest.mark.parametrize(("allowed", "expected"), [(range(16), 8), ([2, 3], 2)])
def test_on_windows_physical_cores_within_the_affinity_count(
    monkeypatch: pytest.MonkeyPatch, allowed: Any, expected: int
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 8)
    monkeypatch.setattr(psutil, "Process", lambda: types.SimpleNamespace(cpu_affinity=lambda: list(allowed)))
    monkeypatch.setattr(threads, "cgroup_quota", lambda: None)
    assert threads.default_threads() == expected


def test_a_machine_that_tells_nothing_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: None)
    monkeypatch.setattr(psutil, "Process", lambda: types.SimpleNamespace())
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert threads.default_threads() == 1


# Folders


@pytest.mark.parametrize(
    ("system", "cache", "data"),
    [
        ("unix.Unix", "cache/trsr-lite", "data/trsr-lite"),
        ("macos.MacOS", "Library/Caches/trsr-lite", "Library/Application Support/trsr-lite"),
        ("windows.Windows", "Local/trsr-lite/Cache", "Local/trsr-lite"),
    ],
)
def test_each_system_has_its_folders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, cache: str, data: str
) -> None:
    import importlib

    module, name = system.split(".")
    if module != "unix":
        for variable in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
            monkeypatch.delenv(variable)
    module_of = importlib.import_module(f"platformdirs.{module}")
    if module == "windows":
        monkeypatch.setattr(module_of, "get_win_folder", lambda _csidl: str(tmp_path / "home" / "Local"))
    folders = getattr(module_of, name)("trsr-lite", False)
    assert Path(folders.user_cache_dir) == tmp_path / "home" / cache
    assert Path(folders.user_data_dir) == tmp_path / "home" / data


# llama.cpp


@pytest.mark.parametrize(("info", "anew"), [("CPU : AVX2 = 1 | ", True), ("CPU : AVX2 = 1 | AMX_INT8 = 1 | ", False)])
def test_weights_are_laid_out_anew_but_for_amx_which_can_kill_the_process(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, info: str, anew: bool
) -> None:
    library, asked = model.library(), []
    plain = library.llama_model_load_from_file

    def spy(path: bytes, params: Any) -> Any:
        asked.append(params.use_extra_bufts)
        return plain(path, params)

    monkeypatch.setattr(model, "system_info", lambda: info)
    monkeypatch.setattr(library, "llama_model_load_from_file", spy)
    model.NativeModel(tiny).close()
    assert asked == [anew]


# doctor


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys, "doctor")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`machine(platform, offloads=…, info=…, programs=…)`: what `doctor` is to see."""

    def pretend(platform: str, *, offloads: bool = False, info: str = "CPU : AVX2 = 1 | ", programs: str = "") -> None:
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setattr(model, "version", lambda: "0.3.36")
        monkeypatch.setattr(model, "offloads", lambda: offloads)
        monkeypatch.setattr(model, "system_info", lambda: info)
        monkeypatch.setattr(threads, "default_threads", lambda: 2)
        monkeypatch.setattr(psutil, "cpu_percent", lambda _seconds: 0.0)
        monkeypatch.setattr(shutil, "which", lambda name: name if name in programs.split() else None)

    return pretend


def findings(run: Run) -> dict[str, dict[str, str]]:
    return {finding["name"]: finding for finding in run("--json").json["findings"]}


@pytest.mark.parametrize(("info", "unused"), [("AVX2 = 1 | ", False), ("AVX2 = 1 | AMX_INT8 = 1 | ", True)])
def test_doctor_says_which_feature_is_left_unused(
    run: Run, machine: Callable[..., None], info: str, unused: bool
) -> None:
    machine("linux", info=f"CPU : {info}")
    said = findings(run)["processor features"]["found"]
    assert "AVX2" in said and ("AMX is not used" in said) is unused


@pytest.mark.parametrize(
    ("platform", "offloads", "info", "programs", "state", "words"),
    [
        ("linux", True, "CUDA : ARCHS = 890 | CPU : AVX2 = 1 | ", "nvidia-smi", "ok", "CUDA"),
        ("linux", True, "Vulkan : X = 1 | CPU : AVX2 = 1 | ", "", "ok", "Vulkan"),
        ("darwin", True, "Metal : EMBED_LIBRARY = 1 | CPU : NEON = 1 | ", "", "ok", "Metal"),
        ("darwin", True, "MTL : EMBED_LIBRARY = 1 | CPU : NEON = 1 | ", "", "ok", "Metal"),
        ("darwin", False, "CPU : AVX2 = 1 | ", "", "note", "lacks Metal"),
        ("linux", False, "CPU : AVX2 = 1 | ", "nvidia-smi", "note", "lacks CUDA"),
        ("win32", False, "CPU : AVX2 = 1 | ", "nvidia-smi", "note", "lacks CUDA"),
        ("linux", False, "CPU : AVX2 = 1 | ", "", "ok", "everything runs on the CPU"),
    ],
)
def test_doctor_names_the_backend_and_a_gpu_that_lies_idle(
    run: Run,
    machine: Callable[..., None],
    platform: str,
    offloads: bool,
    info: str,
    programs: str,
    state: str,
    words: str,
) -> None:
    machine(platform, offloads=offloads, info=info, programs=programs)
    found = findings(run)["GPU offload"]
    assert (found["state"], words in found["found"]) == (state, True)
    assert bool(found["advice"]) == (state == "note")


@pytest.mark.parametrize(
    ("platform", "programs", "missing", "advice"),
    [
        ("linux", "", "no cc and no c++", "build-essential"),
        ("linux", "gcc", "no c++", "build-essential"),
        ("darwin", "", "no cc and no c++", "xcode-select"),
        ("win32", "", "no cl", "Visual Studio"),
        ("linux", "cc c++", None, None),
        ("linux", "clang clang++", None, None),
        ("win32", "cl", None, None),
    ],
)
def test_doctor_names_missing_compilers_and_the_way_around_them(
    run: Run,
    machine: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    programs: str,
    missing: str | None,
    advice: str | None,
) -> None:
    machine(platform, programs=programs)
    found = findings(run)["compilers"]
    assert (found["state"], found["found"]) == (("note", missing) if missing else ("ok", "C and C++"))
    assert advice is None or (advice in found["advice"] and "prebuilt wheel" in found["advice"])

    def absent() -> str:
        raise ModelError("llama-cpp-python is not installed", hint="install it")

    monkeypatch.setattr(model, "version", absent)
    outcome = run()
    assert outcome.code == 1
    assert "prebuilt wheel" in " ".join(re.sub(r"[│┃]", " ", outcome.out).split())


@pytest.mark.parametrize(("platform", "kind"), [("linux", "cpu"), ("darwin", "metal"), ("win32", "cpu")])
def test_doctor_names_the_wheel_of_this_system_in_the_range_that_the_package_needs(
    run: Run, machine: Callable[..., None], platform: str, kind: str
) -> None:
    machine(platform, programs="")
    advice = findings(run)["compilers"]["advice"]
    assert f"/whl/{kind} 'llama-cpp-python" in advice
    assert f'"{doctor.PINNED.strip(chr(39))}"' in (ROOT / "pyproject.toml").read_text()


def test_doctor_says_how_to_get_tk(run: Run, machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    imports = builtins.__import__

    def without_tk(name: str, *rest: Any, **options: Any) -> Any:
        if name == "tkinter":
            raise ImportError(name)
        return imports(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without_tk)
    advice = []
    for platform in ("linux", "darwin", "win32"):
        machine(platform)
        found = findings(run)["Tk"]
        assert found["state"] == "note"
        advice.append(found["advice"])
    assert [word in text for word, text in zip(("apt", "brew", "installer"), advice, strict=True)] == [True] * 3


def test_doctor_advises_extras_that_exist(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    declared = re.search(
        r"\[project.optional-dependencies\]\n(.*?)\n\[", (ROOT / "pyproject.toml").read_text(), re.DOTALL
    )
    assert declared
    packages = {
        extra: re.findall(r'"([\w-]+)', inside)
        for extra, inside in re.findall(r"^(\w+) = \[(.*?)\]$", declared[1], re.MULTILINE | re.DOTALL)
    }
    found = findings(run)
    named = {name.removeprefix("extra ") for name in found if name.startswith("extra ")}
    assert named == set(doctor.EXTRAS) <= set(packages)
    assert {name: packages[name] for name in named} == {name: known for name, (known, _) in doctor.EXTRAS.items()}
    assert all(f"'trsr-lite[{name}]'" in found[f"extra {name}"]["advice"] for name in named)


def test_doctor_misses_a_single_package_of_an_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def without(name: str) -> str:
        if name == "bm25s":
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(metadata, "version", without)
    found = findings(run)
    assert (found["extra evaluate"]["state"], found["extra evaluate"]["found"]) == ("note", "not installed: bm25s")
    assert found["extra ray"]["found"] == "ray 1.0, pyarrow 1.0"


# The source distribution


def test_the_source_distribution_has_what_make_and_the_tests_read() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    include = re.search(
        r"^\[tool\.hatch\.build\.targets\.sdist\]\ninclude = \[(.*?)\]", project, re.DOTALL | re.MULTILINE
    )
    assert include
    if not (ROOT / ".git").exists():
        pytest.skip("this is a source distribution")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    kept = {path.split("/")[0] for path in tracked.splitlines()}
    assert kept - {".ci"} == {
        *re.findall(r'"(.*?)"', include[1]),
        ".gitignore",
        "pyproject.toml",
    }  # hatch adds those two


# The workflow


def test_the_workflow_runs_every_python_that_is_admitted() -> None:
    workflow = (WORKFLOWS / "ci.yml").read_text(encoding="utf-8")
    classified = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = re.search(r"python: \[(.*)\]", workflow)
    assert listed
    assert re.findall(r"3\.\d+", listed[1]) == classified
    assert all(system in workflow for system in ("ubuntu", "macos", "windows"))


def test_the_workflow_takes_the_bounds_from_the_requirements(python: Callable[..., Any]) -> None:
    lowest = python(WORKFLOWS / "bounds.py", "lowest").stdout.strip()
    newest = python(WORKFLOWS / "bounds.py", "newest").stdout.strip()
    assert re.fullmatch(r"llama-cpp-python==[\d.]+", lowest)
    assert newest.startswith(lowest.replace("==", ">="))
    assert f'"{newest}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
