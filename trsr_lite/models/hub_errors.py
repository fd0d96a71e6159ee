"""What the hub's client raises, as one line and a next step.

Invariant: whatever it raises ends in a `ModelError`; the client's HTTP library shows through nowhere.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from trsr_lite.errors import ModelError
from trsr_lite.models.reference import Reference

LOG_IN = "log in with `hf auth login`, or set `HF_TOKEN`"


@contextmanager
def explained(reference: Reference, done: str = "fetched") -> Iterator[None]:
    """Turns whatever the hub's client raises into one line and a next step."""
    try:
        yield
    except Exception as error:  # the hub's client lets its HTTP library's errors through
        message, hint = _explain(error, reference, done)
        raise ModelError(message, hint=hint) from error


def _explain(error: Exception, reference: Reference, done: str) -> tuple[str, str]:
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # "not in the cache" says nothing of why the hub did not help
    repository = reference.repository
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"{reference} is not on this machine, and `HF_HUB_OFFLINE` forbids the network", "unset it once"
    if isinstance(error, errors.GatedRepoError):
        return f"{repository} is gated: its authors must let you in", f"ask for access on its page, then {LOG_IN}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"{repository}: there is no such repository on the hub, or it is private",
            f"check the name, which is no local path either; if it is private, {LOG_IN}",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repository} has no revision {reference.revision}", "see its branches and tags on the hub"
    if isinstance(error, errors.HfHubHTTPError) and error.response is not None:
        status = error.response.status_code
        said = f": {error.server_message}" if error.server_message else ""
        if status in (401, 403):
            return f"{repository} cannot be {done}: the hub refused with {status}{said}", LOG_IN
        return f"{repository} cannot be {done}: the hub answered {status}{said}", "try again later"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{repository} cannot be {done}: the disk is full", "make room, or set `HF_HOME` to another disk"
    line = (str(error).strip() or repr(error)).splitlines()[0]
    return f"{repository} cannot be {done}: {line}", "check the network and run it again"
