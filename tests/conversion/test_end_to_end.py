"""The example that goes from logs to a recommendation, in a small form: a real base, nothing scripted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from trsr_lite.io.digests import file_digest
from trsr_lite.models import bundle


def test_logs_become_a_recommendation(python: Any, scripts: Any, smollm2: Path, tmp_path: Path) -> None:
    small = ["--steps", "1", "--lists", "2", "--readers", "30", "--type", "F16"]
    done = python(ROOT / "examples" / "end_to_end.py", tmp_path / "work", *small, "--llama-cpp", scripts.folder)
    assert "Recommended for" in done.stdout
    made = bundle.load(tmp_path / "work" / "bundle", file_digest)
    assert made.trained and made.recommender.type == "F16"
    steps = json.loads((tmp_path / "work" / "bundle" / "report.json").read_text())["steps"]
    assert steps["F16"]["max_difference"] <= 0.05 and steps["F16"]["tau"] >= 0.95
