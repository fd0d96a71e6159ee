"""Benchmarks: rules, ratios and counters on made-up numbers, the whole command on a tiny model. No time is judged."""

from __future__ import annotations

import copy
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Run, runner
from trsr_lite import Recommender, Settings
from trsr_lite.bench import advice, machine, measurements, samples, speeds
from trsr_lite.bench.comparison import compare, verdict
from trsr_lite.bench.energy import Counter, Meter, counters, used
from trsr_lite.bench.figures import figures
from trsr_lite.bench.stopwatch import Stopwatch, rates, ratio, times
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.models.bundle import ModelFile

COLON = pytest.mark.skipif(os.name == "nt", reason="powercap's names are no file names there")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `trsr-lite bench` in this process, on one thread."""
    monkeypatch.setenv("TRSR_LITE_THREADS", "1")
    return runner(capsys, "bench")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less of everything, where a test is not about how much."""
    monkeypatch.setattr(measurements, "QUICK_ROUNDS", 1)
    monkeypatch.setattr(measurements, "HISTORY", 10)
    monkeypatch.setattr(measurements, "USERS", 2)


@pytest.fixture
def no_energy(tmp_path: Path) -> Meter:
    return Meter(tmp_path / "none")


def both(best: float, median: float | None = None) -> dict[str, float]:
    return {"best": best, "median": best if median is None else median}


def report() -> dict[str, Any]:
    """A steady run of a model for which 4 threads, single tokens and single texts are all as good as it gets."""
    return {
        "schema": 1,
        "machine": {
            "processor": "P",
            "logical_cpus": 8,
            "threads": 4,
            "system": "S",
            "gpu_offload": False,
            "python": "3",
            "trsr_lite": "1",
            "llama_cpp_python": "2",
        },
        "model": {
            "name": "m",
            "can_rewind": True,
            "type_rates": {},
            "files": [{"file": "m.gguf", "bytes": 3 << 20, "digest": "b2:1", "roles": ["recommender", "summarizer"]}],
        },
        "conditions": {
            "threads": 4,
            "gpu_layers": None,
            "ctx_size": None,
            "quick": False,
            "rounds": 3,
            "seconds": 9.0,
            "busy_elsewhere": 0.02,
        },
        "load_seconds": [{"file": "m.gguf", "roles": ["recommender", "summarizer"], **both(0.5)}],
        "prefill": [
            {"threads": threads, "batch": batch, **both(100.0 * threads)} for threads in (1, 2, 4) for batch in (1, 512)
        ],
        "decode": [{"sequences": texts, **both(50.0)} for texts in (1, 5, 16)],
        "scoring": {"prefix_tokens": 600, **both(380.0), "raw": both(400.0), "ratio": 0.95},
        "summaries": [{"users": users, "summaries": 7 * users, **both(2.0)} for users in (1, 8)],
        "recommend": {state: {**both(3.0), "summaries": 0} for state in ("cold", "warm", "appended")},
        "memory_bytes": 400 << 20,
        "kv_bytes_per_token": 23 << 10,
        "energy_joules": None,
        "advice": [],
    }


def changed(*path: str | int, value: Any) -> dict[str, Any]:
    """A report with the value at `path` replaced."""
    whole: Any = report()
    place = whole
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return dict(whole)


def prefill(batch: int, **speeds: float) -> list[dict[str, Any]]:
    return [{"threads": int(name[1:]), "batch": batch, **both(best)} for name, best in speeds.items()]


def by_batch(speeds: dict[int, float]) -> list[dict[str, Any]]:
    return [{"threads": 2, "batch": batch, **both(best)} for batch, best in speeds.items()]


# Advice


def test_a_good_report_is_only_told_how_good_scoring_is() -> None:
    assert advice.advise(report()) == [{"rule": "scoring", "text": "scoring reaches 0.95 of raw prefill"}]


@pytest.mark.parametrize(
    ("speeds", "words"),
    [
        ({"t1": 100, "t2": 200, "t4": 206}, "2 threads are enough: 4 are only 3% faster (`--threads 2`)"),
        ({"t1": 100, "t2": 200, "t4": 150}, "2 threads are enough: 4 are 25% slower (`--threads 2`)"),
        ({"t1": 100, "t2": 104}, "1 thread is enough: 2 are only 4% faster (`--threads 1`)"),
        ({"t1": 100, "t2": 120, "t4": 104}, "2 threads are enough: 4 are 13% slower (`--threads 2`)"),
        ({"t1": 100, "t2": 200, "t4": 212}, None),
        ({"t1": 100}, None),
    ],
)
def test_as_many_threads_are_advised_as_still_help(speeds: dict[str, float], words: str | None) -> None:
    rows = [*prefill(512, **speeds), *prefill(1, **dict.fromkeys(speeds, 7.0))]  # small batches are not asked
    assert advice.threads(changed("prefill", value=rows)) == words


