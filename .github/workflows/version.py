"""Checks that the package, the changelog, the citation and a tag name one version; the release workflow runs it first.

python .github/workflows/version.py [v0.1.0]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = {
    "trsr_lite/__init__.py": r'^__version__ = "(.+)"$',
    "CHANGELOG.md": r"^## (\d+\.\d+\.\d+) — \d{4}-\d\d-\d\d$",
    "CITATION.cff": r"^version: (.+)$",
}


def versions(root: Path = ROOT) -> dict[str, str | None]:
    """What each file names first."""
    found = {}
    for name, pattern in NAMED.items():
        match = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        found[name] = match[1] if match else None
    return found


def main(tag: str, root: Path = ROOT) -> str | None:
    """What is wrong, or None."""
    found = versions(root)
    if tag:
        found["the tag"] = tag.removeprefix("v")
    if len(set(found.values())) > 1 or None in found.values():
        return "versions differ: " + ", ".join(f"{name} {version}" for name, version in found.items())
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2] or [""]))
