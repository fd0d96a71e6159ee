"""The page at `/`: one file, with its script and its style inside.

Invariant: the browser runs exactly the script and the style of that file, and fetches nothing from anywhere but this
server: the policy that goes with the page names their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib import resources

from starlette.responses import Response

_INSIDE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def response() -> Response:
    """The page and its policy."""
    content, policy = _made()
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    return Response(content, headers=headers)


@cache
def _made() -> tuple[bytes, str]:
    text = (resources.files("trsr_lite.serve.http") / "page.html").read_text("utf-8")
    allowed = {kind: _hash(content) for kind, content in _INSIDE.findall(text)}
    policy = (
        f"default-src 'none'; script-src {allowed['script']}; style-src {allowed['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), policy


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
