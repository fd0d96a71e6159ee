"""A conversion that was stopped in any step goes on where it was, and nothing half made is ever at the target."""

from __future__ import annotations

import errno
import json
import os
import pkgutil
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conversion.conftest import LISTS, LOOSE, NEAR_TIES
from tests.training.conftest import program
from trsr_lite import TrsrError
from trsr_lite.io.digests import file_digest
from trsr_lite.models import bundle

STEPS = ("reference", "merged", "gguf", "quantize Q8_0", "summarizer")
BY_STEP = {  # what is killed: the function that does the work of the step
    "reference": "trsr_lite.training.torch_scorer.Scorer.margins",
    "merged": "trsr_lite.conversion.merge.save",
    "gguf": "trsr_lite.conversion.gguf.convert",
    "quantize Q8_0": "trsr_lite.engine.model.quantize",
    "summarizer": "trsr_lite.conversion.summarizer_source.copy",
    "verify": "trsr_lite.conversion.comparison.compare",
    "finish": "trsr_lite.conversion.model_card.text",
}

KILLED = """
import os, pathlib, pkgutil, shutil, signal, sys
*dotted, name = sys.argv[1].split(".")
owner = pkgutil.resolve_name(".".join(dotted))
work = getattr(owner, name)
def die(*arguments, **options):
    for path in arguments:
        if isinstance(path, pathlib.Path) and path.name.startswith((".making-", "making-")):
            path.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, die)
from trsr_lite.cli import run
sys.exit(run(sys.argv[2:]))
"""


def staging(target: Path) -> Path:
    return target.with_name(f".{target.name}.convert")


def marks(target: Path) -> dict[str, Any]:
    return json.loads((staging(target) / "steps.json").read_text())["steps"]


def counted(patch: pytest.MonkeyPatch) -> list[str]:
    """The names of the steps that are really done from now on."""
    from trsr_lite.conversion.staging import Staging

    done: list[str] = []
    step = Staging.step

    def count(self: Staging, name: str, make: Any, result: str | None = None, **options: Any) -> Any:
        def counting(place: Path) -> Any:
            done.append(name)
            return make(place)

        return step(self, name, counting, result, **options)

    patch.setattr(Staging, "step", count)
    return done


