"""Prints a pip constraint for the lowest or the newest llama-cpp-python that pyproject.toml admits.

python .github/workflows/bounds.py lowest|newest
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def constraint(which: str, project: str) -> str:
    """Such as `llama-cpp-python==0.3.36` for the lowest; the range for the newest, of which pip takes that."""
    found = re.search(r'"(llama-cpp-python)(>=([\d.]+),<[\d.]+)"', project)
    if found is None:
        sys.exit(f"{PROJECT}: llama-cpp-python has no range of the form >=A,<B")
    name, admitted, lowest = found.groups()
    return f"{name}{admitted}" if which == "newest" else f"{name}=={lowest}"


if __name__ == "__main__":
    print(constraint(sys.argv[1], PROJECT.read_text(encoding="utf-8")))
