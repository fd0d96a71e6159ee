"""`examples/tune.py`: weights tuned on some people's clicks rank other people's better than the default's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.real_model
def test_tuning_on_200_people_ranks_others_better(prepared: Path, tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "examples" / "tune.py", tmp_path, "--data-dir", prepared]
    done = subprocess.run([*map(str, command)], cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    before, after = (float(value) for value in re.findall(r"clicks (?:before|after): ([\d.]+)", done.stdout))
    assert after > before + 0.01, done.stdout
    assert "weights: " in done.stdout
