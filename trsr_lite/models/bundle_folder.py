"""Where a bundle is made: whether it may be, and a copy of a bundle with other signals.

Invariant: a bundle's folder appears whole, with one rename; nothing but a bundle is ever replaced.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import orjson

from trsr_lite.errors import SettingsError
from trsr_lite.io import files
from trsr_lite.models.bundle import MANIFEST, Bundle, ModelFile
from trsr_lite.models.bundle_signals import BundleSignals


def check(target: Path, *, force: bool) -> None:
    """Raise `SettingsError` where a bundle must not be made at `target`, or `ModelError` where nobody can tell."""
    with files.granted(target, "looked at", hint="name another folder"):
        if not target.exists():
            return
        if not force:
            raise SettingsError(f"{target}: already exists", hint="replace it with `--force`, or name another folder")
        if not is_bundle(target):
            raise SettingsError(
                f"{target}: is not a bundle, so `--force` does not delete it", hint="name another folder"
            )


def is_bundle(folder: Path) -> bool:
    """Whether a folder has the manifest of a bundle; other programs have a file of that name, too."""
    try:
        data = orjson.loads((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError):
        return False
    return isinstance(data, dict) and "schema" in data and "recommender" in data


def write(bundle: Bundle, signals: BundleSignals, target: Path, *, force: bool) -> None:
    """Copy the bundle's models into a new folder, with these signals; raises `SettingsError` and `TrsrError`."""
    check(target, force=force)
    models = [one for role in (bundle.recommender, bundle.summarizer) for one in (role, role.adapter) if one]
    sources = {_named(one): one.path for one in models} | {signals.statistics.path.name: signals.statistics.path}
    with files.checked(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            place = staging / target.name
            place.mkdir()
            for name, source in sources.items():
                shutil.copyfile(source, place / name)
            replace(bundle, name=target.resolve().name, signals=signals).write(place)
            if target.exists():
                target.rename(staging / "replaced")
            place.rename(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _named(file: ModelFile) -> str:
    return file.path.name
