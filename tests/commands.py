"""The command line in this process: what tests of commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from trsr_lite import cli


class Outcome(NamedTuple):
    """Exit code, stdout and stderr of one call."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What a command that succeeded has printed."""
        assert self.code == 0, self.err
        return json.loads(self.out)


Run = Callable[..., Outcome]


def runner(capsys: pytest.CaptureFixture[str], *first: str) -> Run:
    """`run(*arguments)` runs `trsr-lite *first *arguments`."""

    def call(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = cli.run([*first, *map(str, arguments)])
        return Outcome(code, *capsys.readouterr())

    return call