def test_threads_are_not_judged_on_a_machine_in_doubt() -> None:
    rows = prefill(512, t1=100, t2=100)
    assert advice.threads(changed("prefill", value=rows)) is not None
    busy, unsteady = changed("prefill", value=rows), changed("prefill", value=rows)
    busy["conditions"]["busy_elsewhere"] = 0.5
    unsteady["recommend"]["cold"] = both(1.0, 2.0)
    assert (advice.threads(busy), advice.threads(unsteady)) == (None, None)


@pytest.mark.parametrize(
    ("speeds", "words"),
    [
        ({1: 40, 8: 150, 32: 300, 512: 400}, "batches under 32 tokens waste more than half of the speed: 1 token at"),
        ({1: 40, 8: 250, 32: 300, 512: 400}, "batches under 8 tokens "),
        ({1: 40, 8: 250, 512: 400}, " at 0.10 of the best rate"),
        ({1: 200, 8: 210, 512: 400}, None),
        ({512: 400}, None),
    ],
)
def test_batches_that_waste_half_of_the_speed_are_named(speeds: dict[int, float], words: str | None) -> None:
    rows = [*by_batch(speeds), {"threads": 1, "batch": 1, **both(1.0)}]  # fewer threads are not asked
    said = advice.batches(changed("prefill", value=rows))
    assert (said is None) if words is None else (words in (said or ""))


@pytest.mark.parametrize(("ratio", "good"), [(0.97, True), (0.9, True), (1.21, True), (0.89, False)])
def test_scoring_is_compared_with_raw_prefill(ratio: float, good: bool) -> None:
    measured = changed("scoring", "ratio", value=ratio)
    assert advice.scoring(measured) == (f"scoring reaches {ratio:.2f} of raw prefill" if good else None)
    assert advice.slow_scoring(measured) == (None if good else "scoring reaches only 0.89 of raw prefill")


def test_slow_scoring_of_a_model_that_cannot_rewind_is_explained() -> None:
    measured = changed("scoring", "ratio", value=0.1)
    measured["model"]["can_rewind"] = False
    assert "cannot rewind" in (advice.slow_scoring(measured) or "")


@pytest.mark.parametrize(
    ("speeds", "words"),
    [
        ({1: 50, 5: 120, 16: 200}, "16 texts together decode 4.0 times as fast as one alone"),
        ({1: 50, 4: 75}, "4 texts together decode 1.5 times"),
        ({1: 50, 5: 500, 16: 74}, None),
        ({1: 50}, None),
    ],
)
def test_decoding_together_is_advised_where_it_pays(speeds: dict[int, float], words: str | None) -> None:
    rows = [{"sequences": texts, **both(best)} for texts, best in speeds.items()]
    said = advice.together(changed("decode", value=rows))
    assert (said is None) if words is None else (said or "").startswith(words)


@pytest.mark.parametrize(
    ("types", "words"),
    [
        (
            {"BF16": {"prefill": 90, "decode": 60}, "Q8_0": {"prefill": 100, "decode": 50}},
            "BF16 decodes 1.20 times as fast as Q8_0 here; Q8_0 reads prompts 1.11 times as fast as BF16 here",
        ),
        (
            {"F16": {"decode": 10}, "BF16": {"decode": 60}, "Q8_0": {"decode": 40}},
            "BF16 decodes 1.50 times as fast as Q8_0 here",
        ),
        ({"BF16": {"prefill": 100, "decode": 60}, "Q8_0": {"prefill": 102, "decode": 58}}, None),
        ({"BF16": {"prefill": 100, "decode": 60}}, None),
        ({}, None),
    ],
)
def test_types_are_compared_where_several_were_measured(types: dict[str, Any], words: str | None) -> None:
    assert advice.types(changed("model", "type_rates", value=types)) == words


