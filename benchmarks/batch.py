"""Many users: a batch against a loop over `recommend`, Ray against plain processes, a batch whose processes are killed.

python -m benchmarks.batch speed [--users 30]       two workers of one thread, one of two, and the loop
python -m benchmarks.batch ray   [--users 100]      two Ray workers against two processes, one thread each
python -m benchmarks.batch kills [--users 1000]     a tiny model; every user once, as an undisturbed run has it
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks import default
from benchmarks.measure import in_turns, ratio, report
from trsr_lite.batch import BatchOptions, run
from trsr_lite.bench import samples
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.engine.threads import default_threads
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.recommender.user_files import read_users

Found = tuple[str, list[tuple[str, str, str]], dict[str, Any]]  # what `report` takes
HISTORY, CANDIDATES, WORDS = 23, 12, 8  # words of a description, beside a title of six
TESTS = Path(__file__).parents[1] / "tests"
PARTS = 8  # partitions of the Ray benchmark, for each worker
PAUSE = (3.0, 12.0)  # seconds between two kills
QUOTED = {"speed": (30, 2), "ray": (100, 1), "kills": (1000, 1)}  # users and rounds of the figures that pages quote


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    for name, (users, rounds) in QUOTED.items():
        part = parts.add_parser(name)
        part.add_argument("--users", type=int, default=users)
        part.add_argument("--rounds", type=int, default=rounds)
        part.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = {"speed": speed, "ray": ray, "kills": kills}[chosen.part]
        report(*work(Path(folder), chosen.users, chosen), whole=chosen == parser.parse_args([chosen.part]))


def speed(folder: Path, count: int, chosen: argparse.Namespace) -> Found:
    """Users a second of the loop, of one worker with all threads, and of one worker a core."""
    cores = default_threads()
    users = write_users(folder / "users.jsonl", count, chosen.seed)
    load = partial(
        Recommender.load, default.bundle().recommender.path.parent, offline=True, domain="news", cache_size=0
    )
    place = fresh(folder)

    def opened(cache: Path, threads: int | None) -> Recommender:
        return load(options=EngineOptions(threads or cores), cache_dir=cache)

    def loop(cache: Path) -> None:
        with opened(cache, None) as recommender:
            for user in read_users(users):
                recommender.recommend(user, k=10)

    def batch(workers: int, cache: Path) -> None:
        run(
            BatchOptions(users=str(users), output=str(next(place)), partition_users=-(-count // (2 * cores))),
            partial(opened, cache),
            workers=workers,
            threads=cores // workers,
        )

    ways: dict[str, Callable[[Path], None]] = {
        "loop": loop,
        f"1 worker of {cores}": partial(batch, 1),
        f"{cores} workers of 1": partial(batch, cores),
    }
    full = next(place)
    loop(full)
    work: dict[str, Callable[[], object]] = {f"{name}, empty": partial(_into, way, place) for name, way in ways.items()}
    work |= {f"{name}, full": partial(way, full) for name, way in ways.items()}
    seconds = in_turns(work, chosen.rounds, warm_up=False)
    rows = []
    for state, required in (("empty", "≥ 2×"), ("full", "≥ 1.0×")):
        for name in ways:
            rate = count * len(seconds[f"{name}, {state}"]) / sum(seconds[f"{name}, {state}"])
            gain = ratio(seconds[f"loop, {state}"], seconds[f"{name}, {state}"])
            rows.append((f"{state} cache, {name}: users a second", f"{rate:.3f} ({gain:.2f}×)", required))
    shape = {"users": count, "history": HISTORY, "candidates": CANDIDATES, "words": samples.TITLE + WORDS}
    return "batch", rows, {**shape, "threads": cores, "seconds": seconds}


def ray(folder: Path, count: int, chosen: argparse.Namespace) -> Found:
    """Two workers of one thread each, as actors and as processes that have half of the users each."""
    users = write_users(folder / "users.jsonl", count, chosen.seed)
    halves = [folder / f"half-{number}.jsonl" for number in range(2)]
    lines = users.read_text(encoding="utf-8").splitlines(keepends=True)
    for number, half in enumerate(halves):
        half.write_text("".join(lines[number::2]), encoding="utf-8")
    place, steady = fresh(folder), dict[str, list[float]](plain=[], ray=[])
    size = str(-(-count // (2 * PARTS)))

    def command(file: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
        return start(default.bundle().recommender.path.parent, file, out, next(place), "--partition-users", size, *more)

    def plain() -> None:
        outs = [next(place), next(place)]
        for process in [command(half, out) for half, out in zip(halves, outs, strict=True)]:
            assert process.wait() == 0
        steady["plain"].append(rate(outs))

    def actors() -> None:
        out = next(place)
        assert command(users, out, "--engine", "ray", "--workers", "2").wait() == 0
        steady["ray"].append(rate([out]))

    seconds = in_turns({"plain": plain, "ray": actors}, chosen.rounds, warm_up=False)
    lost = 1 - ratio(steady["ray"], steady["plain"])
    rows = [
        ("lost between the first and the last part", f"{lost:.1%}", "≤ 10 %"),
        ("whole run, starting Ray included, Ray / plain", f"{ratio(seconds['ray'], seconds['plain']):.2f}×", ""),
    ]
    return "batch_ray", rows, {"users": count, "seconds": seconds, "users_a_second": steady}


def kills(folder: Path, count: int, chosen: argparse.Namespace) -> Found:
    """Kill workers and the driver at random until the batch is done, and compare with an undisturbed one."""
    sys.path.insert(0, str(TESTS))
    import tiny_gguf

    model = tiny_gguf.write_llama(folder / "tiny.gguf")
    users = write_users(folder / "users.jsonl", count, chosen.seed)
    options = ("--partition-users", "20", "--strategy", "hierarchical")
    assert start(model, users, folder / "calm", folder / "cache-calm", *options).wait() == 0
    source, killed, out = random.Random(chosen.seed), {"worker": 0, "driver": 0}, folder / "out"
    more = (*options, "--engine", "ray", "--workers", "2", "--resume")
    while True:
        driver = start(model, users, out, folder / "cache", *more)
        while driver.poll() is None:
            time.sleep(source.uniform(*PAUSE))
            if driver.poll() is None and (there := actors_of(driver.pid)):
                victim = source.choice(["worker", "driver"])
                killed[victim] += 1
                (source.choice(there) if victim == "worker" else driver).kill()
        if driver.returncode == 0:
            break
        assert driver.returncode < 0, "the batch failed by itself"
    lines = [line for path in sorted(out.glob("part-*")) for line in path.read_text(encoding="utf-8").splitlines()]
    ids = [json.loads(line)["user_id"] for line in lines]
    same = [path.read_bytes() == (out / path.name).read_bytes() for path in sorted((folder / "calm").glob("part-*"))]
    rows = [
        ("kills: workers, drivers", f"{killed['worker']}, {killed['driver']}", ""),
        ("users, each exactly once", f"{len(ids)} ({len(set(ids))} different)", str(count)),
        ("files equal to an undisturbed run's", f"{sum(same)} of {len(same)}", "all"),
    ]
    return "batch_kills", rows, {"users": count, "killed": killed}


def write_users(path: Path, count: int, seed: int) -> Path:
    """Users of HISTORY items and CANDIDATES candidates."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            items = samples.items(HISTORY + CANDIDATES, seed * 1_000_000 + number, WORDS)
            entries = [{"id": item.id, **item.attributes} for item in items]
            row = {"user_id": f"u{number}", "history": entries[:HISTORY], "candidates": entries[HISTORY:]}
            file.write(json.dumps(row) + "\n")
    return path


