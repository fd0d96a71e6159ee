"""A bundle to the Hugging Face hub.

Invariant: only what belongs to the bundle travels; one foreign file in its folder, and nothing does.
"""

from __future__ import annotations

import glob
from pathlib import Path

from trsr_lite.errors import ModelError, SettingsError
from trsr_lite.io.digests import file_digest
from trsr_lite.io.files import granted
from trsr_lite.models.bundle import MANIFEST, load
from trsr_lite.models.hub_errors import explained
from trsr_lite.models.reference import FETCHED, Reference, is_valid, may_be_fetched

PUBLISHED = (MANIFEST, "report.json", "*.md", "LICENSE*")


def push(bundle: Path, repository: str, *, private: bool = False) -> str:
    """Publish a bundle's folder, in a repository that is made where there is none; returns the commit's address.

    Raises `ModelError` if the bundle is broken, or if anything else lies in its folder: no training data may travel by
    accident. Also if `private` is asked for and the repository is public, or if the hub refuses.
    """
    if not is_valid(repository):
        raise SettingsError(f"{repository!r} is not the name of a repository", hint="write `user/repo`")
    names = _to_publish(bundle)
    from huggingface_hub import HfApi

    api = HfApi()
    with explained(Reference(repository), "published"):
        api.create_repo(repository, private=private, exist_ok=True)
        public = private and not api.model_info(repository).private
    if public:
        raise ModelError(
            f"{repository} exists and is public, but was to be private",
            hint="make it private in its settings on the hub, or leave out `--private`",
        )
    with explained(Reference(repository), "published"):
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=bundle,
            allow_patterns=[glob.escape(name) for name in names],
            commit_message=f"Upload the bundle {bundle.resolve().name} with trsr-lite",
        )
    return str(commit.commit_url)


def _to_publish(folder: Path) -> list[str]:
    """The names of the files that make up a bundle; anything else in its folder is refused by its name."""
    with granted(folder):
        if not folder.is_dir():
            raise ModelError(f"{folder}: there is no such folder", hint="give the folder of a bundle")
        present = sorted(folder.iterdir())
    bundle = load(folder, file_digest)
    models = (bundle.summarizer, bundle.recommender)
    files = {file.path.name for model in models for file in (model, model.adapter) if file}
    files |= {bundle.signals.statistics.path.name} if bundle.signals else set()
    for name in sorted(files):
        if not may_be_fetched(name):
            raise ModelError(f"{folder / name}: on the hub, the name of a model ends in {' or '.join(FETCHED[:2])}")
    own = [p.name for p in present if p.is_file() and (p.name in files or any(map(p.match, PUBLISHED)))]
    foreign = [path.name for path in present if path.name not in own]
    if foreign:
        raise ModelError(
            f"{folder}: not of the bundle, so nothing was published: {', '.join(foreign)}",
            hint="move it elsewhere; a bundle is its manifest and models, `report.json`, `*.md` and `LICENSE`",
        )
    return own
