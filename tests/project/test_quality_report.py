"""What `docs/results/quality.md` says of models trained on the data: one row a cell, and the spread over seeds."""

from __future__ import annotations

from typing import Any

import pytest

report = pytest.importorskip("benchmarks.quality_report", reason="needs the training extra, and the project's folder")


def cell(trained: float, **more: Any) -> dict[str, Any]:
    recalls = {"run": trained, "random": 0.1, "popularity": 0.3}
    systems = {
        name: {"recall@3": {"value": value, "low": value - 0.1, "high": value + 0.1}} for name, value in recalls.items()
    }
    validation = [{"step": 48, "recall@3": 0.2}, {"step": 96, "recall@3": 0.25}]
    return {"training_rows": 384, "users": 9, "systems": systems, "validation": validation, **more}


def cells_of(line: str) -> list[str]:
    return [text.strip() for text in line.strip("|").split("|")]


def test_each_cell_is_a_row_and_seeds_have_their_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "mind:none:uniform:0:both:96": cell(0.4, losses=[2.3, 2.1]),
        "mind:none:uniform:1:both:96": cell(0.5),
        "mind:none:uniform:2:both:96": cell(0.6),
        "mind:none:popularity:0:both:96": cell(0.1, lists=11),
        "mind:none:uniform:0:listwise:96": cell(0.9),
    }
    monkeypatch.setattr(report.quality, "found", lambda: found)
    lines = "\n".join(report.training()).splitlines()
    tables = [cells_of(line) for line in lines if line.startswith("|") and "---" not in line]
    head, *rows = tables[:6]
    assert all(len(row) == len(head) for row in rows)
    popular, first = (dict(zip(head, row, strict=True)) for row in rows[:2])
    assert (popular["data, negatives, seed"], popular["lists"], popular["loss"]) == ("mind, popularity, 0", "11", "")
    assert (first["trained"], first["untrained"], first["popularity"]) == (
        "0.400 [0.30, 0.50]",
        "",
        "0.300 [0.20, 0.40]",
    )
    assert (first["validation"], first["loss"]) == ("0.20 → 0.25", "2.30 → 2.10")
    (head, *spread) = tables[6:]
    (row,) = (dict(zip(head, one, strict=True)) for one in spread)  # the others have one seed
    assert (row["data, negatives"], row["seeds"]) == ("mind, uniform", "3")
    assert (row["trained"], row["popularity"], row["untrained"]) == ("0.500 ± 0.100", "0.300 ± 0.000", "")


def test_without_cells_the_page_says_nothing_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report.quality, "found", dict)
    assert list(report.training()) == []


def test_what_was_measured_as_a_decayed_sum_keeps_that_name() -> None:
    values = cell(0.4)
    values["systems"]["tfidf"] = values["systems"]["random"]
    before = report.recalls(values)
    assert "tfidf" not in before and before["tfidf-decay"]["value"] == 0.1
    values["systems"]["svm"] = values["systems"]["random"]
    now = report.recalls(values)
    assert "tfidf-decay" not in now and now["tfidf"]["value"] == 0.1
