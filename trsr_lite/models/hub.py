"""Bundles and GGUF files from the Hugging Face hub, and from its local cache whenever they are there.

Invariant: with `offline` no socket is opened, and without it none is opened for what the cache already has whole: a
bundle, or a GGUF file of a repository of which the hub has once said what files there are. Only safetensors, GGUF,
JSON, Markdown and arrays without pickles (`.npz`) are ever fetched. A bundle's files are all of one commit and have the
hashes of its manifest. No code of a repository is fetched or run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from trsr_lite.errors import ModelError
from trsr_lite.io.digests import file_digest
from trsr_lite.io.files import granted, replace
from trsr_lite.models import bundle
from trsr_lite.models.bundle import MANIFEST, Bundle
from trsr_lite.models.hub_errors import explained
from trsr_lite.models.reference import FETCHED, Reference, certain, may_be_fetched, only, suitable
from trsr_lite.results import OnProgress, Progress

README = "README.md"
NAMES = ".trsr-lite"  # in a repository's folder of the cache: which GGUF files each commit has, as the hub told us

Found = tuple[Path, Bundle | None]
"""A folder or a GGUF file, and the bundle in it where that was loaded to check it."""


class Damaged(ModelError):
    """A file of the cache was not what its manifest says, and is gone: the hub may have it whole."""


def fetch(repository: str, filename: str, *, revision: str, offline: bool = False) -> Path:
    """The local path of a hub file; downloads (resumable, `HF_*` variables honoured) only if it is not cached."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(repository, filename, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    if offline:
        raise ModelError(
            f"{repository}/{filename} is not on this machine, and `offline` forbids fetching it",
            hint="run once without `offline`",
        )
    with explained(Reference(repository, revision=revision)):
        return Path(hf_hub_download(repository, filename, revision=revision))


def discard(path: Path) -> None:
    """Remove a file of the cache, with every link on the way to it: what was left would be linked again.

    A blob may itself be a link, to one that several repositories share. Nothing outside the cache is touched.
    """
    cache = path.parents[3].resolve()  # of <cache>/models--user--repo/snapshots/<commit>/<file>
    with granted(path, "removed"):
        while path.parent.resolve().is_relative_to(cache):
            target = path.readlink() if path.is_symlink() else None
            path.unlink(missing_ok=True)
            if target is None:
                return
            path = path.parent / target


def pull(
    reference: Reference,
    *,
    offline: bool = False,
    renew: bool = False,
    digest: Callable[[Path], str] = file_digest,
    progress: OnProgress | None = None,
) -> Path:
    """The local path of a bundle's folder, or of one GGUF file of a repository that has no manifest.

    What the cache has is taken as it is, without asking for a newer one; a revision pins it. With `renew`, the hub is
    asked where that cannot be used, as after an upgrade: there may be a newer one. The files of a bundle are hashed by
    `digest` every time. One that is not what the manifest says is removed from the cache and, if allowed, fetched
    again. A GGUF file is taken from the cache where it is what the hub would choose. Offline, and where the hub never
    said which files there are, only a file of just this name or type serves. Without a type, only the one file that is
    here does. Raises `ModelError`.
    """
    return find(reference, offline=offline, renew=renew, digest=digest, progress=progress)[0]


def find(
    reference: Reference,
    *,
    offline: bool = False,
    renew: bool = False,
    digest: Callable[[Path], str] = file_digest,
    progress: OnProgress | None = None,
) -> Found:
    """The path as `pull` returns it, and of a folder the bundle that was loaded to check it."""
    try:
        found = _cached(reference, digest, offline=offline)
    except ModelError as error:
        if offline:
            raise
        if not (renew or isinstance(error, Damaged)):
            newer = f"`trsr-lite pull {reference}` asks the hub for a newer one"
            error.hint = f"{error.hint}; {newer}" if error.hint else newer
            raise
        found = None
    if found is not None:
        return found
    if offline:
        raise ModelError(
            f"{reference} is not on this machine, and `offline` forbids fetching it",
            hint=f"run `trsr-lite pull {reference}` once without `offline`",
        )
    manifest = _get(reference, MANIFEST, reference.revision, Progress(f"fetch {reference}", 0.0), progress)
    if manifest is None:
        return _download_gguf(reference, progress)
    return _download_bundle(reference, manifest, digest, progress)


# From the cache


def _cached(reference: Reference, digest: Callable[[Path], str], *, offline: bool) -> Found | None:
    """What is on this machine of a reference; None unless it is whole, and the one that is meant."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:  # without patterns it would miss the files that we never wanted
        folder = Path(
            snapshot_download(
                reference.repository, revision=reference.revision, local_files_only=True, allow_patterns=[]
            )
        )
    except LocalEntryNotFoundError:
        return None
    if (folder / MANIFEST).is_file():
        names = _named(folder / MANIFEST, reference)
        whole = all((folder / name).is_file() for name, _ in names)
        return _verified(folder, names, digest) if whole else None
    here = [path.name for path in folder.iterdir() if path.is_file()]
    known = _known(folder)
    if known is None and not offline:
        return None  # another program may have fetched one file of a bundle, or one model of several
    found = certain(here, reference.type) if known is None else suitable(known, reference.type)
    try:
        name = only(found, reference)
    except ModelError:
        if offline and found:
            raise
        return None  # the hub may have another by now
    return (folder / name, None) if name in here else None


def _known(folder: Path) -> list[str] | None:
    """The GGUF files of a snapshot's commit, which has no manifest; None where the hub was never asked."""
    try:
        names = orjson.loads(_list(folder).read_bytes())
    except (OSError, ValueError):
        return None
    return list(map(str, names)) if isinstance(names, list) else None