@pytest.mark.parametrize(("warm", "says"), [(1.5, True), (2.9, False), (3.5, False)])
def test_what_the_cache_saves_is_said_where_it_saves(warm: float, says: bool) -> None:
    words = "kept summaries and a loaded model save 50%: `recommend` takes 1.5 s instead of 3 s"
    assert advice.cache(changed("recommend", "warm", value=both(warm))) == (words if says else None)


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.45, "the machine was busy: other programs used 45% of its processors"), (0.1, None), (None, None)],
)
def test_a_busy_machine_is_said(share: float | None, words: str | None) -> None:
    said = advice.busy(changed("conditions", "busy_elsewhere", value=share))
    assert (said is None) if words is None else (said or "").startswith(words)


@pytest.mark.parametrize(
    ("path", "row", "says"),
    [
        (("recommend", "cold"), both(1.0, 1.4), True),  # seconds: the median is longer
        (("scoring", "raw"), both(400.0, 300.0), True),  # rates: the median is lower
        (("recommend", "cold"), both(1.0, 1.29), False),
        (("scoring", "raw"), both(400.0, 310.0), False),
    ],
)
def test_unsteady_rounds_are_said(path: tuple[str, ...], row: dict[str, float], says: bool) -> None:
    said = advice.unsteady(changed(*path, value=row))
    assert (said is not None) == says
    if said:
        assert "unsteady: in 1 of 17 " in said
        assert f"{max(row.values()) / min(row.values()):.1f} times" in said


def test_doubts_come_before_advice() -> None:
    measured = changed("conditions", "busy_elsewhere", value=0.9)
    measured["recommend"]["cold"] = both(9.0, 30.0)
    assert [line["rule"] for line in advice.advise(measured)] == ["unsteady", "busy", "scoring", "cache"]


# Comparison


def row(compared: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [row for row in compared["figures"] if row["name"] == name]
    return dict(found)


def test_a_run_compared_with_itself_is_the_same() -> None:
    compared = compare(report(), report())
    assert [row["name"] for row in compared["figures"]] == [figure.name for figure in figures(report())]
    assert {(row["ratio"], row["verdict"]) for row in compared["figures"]} == {(1.0, "same")}
    assert (compared["schema"], compared["notes"]) == (1, [])


def test_ratios_are_new_by_old_of_the_best_rounds() -> None:
    old, new = report(), report()
    new["recommend"]["warm"] = both(1.5, 1.6)
    new["decode"][2] = {"sequences": 16, **both(40.0)}
    new["memory_bytes"] *= 2
    compared = compare(old, new)
    assert row(compared, "recommend, warm") == {
        "name": "recommend, warm", "unit": "s", "old": 3.0, "new": 1.5, "ratio": 0.5, "verdict": "faster",
    }  # fmt: skip
    assert (row(compared, "decode, 16 texts")["ratio"], row(compared, "decode, 16 texts")["verdict"]) == (0.8, "slower")
    assert (row(compared, "peak memory")["ratio"], row(compared, "peak memory")["verdict"]) == (2.0, "more")


@pytest.mark.parametrize(
    ("unit", "ratio", "word"),
    [
        ("s", 1.2, "slower"), ("s", 0.8, "faster"), ("s", 1.04, "same"), ("s", 0.96, "same"),
        ("tokens/s", 1.2, "faster"), ("summaries/s", 0.8, "slower"), ("B", 0.8, "less"), ("J", 1.2, "more"),
    ],
)  # fmt: skip
def test_a_ratio_is_put_in_a_word(unit: str, ratio: float, word: str) -> None:
    assert verdict(unit, ratio) == word


@pytest.mark.parametrize(
    ("path", "value", "note"),
    [
        (("machine", "processor"), "Q", "another machine: processor was P, is Q"),
        (("machine", "logical_cpus"), 2, "another machine: logical_cpus was 8, is 2"),
        (("machine", "llama_cpp_python"), "3", "other programs: llama_cpp_python was 2, is 3"),
        (("conditions", "threads"), 2, "measured otherwise: threads was 4, is 2"),
        (("conditions", "quick"), True, "measured otherwise: quick was False, is True"),
        (("model", "files", 0, "digest"), "b2:2", "another model: was m, is m"),
        (("summaries",), [], "only in the old one: summaries, 1 user; summaries, 8 users"),
        (("recommend", "warm"), both(3.0, 4.0), "rounds of 1 of 19 figures were unsteady: small"),
    ],
)
def test_what_differs_besides_is_noted(path: tuple[str | int, ...], value: Any, note: str) -> None:
    notes = compare(report(), changed(*path, value=value))["notes"]
    assert notes[0].startswith(note)
    assert len(notes) == 1


def test_a_figure_that_only_the_new_one_has_is_noted() -> None:
    energy = {"total": 90.0, "recommend": {"cold": 30.0, "warm": 9.0, "appended": 9.5}}
    compared = compare(report(), changed("energy_joules", value=energy))
    assert compared["notes"] == ["only in the new one: energy of it all"]
    both_have = compare(changed("energy_joules", value=energy), changed("energy_joules", value=energy))
    assert row(both_have, "energy of it all")["old"] == 90.0


def test_nothing_is_divided_by_nothing() -> None:
    found = row(compare(changed("kv_bytes_per_token", value=0), report()), "KV cache of a token")
    assert (found["ratio"], found["verdict"]) == (None, None)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def call(data: Any, name: str = "old.json") -> Path:
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        return path

    return call


Save = Callable[..., Path]


@pytest.fixture
def nothing_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "run", lambda *_, **__: pytest.fail("it measured"))