def test_a_conversion_that_is_done_but_for_its_end_does_nothing_again(
    staged: Any, convert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = staged()
    done = counted(monkeypatch)
    convert(source.run, target)
    assert done == []
    assert not staging(target).exists()


@pytest.mark.parametrize("step", ["merged", "summarizer"])
def test_only_what_was_not_finished_is_done_again(
    step: str, staged: Any, convert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = staged(without=(step,))
    done = counted(monkeypatch)
    (staging(target) / f"making-{step}").write_bytes(b"half of it")
    convert(source.run, target)
    assert done == [step]
    assert bundle.load(target, file_digest).trained


@pytest.mark.parametrize("step", BY_STEP)
def test_a_conversion_that_was_interrupted_in_any_step_continues(
    step: str, staged: Any, convert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    *dotted, name = BY_STEP[step].split(".")
    owner = pkgutil.resolve_name(".".join(dotted))
    source, target = staged(without=(step,) if step in STEPS else ())
    before = set(marks(target))

    def stop(*arguments: Any, **options: Any) -> None:
        for path in arguments:
            if isinstance(path, Path) and "making-" in path.name:
                path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    kind = {"recommender_type": "Q8_0", **LOOSE} if step.startswith("quantize") else {}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, name, stop)
        convert(source.run, target, **kind)
    assert not target.exists() and set(marks(target)) == before
    done = counted(monkeypatch)
    convert(source.run, target, **kind)
    assert done == ([step] if step in STEPS else [])
    assert bundle.load(target, file_digest).trained and not staging(target).exists()


def test_a_conversion_that_was_killed_continues(
    staged: Any, convert: Any, converter: Any, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = staged(without=("merged",))
    before = set(marks(target))
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    asked = ["convert", source.run, "--output", target, "--recommender-type", "F16", "--summarizer", tiny, "--offline"]
    asked += ["--llama-cpp", converter.folder, "--min-tau-float", NEAR_TIES, "--lists", LISTS]
    killed = program(script, BY_STEP["merged"], *asked)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not target.exists() and set(marks(target)) == before
    done = counted(monkeypatch)
    convert(source.run, target)
    assert done == ["merged"]
    assert bundle.load(target, file_digest).trained


@pytest.mark.parametrize("failing", range(1, 6))
def test_a_bundle_that_could_not_be_put_in_place_is_not_lost(
    failing: int, staged: Any, convert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step is several renames; after any of them, the same command goes on and the old bundle is there."""
    source, target = staged()
    convert(source.run, target)
    old = {path.name: file_digest(path) for path in target.iterdir()}
    shutil.rmtree(target.with_name("kept"), ignore_errors=True)
    shutil.copytree(source.staged, staging(target))
    renames = 0
    rename = Path.rename

    def interrupted(self: Path, other: Path) -> Path:
        nonlocal renames
        if staging(target) in self.parents or self == target:
            renames += 1
            if renames > failing:
                raise KeyboardInterrupt
        return rename(self, other)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", interrupted)
        convert(source.run, target, force=True)
    assert not target.exists() or {path.name: file_digest(path) for path in target.iterdir()} == old
    done = counted(monkeypatch)
    convert(source.run, target, force=True)
    assert done == [] and not staging(target).exists()
    assert bundle.load(target, file_digest).trained


def test_another_run_or_other_options_start_anew(staged: Any, convert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from trsr_lite.conversion.staging import Staging

    _, target = staged()
    again = Staging(target, {"options": "others"}, force=False)
    assert marks(target) == {} and not (staging(target) / "merged").exists()
    assert again.seconds == {}


def test_looking_at_the_run_does_not_start_anew(staged: Any, convert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading an adapter writes its configuration again, which changes its time and nothing else."""
    source, target = staged()
    for path in (source.run / "adapter").iterdir():
        os.utime(path)
    done = counted(monkeypatch)
    convert(source.run, target)
    assert done == []


@pytest.mark.parametrize("step", ["merged", "summarizer"])
def test_a_full_disk_keeps_finished_steps(
    step: str, staged: Any, convert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors

    from trsr_lite.conversion import merge, summarizer_source

    def full(*arguments: Any, **options: Any) -> None:
        if step == "merged":
            raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "summarizer.gguf")

    source, target = staged(without=(step,))
    with monkeypatch.context() as patch:
        patch.setattr(merge, "save", full)
        patch.setattr(summarizer_source, "copy", full)
        with pytest.raises(TrsrError, match=f"step {step}: .*No space left") as caught:
            convert(source.run, target)
    assert caught.value.exit_code == 1 and "same command" in str(caught.value.hint)
    assert not target.exists()
    done = counted(monkeypatch)
    convert(source.run, target)
    assert done == [step]


def test_a_disk_that_is_too_small_is_refused_before_work(
    staged: Any, convert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    source, target = staged(without=("merged",))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100, 99, 1))
    with pytest.raises(TrsrError, match=r"needs .* MiB for a while; 0 MiB are free"):
        convert(source.run, target)


def test_room_is_asked_for_the_summarizer_too(
    staged: Any, convert: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trsr_lite.conversion.staging import Staging
    from trsr_lite.training import base_model

    asked: list[int] = []
    monkeypatch.setattr(Staging, "require", lambda self, size: asked.append(size))
    monkeypatch.setattr(base_model, "parameters", lambda *_, **__: 1000)
    source, target = staged()
    convert(source.run, target)
    assert asked == [9 * 1000 + tiny.stat().st_size]


def test_what_is_staged_already_needs_no_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple

    from trsr_lite.conversion.staging import Staging

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100, 99, 1 << 20))
    opened = Staging(tmp_path / "bundle", {}, force=False)
    (opened.folder / "merged").mkdir()
    (opened.folder / "merged" / "model.safetensors").write_bytes(bytes(2 << 20))
    opened.require(3 << 20)
    with pytest.raises(TrsrError, match=r"needs 2 MiB for a while; 1 MiB are free"):
        opened.require(5 << 20)


def test_a_conversion_that_was_killed_while_cleaning_up_can_be_forced_again(staged: Any, convert: Any) -> None:
    source, target = staged()
    shutil.copytree(source.bundle, target)
    shutil.copytree(source.bundle, staging(target) / "replaced")
    convert(source.run, target, force=True)
    assert bundle.load(target, file_digest).trained and not staging(target).exists()


def test_another_summarizer_keeps_the_other_steps(
    staged: Any, convert: Any, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = staged()
    done = counted(monkeypatch)
    made = convert(source.run, target, summarizer=str(source.staged / "merged-F16.gguf"), summarizer_type="Q8_0")
    assert done == ["summarizer"] and made.summarizer.type == "Q8_0"


def test_other_lists_keep_all_but_the_reference(staged: Any, convert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = staged()
    done = counted(monkeypatch)
    assert convert(source.run, target, lists=LISTS - 1).verified["lists"] == LISTS - 1
    assert done == ["reference"]


def test_a_summarizer_that_cannot_be_made_fails_before_the_verification(
    staged: Any, convert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trsr_lite import ModelError
    from trsr_lite.conversion import comparison, summarizer_source

    def fail(*arguments: Any, **options: Any) -> None:
        raise ModelError("cannot be copied")

    source, target = staged(without=("summarizer",))
    monkeypatch.setattr(summarizer_source, "copy", fail)
    monkeypatch.setattr(comparison, "compare", lambda *_: pytest.fail("it was verified"))
    with pytest.raises(ModelError, match="cannot be copied"):
        convert(source.run, target)


def test_two_conversions_to_one_place_do_not_meet(staged: Any, convert: Any) -> None:
    from trsr_lite import SettingsError
    from trsr_lite.conversion.staging import alone

    source, target = staged()
    with alone(target):
        with pytest.raises(SettingsError, match="another conversion is making it"):
            convert(source.run, target)
        assert marks(target), "nothing of the other one was touched"
    convert(source.run, target)
    assert bundle.load(target, file_digest).trained


def test_a_manifest_that_cannot_be_written_is_one_line(
    staged: Any, convert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    source, target = staged()
    with monkeypatch.context() as patch, pytest.raises(TrsrError, match="No space left") as caught:
        patch.setattr(bundle.Bundle, "write", full)
        convert(source.run, target)
    assert "same command" in str(caught.value.hint) and not target.exists()