def _list(folder: Path) -> Path:
    """Where the names of a snapshot's commit are kept; `hf cache` leaves it alone until the repository goes."""
    return folder.parents[1] / NAMES / f"{folder.name}.json"


# From the hub


def _download_bundle(
    reference: Reference, manifest: Path, digest: Callable[[Path], str], progress: OnProgress | None
) -> Found:
    """The files that a manifest names, all from the commit that the manifest came from."""
    folder = manifest.parent
    named = _named(manifest, reference)
    names = [*dict(named), README]
    for number, name in enumerate(names):
        step = Progress(f"fetch {reference}: {name}", number / len(names))
        if _get(reference, name, folder.name, step, progress) is None and name != README:
            raise ModelError(
                f"{reference} has no file {name}, which its {MANIFEST} names",
                hint="the bundle was published incompletely: ask its author",
            )
    return _verified(folder, named, digest)


def _download_gguf(reference: Reference, progress: OnProgress | None) -> Found:
    """The GGUF file of a repository that is no bundle."""
    from huggingface_hub import HfApi

    with explained(reference):
        info = HfApi().model_info(reference.repository, revision=reference.revision)
    names = [file.rfilename for file in info.siblings or ()]
    name = only(suitable(names, reference.type), reference)
    step = Progress(f"fetch {reference}: {name}", 0.0)
    path = _get(reference, name, reference.revision, step, progress)  # by name: the cache then knows what it stands for
    if path is None:
        raise ModelError(f"{reference} has no file {name} any more", hint="run it again")
    if path.parent.name == info.sha:
        with suppress(OSError):  # then the hub is asked again
            _list(path.parent).parent.mkdir(exist_ok=True)
            replace(_list(path.parent), orjson.dumps(suitable(names, None)))
    return path, None


def _get(
    reference: Reference, name: str, revision: str | None, step: Progress, progress: OnProgress | None
) -> Path | None:
    """One file, whole or not at all; None where the repository has none of that name. The only way in."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    if not may_be_fetched(name):
        raise ModelError(f"{reference}: {name!r} is not a plain name of a file that ends in {', '.join(FETCHED)}")
    if progress:
        progress(step)
    with explained(reference):
        try:
            return Path(hf_hub_download(reference.repository, name, revision=revision))
        except LocalEntryNotFoundError:
            raise  # the hub was not reached, whatever the name says
        except EntryNotFoundError:
            return None


# What is taken


def _named(manifest: Path, reference: Reference) -> list[tuple[str, str]]:
    """(name, hash) of each file that a manifest names; checked before anything of that name is touched."""
    try:
        data: Any = orjson.loads(manifest.read_bytes())
        if data["schema"] > bundle.SCHEMA:
            raise ModelError(
                f"{reference}: schema {data['schema']} is newer than this trsr-lite knows ({bundle.SCHEMA})",
                hint="upgrade trsr-lite",
            )
        entries = [data["summarizer"], data["recommender"]]
        entries += [entry["adapter"] for entry in entries if entry.get("adapter")]
        entries += [data["signals"]["statistics"]] if data.get("signals") else []
        files = sorted({(entry["file"], entry["digest"]) for entry in entries}, key=str)
        kind = data["recommender"]["type"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{reference}: its {MANIFEST} is not a bundle's: {error!r}", hint="the repository holds no trsr-lite bundle"
        ) from error
    for name, _ in files:
        if not isinstance(name, str) or not may_be_fetched(name):
            raise ModelError(
                f"{reference}: its {MANIFEST} names {name!r}, which is not a model file inside the bundle",
                hint="do not use this bundle",
            )
    if reference.type and reference.type.lower() != str(kind).lower():
        raise ModelError(
            f"{reference}: the recommender of this bundle is {kind}, not {reference.type}",
            hint=f"leave the type out: `{Reference(reference.repository, revision=reference.revision)}`",
        )
    return files


def _verified(folder: Path, named: Iterable[tuple[str, str]], digest: Callable[[Path], str]) -> Found:
    """The folder, if its files are those of the manifest and it loads."""
    digest = functools.cache(digest)
    with granted(folder):
        for name, expected in named:
            found = digest(folder / name)
            if found != expected:
                discard(folder / name)
                raise Damaged(
                    f"{name}: its content hash is {found}, but its manifest says {expected}",
                    hint="it was removed from the cache: run it again; if that does not help, ask the bundle's author",
                )
    return folder, bundle.load(folder, digest)