def test_two_files_are_compared_without_measuring(run: Run, save: Save, nothing_measured: None) -> None:
    old, new = save(report()), save(changed("recommend", "cold", value=both(6.0)), "new.json")
    outcome = run("--compare", old, new, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert row(outcome.json, "recommend, cold")["ratio"] == 2.0
    assert list(outcome.json) == ["schema", "figures", "notes"]
    shown = run("--compare", old, new).out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines()]
    assert ["recommend, cold", "3", "6", "s", "2.00", "slower"] in rows
    assert ["peak memory", "400", "400", "MiB", "1.00", "same"] in rows
    assert ["KV cache of a token", "23", "23", "KiB", "1.00", "same"] in rows
    assert "Measured" not in shown


BAD_FILES: dict[str, tuple[Any, int, str]] = {
    "another schema": ({**report(), "schema": 2}, 2, "it has schema 2; this trsr-lite compares schema 1 only"),
    "not JSON": (b"{", 4, "not valid JSON"),
    "empty": (b"", 4, "not valid JSON"),
    "a list": ([1], 4, "not a result of `trsr-lite bench --json`"),
    "of another command": ({"schema": 1, "findings": []}, 4, "not a result of `trsr-lite bench --json`"),
    "cut": ({**report(), "recommend": {"cold": both(1.0)}}, 4, "incomplete or of the wrong shape: KeyError('warm')"),
    "a text for a number": (changed("scoring", "best", value="fast"), 4, "incomplete or of the wrong shape"),
    "a list for an object": ({**report(), "machine": []}, 4, "incomplete or of the wrong shape"),
}


@pytest.mark.parametrize("case", BAD_FILES)
@pytest.mark.parametrize("as_new", [False, True])
def test_a_bad_file_is_refused_with_one_line(
    run: Run, save: Save, nothing_measured: None, case: str, as_new: bool
) -> None:
    content, code, words = BAD_FILES[case]
    bad, good = save(content, "bad.json"), save(report())
    outcome = run("--compare", good, bad) if as_new else run("--compare", bad)
    assert (outcome.code, outcome.out) == (code, "")
    line, hint = outcome.err.splitlines()
    assert line.startswith(f"Error: {bad}: {words}")
    assert hint.startswith("hint: ")


def test_a_file_that_is_missing_is_refused(run: Run, tmp_path: Path, nothing_measured: None) -> None:
    code, out, err = run("--compare", tmp_path / "none.json")
    assert (code, out) == (4, "")
    assert err.startswith(f"Error: {tmp_path / 'none.json'}: No such file")


def test_a_new_file_alone_is_wrong_usage(run: Run, save: Save, nothing_measured: None) -> None:
    code, out, err = run(save(report()))
    assert (code, out) == (2, "")
    assert "--compare OLD NEW" in err


# Energy


def zone(root: Path, name: str, kind: str, energy: int | None, most: int = 1_000) -> None:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{kind}\n")
    (folder / "max_energy_range_uj").write_text(f"{most}\n")
    if energy is not None:
        (folder / "energy_uj").write_text(f"{energy}\n")


@COLON
def test_only_packages_are_counted_and_each_once(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    zone(tmp_path, "intel-rapl:0:0", "core", 3)
    zone(tmp_path, "intel-rapl:1", "package-1", 7, 50)
    zone(tmp_path, "intel-rapl:2", "psys", 100)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 5)
    assert counters(tmp_path) == {"intel-rapl:0": Counter(5, 1_000), "intel-rapl:1": Counter(7, 50)}


