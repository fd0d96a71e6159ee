"""Renders a chat template in a child process with little memory and time; see `chat_rendering`.

Started by its path with `python -I`; it finds the package where its parent has it. What is wrong is printed, and the
exit code is 3.
"""

from __future__ import annotations

import contextlib
import json
import sys

ROOM, SECONDS = 512 << 20, 2
REFUSED = 3


def main() -> int:
    """Read the request from stdin, and write the text."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
    given = json.loads(sys.stdin.buffer.read())
    sys.path[:] = given["path"]
    from trsr_lite.prompts import chat_rendering

    try:
        text = chat_rendering.render_here(given["template"], given["values"])
    except BaseException as error:  # noqa: BLE001 - of a stranger's template everything may come
        sys.stdout.write(str(error)[:300] or type(error).__name__)
        return REFUSED
    if len(text) > chat_rendering.LONGEST:
        sys.stdout.write("its text is endless")
        return REFUSED
    sys.stdout.buffer.write(text.encode(errors="replace"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
