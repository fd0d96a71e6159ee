"""llama.cpp's own converter scripts, of exactly the llama.cpp that runs.

They are in no wheel, but in the source distribution of the installed llama-cpp-python: fetched once with pip, and kept.

Invariant: the scripts belong to the installed version, and their digest is recorded in what they convert.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

from trsr_lite.engine import model
from trsr_lite.errors import ModelError
from trsr_lite.io import files

PACKAGE = "llama-cpp-python"
MODEL_SCRIPT = "convert_hf_to_gguf.py"
LORA_SCRIPT = "convert_lora_to_gguf.py"
PARTS = (MODEL_SCRIPT, LORA_SCRIPT, "conversion", "gguf-py/gguf")
FETCH_SECONDS = 600
BACKEND = "scikit_build_core"  # the build backend of llama-cpp-python
STAND_IN = """
from pathlib import Path
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    place = Path(folder) / "{name}-{version}.dist-info"
    place.mkdir()
    (place / "METADATA").write_text("Metadata-Version: 2.1\\nName: {package}\\nVersion: {version}\\n")
    return place.name
"""
"""What pip asks instead of the build backend, which would be fetched and run for a minute only to name the package."""
DISTRUSTING = str(Path(__file__).with_name("distrusting.py"))
FULL = ("Errno 28", "No space left", "Errno 122")


@dataclass(frozen=True)
class Converter:
    """A folder with the scripts, and the digest of all of them."""

    folder: Path
    digest: str

    def run(self, script: str, arguments: Sequence[str | Path]) -> None:
        """Run a script on local files; its last line is the reason of a failure.

        The process is shut off from the code of models: it imports from the folders of this one. It never imports from
        the current folder, which may be a model's, and `distrusting` refuses what the script would trust.
        """
        folders = [folder for folder in sys.path if Path(folder).is_absolute() and not _is_current(folder)]
        command = [sys.executable, "-I", DISTRUSTING, str((self.folder / script).absolute()), json.dumps(folders)]
        command += [str(one.absolute()) if isinstance(one, Path) else one for one in arguments]
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run(
                command,
                env=_environment(),
                cwd=empty,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
            if any(sign in lines[-1] for sign in FULL):
                written = [str(value) for flag, value in pairwise(arguments) if flag == "--outfile"]
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *written)
            raise ModelError(
                f"{script}: {lines[-1]}",
                hint="llama.cpp's converter must know the base's architecture and tokenizer: try a base that it lists",
            )


def _environment() -> dict[str, str]:
    """What the child sees: no network, no Python of anybody's, and nothing that could make a library trust a model."""
    known = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") and not name.endswith("TRUST_REMOTE_CODE") and name != "NO_LOCAL_GGUF"
    }
    return {**known, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TQDM_DISABLE": "1"}


def _is_current(folder: str) -> bool:
    return os.path.realpath(folder) == os.path.realpath(os.curdir)


def find(folder: Path | None, cache: Path, *, offline: bool = False) -> Converter:
    """The scripts in a llama.cpp checkout, or those of the installed version, from the cache or fetched now."""
    if folder is not None:
        for name in (MODEL_SCRIPT, LORA_SCRIPT):
            if not (folder / name).is_file():
                raise ModelError(f"{folder}: not a llama.cpp checkout: it has no {name}")
        return Converter(folder, _digest(folder))
    version = model.version()
    kept = cache / "llama.cpp" / version
    if not _complete(kept):
        if offline:
            raise ModelError(_missing(version), hint=f"run once without `--offline`, or {_command(version)}")
        _fetch(version, kept)
    return Converter(kept, _digest(kept))


def _fetch(version: str, target: Path) -> None:
    """Download the source distribution and unpack the scripts alone, in one step."""
    with contextlib.ExitStack() as opened:
        other = "choose another folder with `--cache-dir`"
        opened.enter_context(files.checked(target, hint=f"make room, or {other}", otherwise=other))
        target.parent.mkdir(parents=True, exist_ok=True)
        place = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent)))
        archive, reason = download(version, place, without_building(version, place / "backend"))
        if archive is None:
            archive, reason = download(version, place, None)
        if archive is None:
            raise ModelError(f"{_missing(version)}: {reason}", hint=_command(version))
        unpacked = place / "scripts"
        unpack(archive, unpacked)
        if not _complete(target):  # another process may have been faster
            shutil.rmtree(target, ignore_errors=True)
            unpacked.rename(target)


def _complete(folder: Path) -> bool:
    with files.granted(folder):
        return all((folder / part).exists() for part in PARTS)


def download(version: str, place: Path, backend: Path | None) -> tuple[Path | None, str]:
    """The source distribution, or the reason why there is none; `backend` replaces its build backend."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--no-binary", ":all:", "--dest", str(place), f"{PACKAGE}=={version}"]
    environment = dict(os.environ)
    if backend:
        command.append("--no-build-isolation")
        environment["PYTHONPATH"] = str(backend)
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer in {FETCH_SECONDS} s"
    archives = list(place.glob("*.tar.gz"))
    if done.returncode == 0 and len(archives) == 1:
        return archives[0], ""
    lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("[notice]")]
    return None, lines[-1].removeprefix("ERROR: ") if lines else "pip gives no reason"


def without_building(version: str, place: Path) -> Path:
    """A build backend in `place` that unpacks this version of the package and compiles nothing."""
    package = place / BACKEND
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    content = STAND_IN.format(name=PACKAGE.replace("-", "_"), package=PACKAGE, version=version)
    (package / "build.py").write_text(content, encoding="utf-8")
    return place


def unpack(archive: Path, target: Path) -> None:
    """Write the scripts of a source distribution, and nothing else of it, into the folder `target`."""
    with tarfile.open(archive) as content:
        for member in content:
            path = PurePosixPath(member.name)
            inside = PurePosixPath(*path.parts[3:]) if path.parts[1:3] == ("vendor", "llama.cpp") else None
            if inside is None or not member.isfile() or ".." in path.parts:
                continue
            if not any(inside == PurePosixPath(part) or PurePosixPath(part) in inside.parents for part in PARTS):
                continue
            source = content.extractfile(member)
            if source is None:
                continue
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            with (target / inside).open("wb") as file:
                shutil.copyfileobj(source, file)
    if not (target / MODEL_SCRIPT).is_file():
        raise ModelError(f"{archive.name}: holds no {MODEL_SCRIPT}", hint="give a checkout with `--llama-cpp`")


def _digest(folder: Path) -> str:
    digest = hashlib.blake2b(digest_size=20)
    scripts = [folder / MODEL_SCRIPT, folder / LORA_SCRIPT, *sorted((folder / "conversion").glob("*.py"))]
    with files.granted(folder):
        for path in scripts:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"b2:{digest.hexdigest()}"


def _missing(version: str) -> str:
    return f"llama.cpp's converter for {PACKAGE} {version} is not on this machine and cannot be fetched"


def _command(version: str) -> str:
    return (
        f"get it with `pip download --no-deps --no-binary :all: {PACKAGE}=={version}`, unpack it, and give its "
        "vendor/llama.cpp with `--llama-cpp`"
    )