def start(model: Path, users: Path, out: Path, cache: Path, *more: str) -> subprocess.Popen[bytes]:
    """`trsr-lite batch` in a process of its own, one thread for each worker."""
    command = [*default.PROGRAM, "batch", "--users", users, "--output", out, "-m", model]
    command += ["--cache-dir", cache, "--threads", "1", "--offline", *more]
    return subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.DEVNULL,
        stderr=None if "TRSR_LITE_SHOW" in os.environ else subprocess.DEVNULL,
        env=default.environment(),
    )


def fresh(folder: Path) -> Iterator[Path]:
    """Names of folders that do not exist."""
    number = 0
    while True:
        number += 1
        yield folder / f"fresh-{number}"


def rate(folders: list[Path]) -> float:
    """Users a second from the first commit to the last, over all folders."""
    commits = sorted(
        (path.stat().st_mtime, path.read_bytes().count(b"\n")) for folder in folders for path in folder.glob("part-*")
    )
    return sum(users for _, users in commits[1:]) / (commits[-1][0] - commits[0][0])


def actors_of(driver: int) -> list[psutil.Process]:
    """Processes of the Ray workers that have begun."""
    found, ended = [], (psutil.NoSuchProcess, psutil.AccessDenied)
    with suppress(*ended):
        for child in psutil.Process(driver).children(recursive=True):
            with suppress(*ended):
                if "_Actor" in " ".join(child.cmdline()):
                    found.append(child)
    return found


def _into(way: Callable[[Path], None], place: Iterator[Path]) -> None:
    way(next(place))


if __name__ == "__main__":
    main()