@pytest.mark.parametrize(("before", "after", "difference"), [(10, 30, 20), (10, 10, 0), (990, 15, 25)])
def test_a_counter_may_wrap(before: int, after: int, difference: int) -> None:
    assert used(Counter(before, 1_000), Counter(after, 1_000)) == difference


@COLON
def test_a_meter_adds_all_packages_and_every_wrap(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 900)
    zone(tmp_path, "intel-rapl:1", "package-1", 0, 10_000)
    meter = Meter(tmp_path)
    assert meter.sample() == 0
    zone(tmp_path, "intel-rapl:0", "package-0", 100)  # 200 more
    zone(tmp_path, "intel-rapl:1", "package-1", 300, 10_000)
    assert meter.sample() == pytest.approx(500e-6)
    zone(tmp_path, "intel-rapl:0", "package-0", 50)  # 950 more
    assert meter.sample() == pytest.approx(1450e-6)


@COLON
def test_energy_that_one_package_hides_is_not_known(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    zone(tmp_path, "intel-rapl:1", "package-1", None)
    assert counters(tmp_path) == {}
    assert Meter(tmp_path).sample() is None


@COLON
@pytest.mark.parametrize("content", ["", "many\n"])
def test_a_counter_that_is_no_number_is_not_known(tmp_path: Path, content: str) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text(content)
    assert Meter(tmp_path).sample() is None


def test_a_machine_without_counters_has_no_energy(tmp_path: Path) -> None:
    assert counters(tmp_path / "none") == {}
    assert Meter(tmp_path / "none").sample() is None


@COLON
def test_energy_that_was_hidden_for_a_while_stays_unknown(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    meter = Meter(tmp_path)
    assert meter.sample() == 0
    (tmp_path / "intel-rapl:0" / "energy_uj").rename(tmp_path / "hidden")
    assert meter.sample() is None
    zone(tmp_path, "intel-rapl:0", "package-0", 50)
    assert meter.sample() is None


# Rounds


def test_work_is_done_in_turns_and_the_first_does_not_count(no_energy: Meter) -> None:
    done: list[str] = []

    def piece(name: str) -> Callable[[], float]:
        def work() -> float:
            done.append(name)
            return float(len(done))

        return work

    watch = Stopwatch(2, no_energy)
    assert watch.in_turns({"a": piece("a"), "b": piece("b")}) == {"a": [3.0, 5.0], "b": [4.0, 6.0]}
    assert done == ["a", "b"] * 3
    done.clear()
    assert watch.in_turns({"a": piece("a")}, warm_up=False) == {"a": [1.0, 2.0]}


def test_best_is_the_shortest_and_so_the_fastest_round() -> None:
    assert times([3.0, 1.0, 2.0]) == {"best": 1.0, "median": 2.0}
    assert rates(12, [3.0, 1.0, 2.0]) == {"best": 12.0, "median": 6.0}
    assert times([0.123456])["best"] == 0.1235
    assert ratio([1.0, 2.0, 9.0], [1.0, 4.0, 1.0]) == 1.0  # turn by turn, not of the medians


@COLON
def test_a_piece_of_work_knows_its_energy(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0, 10**9)
    watch = Stopwatch(1, Meter(tmp_path))
    zone(tmp_path, "intel-rapl:0", "package-0", 7_000_000, 10**9)  # spent before
    spent = watch.once(lambda: zone(tmp_path, "intel-rapl:0", "package-0", 9_000_000, 10**9))
    assert spent.joules == pytest.approx(2.0)
    assert spent.seconds > 0


# The machine


def test_the_peak_of_memory_is_what_linux_says(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t 9999 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 5 kB\n")
    assert machine.peak_memory(status) == 1234 * 1024


@pytest.mark.parametrize("text", [None, "Name: python\n", "VmHWM:\n", "VmHWM: much\n"])
def test_elsewhere_the_peak_of_memory_comes_from_the_process(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "status").write_text(text)
    assert machine.peak_memory(tmp_path / "status") > 1 << 20


def test_the_peak_of_memory_begins_anew_where_it_can(tmp_path: Path) -> None:
    machine.forget_peak(tmp_path / "clear_refs")
    assert (tmp_path / "clear_refs").read_text() == "5"
    machine.forget_peak(tmp_path)  # a folder: cannot be written


@pytest.mark.parametrize(
    ("busy", "own", "whole", "share"),
    [(8.0, 4.0, 10.0, 0.4), (4.0, 4.1, 10.0, 0.0), (30.0, 1.0, 10.0, 1.0), (0.0, 0.0, 10.0, None), (1.0, 0.5, 0, None)],
)
def test_others_are_busy_with_what_is_not_ours(busy: float, own: float, whole: float, share: float | None) -> None:
    assert machine.share_of_others(busy, own, whole) == share


# What is measured


@pytest.mark.parametrize(
    ("most", "steps"),
    [
        (1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8]),
        (12, [1, 4, 8, 12]), (16, [1, 4, 8, 16]), (64, [1, 16, 32, 64]),
    ],
)  # fmt: skip
def test_thread_steps_are_few_and_end_at_the_most(most: int, steps: list[int]) -> None:
    assert speeds.thread_steps(most) == steps


def test_samples_are_as_long_as_asked_and_the_same_again(tiny: Path) -> None:
    engine = LlamaEngine(tiny, identity="", vocab_only=True)
    assert [len(samples.tokens(engine, count, 1)) for count in (1, 60, 2000)] == [1, 60, 2000]
    engine.close()
    user = samples.user(25, 21, seed=3)
    assert (len(user.history), len(user.candidates), user.user_id) == (25, 21, "")
    assert len({item.id for item in (*user.history, *user.candidates)}) == 46
    assert samples.user(25, 21, seed=3) == user != samples.user(25, 21, seed=4)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of every batch that an engine has evaluated."""
    seen: list[int] = []
    step = LlamaEngine.step

    def spy(self: LlamaEngine, context: Any, tokens: Sequence[int], *more: Any) -> None:
        seen.append(len(tokens))
        step(self, context, tokens, *more)

    monkeypatch.setattr(LlamaEngine, "step", spy)
    return seen


ONE = EngineOptions(threads=1)


def test_prefill_evaluates_batches_of_the_size_it_names(tiny: Path, batches: list[int], no_energy: Meter) -> None:
    rows = speeds.prefill(ModelFile(tiny, "b2:1", 1), EngineOptions(threads=2), Stopwatch(1, no_energy))
    assert [(row["threads"], row["batch"]) for row in rows] == [
        (threads, batch) for threads in (1, 2) for batch in (1, 8, 32, 128, 512)
    ]
    one_turn = [batch for batch, times in speeds.BATCHES.items() for _ in range(times)]
    assert batches == one_turn * 4  # two numbers of threads, warmed up once


def test_a_small_context_leaves_large_batches_out(tiny: Path, no_energy: Meter) -> None:
    options = EngineOptions(threads=1, ctx_size=256)
    rows = speeds.prefill(ModelFile(tiny, "b2:1", 1), options, Stopwatch(1, no_energy))
    assert [row["batch"] for row in rows] == [1, 8, 32, 128]
    decoded = speeds.decode(ModelFile(tiny, "b2:1", 1), options, Stopwatch(1, no_energy))
    assert [row["sequences"] for row in decoded] == [1, 4]


def test_every_text_is_decoded_to_its_end_together_with_the_others(
    tiny: Path, batches: list[int], no_energy: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LlamaEngine, "ends", lambda *_: True)  # a model that would stop at once
    rows = speeds.decode(ModelFile(tiny, "b2:1", 1), ONE, Stopwatch(1, no_energy))
    assert [row["sequences"] for row in rows] == [1, 5, 16]
    turn = [size for texts in (1, 5, 16) for size in (32 * texts, *[texts] * 24)]
    assert batches == turn * 2


def test_scoring_and_raw_prefill_evaluate_as_many_tokens(tiny: Path, batches: list[int], no_energy: Meter) -> None:
    found, can_rewind = speeds.scoring(ModelFile(tiny, "b2:1", 1), ONE, Stopwatch(1, no_energy))
    assert (found["prefix_tokens"], found["candidates"], found["candidate_tokens"], can_rewind) == (600, 21, 1260, True)
    assert sum(batches) == 4 * 1860
    assert batches[:4] == [512, 512, 512, 324]  # raw prefill


def test_a_recurrent_model_is_measured_as_it_works(tiny_mamba: Path, no_energy: Meter) -> None:
    file, watch = ModelFile(tiny_mamba, "b2:1", 1), Stopwatch(1, no_energy)
    assert [row["sequences"] for row in speeds.decode(file, ONE, watch)] == [1, 4]
    assert speeds.kv_bytes(file, ONE) < 64  # its state does not grow


def test_the_kv_cache_of_a_token_is_keys_and_values_of_every_layer(tiny: Path) -> None:
    import gguf

    read = {name: field.contents() for name, field in gguf.GGUFReader(tiny).fields.items()}
    width = read["llama.embedding_length"] // read["llama.attention.head_count"]
    expected = 2 * 2 * read["llama.block_count"] * read["llama.attention.head_count_kv"] * width  # F16, K and V
    assert 0 <= speeds.kv_bytes(ModelFile(tiny, "b2:1", 1), ONE) - expected < 64  # its position beside them


def test_each_distinct_model_is_loaded_and_named_by_its_roles(
    tiny: Path, make_recommender: Callable[..., Recommender], no_energy: Meter
) -> None:
    same, other = ModelFile(tiny, "b2:1", 1), ModelFile(tiny, "b2:2", 1)
    shared = make_recommender(recommender=same, summarizer=same).bundle
    (row,) = speeds.loading(shared, ONE, Stopwatch(1, no_energy))
    assert (row["file"], row["roles"]) == ("tiny.gguf", ["recommender", "summarizer"])
    apart = make_recommender(recommender=same, summarizer=other).bundle
    assert [row["roles"] for row in speeds.loading(apart, ONE, Stopwatch(1, no_energy))] == [
        ["recommender"], ["summarizer"],
    ]  # fmt: skip


def test_cold_makes_every_summary_in_every_round_and_warm_none(
    make_recommender: Callable[..., Recommender],
    opened: list[tuple[str, bool]],
    no_energy: Meter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, int]] = []
    recommend = Recommender.recommend

    def spy(self: Recommender, user: Any, **more: Any) -> Any:
        asked.append((len(user.history), len(user.candidates)))
        return recommend(self, user, **more)

    monkeypatch.setattr(Recommender, "recommend", spy)
    spent, made = measurements.recommending(make_recommender, Stopwatch(2, no_energy))
    assert made == {"cold": {"summaries": 7}, "warm": {"summaries": 0}, "appended": {"summaries": 0}}
    assert {state: len(rounds) for state, rounds in spent.items()} == {"cold": 2, "warm": 2, "appended": 2}
    assert asked == [(25, 21), (25, 21), (26, 21)] * 2
    assert opened == [("summarizer.gguf", False), ("recommender.gguf", False)] * 2  # loaded anew for each cold round


def test_summaries_are_made_again_in_every_round(
    make_recommender: Callable[..., Recommender], no_energy: Meter
) -> None:
    rows = measurements.summarizing(make_recommender, Stopwatch(2, no_energy))
    assert [(row["users"], row["items"], row["summaries"]) for row in rows] == [(1, 25, 7), (8, 25, 56)]


def test_a_model_without_summaries_has_no_rate_of_them(
    make_recommender: Callable[..., Recommender], no_energy: Meter
) -> None:
    def load() -> Recommender:
        return make_recommender(Settings(strategy="none"))

    assert measurements.summarizing(load, Stopwatch(1, no_energy)) == []
    assert measurements.recommending(load, Stopwatch(1, no_energy))[1]["cold"] == {"summaries": 0}


# The command


KEYS = {
    "schema": int, "machine": dict, "model": dict, "conditions": dict, "load_seconds": list, "prefill": list,
    "decode": list, "scoring": dict, "summaries": list, "recommend": dict, "memory_bytes": int,
    "kv_bytes_per_token": int, "energy_joules": (dict, type(None)), "advice": list,
}  # fmt: skip


def test_the_whole_command_prints_every_figure_as_json_and_leaves_no_trace(
    run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("TRSR_LITE_CACHE_DIR", str(own))
    outcome = run("-m", tiny, "--quick", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    data = outcome.json  # nothing else is on stdout
    assert list(data) == list(KEYS)
    assert [name for name, kind in KEYS.items() if not isinstance(data[name], kind)] == []
    found = list(figures(data))
    assert len(found) == 1 + 5 + 3 + 2 + 2 + 3 + 2 + (data["energy_joules"] is not None)
    assert [figure for figure in found if min(figure.best, figure.median) <= 0] == []
    assert all(figure.best <= figure.median for figure in found if figure.unit == "s")
    assert all(figure.best >= figure.median for figure in found if figure.unit != "s")
    assert [row["users"] for row in data["summaries"]] == [1, 8]
    assert data["recommend"]["cold"]["summaries"] == 7
    assert data["scoring"]["ratio"] > 0
    assert (data["conditions"]["quick"], data["conditions"]["rounds"], data["conditions"]["threads"]) == (True, 2, 1)
    assert data["model"]["files"][0]["bytes"] == tiny.stat().st_size
    assert {line["rule"] for line in data["advice"]} <= {rule.__name__ for rule in advice.RULES}
    assert not own.exists()
    assert not (tmp_path / "home" / "cache").exists()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_tables_show_every_figure_and_the_advice(
    run: Run, short: None, tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[dict[str, Any]] = []
    measure = measurements.run

    def spy(*arguments: Any, **more: Any) -> dict[str, Any]:
        made.append(measure(*arguments, **more))
        return made[-1]

    monkeypatch.setattr(measurements, "run", spy)
    monkeypatch.setattr(measurements, "Meter", lambda: Meter(tmp_path / "none"))
    code, out, err = run("-m", tiny, "--quick")
    assert (code, err) == (0, "")
    for name in [figure.name for figure in figures(made[0]) if not figure.name.startswith("prefill, ")]:
        assert f"│ {name} " in out
    for words in ("not exposed here", "512 tokens", "1 thread", "of all processors"):
        assert words in out
    shown = " ".join(out.split())
    assert made[0]["advice"]
    for line in made[0]["advice"]:
        assert f"• {line['text']}" in shown


def test_a_fresh_run_is_compared_with_a_file(run: Run, short: None, tiny: Path, save: Save) -> None:
    outcome = run("-m", tiny, "--quick", "--json", "--compare", save(report()))
    assert (outcome.code, outcome.err) == (0, "")
    assert list(outcome.json) == ["schema", "figures", "notes", "new"]
    assert list(outcome.json["new"]) == list(KEYS)
    assert row(outcome.json, "recommend, cold")["new"] == outcome.json["new"]["recommend"]["cold"]["best"]
    assert any(note.startswith("another model: was m, is tiny") for note in outcome.json["notes"])
    assert (
        run("--compare", save(outcome.json["new"]), save(report(), "b.json")).code == 0
    )  # what is printed can be read


def test_a_warning_of_the_model_is_shown_once(run: Run, short: None, tiny_mamba: Path) -> None:
    outcome = run("-m", tiny_mamba, "--quick", "--json")
    assert outcome.code == 0
    assert outcome.err.count("cannot rewind") == 1
    assert not outcome.json["model"]["can_rewind"]
    assert {"slow_scoring"} <= {line["rule"] for line in outcome.json["advice"]}


def test_energy_is_shown_where_it_is_exposed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from trsr_lite.cli import bench_tables, tables

    energy = {"total": 90.0, "recommend": {"cold": 30.0, "warm": 9.25, "appended": None}}
    bench_tables.print_report(changed("energy_joules", value=energy), tables.console())
    out = capsys.readouterr().out
    assert "cold 30 J, warm 9.25 J" in out
    assert "not exposed" not in out


def test_names_are_shown_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    from trsr_lite.cli import bench_tables, tables

    named = copy.deepcopy(report())
    named["model"]["name"] = named["machine"]["processor"] = named["load_seconds"][0]["roles"][0] = "[/b]\x1b]0;x\x07"
    bench_tables.print_report(named, tables.console())
    bench_tables.print_comparison(compare(report(), named), tables.console())
    out = capsys.readouterr().out
    assert "[/b]" in out
    assert not {"\x1b", "\x07"} & set(out)


@pytest.mark.parametrize("name", ["missing.gguf", "text.gguf"])
def test_a_model_that_cannot_be_used_exits_with_3(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "text.gguf").write_text("hello\n")
    code, out, err = run("-m", tmp_path / name, "--quick", "--json")
    assert (code, out) == (3, "")
    assert err.startswith(f"Error: {tmp_path / name}: ")
    assert "Traceback" not in err


@pytest.mark.parametrize("option", ["--cache-dir", "--strategy"])
def test_options_that_would_change_nothing_are_not_offered(run: Run, option: str) -> None:
    assert run(option, "x").code == 2


def test_help_says_what_is_measured(run: Run) -> None:
    out = run("--help").out
    for word in ("--quick", "--compare", "--threads", "--json", "Your stored summaries are not touched"):
        assert word in " ".join(out.split())


def test_measuring_needs_no_module_of_training() -> None:
    import subprocess

    code = "import trsr_lite.cli.bench, trsr_lite.bench.measurements, sys; print(sorted({'torch'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
