"""Addresses of web pages, as what identifies them.

Invariant: one page has one address, whoever linked to it: without what counts visitors and without a place in the page.
Names, passwords and unsafe schemes never become part of a user file.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

_COUNTING = ("utm_", "fbclid", "gclid", "mc_cid", "mc_eid", "igshid")
_WEB = ("http", "https")


def clean(address: str) -> str:
    """The address of a web page, or "" where it is none."""
    try:
        parts = urlsplit(address.strip())
        host = (parts.hostname or "").lower()
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    if parts.scheme.lower() not in _WEB or not host:
        return ""
    query = [(name, value) for name, value in parse_qsl(parts.query, True) if not name.startswith(_COUNTING)]
    return urlunsplit((parts.scheme.lower(), host + port, parts.path, urlencode(query), ""))


def site(address: str) -> str:
    """The site of an address, without `www.`."""
    return (urlsplit(address).hostname or "").removeprefix("www.")


def words(address: str) -> str:
    """What an address says by itself, for a page that has no title."""
    parts = urlsplit(address)
    last = unquote(parts.path.rstrip("/").rpartition("/")[2])
    said = " ".join(re.sub(r"\.\w{1,5}$", "", last).replace("-", " ").replace("_", " ").split())
    return f"{said} ({site(address)})" if any(map(str.isalpha, said)) else site(address) + parts.path.rstrip("/")
