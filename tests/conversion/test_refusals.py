"""What cannot be converted is refused by its name, before work is done and with the next step."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trsr_lite import ModelError, SettingsError, TrsrError
from trsr_lite.cli import run as cli

links = pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")


@pytest.fixture
def run(runs: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of a finished run, to be changed."""
    shutil.copytree(runs["llama"], tmp_path / "run")
    return tmp_path / "run"


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target_modules": ["q_proj", "lm_head"]}, "lm_head"),
        ({"target_modules": ["embed_tokens"]}, "embed_tokens"),
        ({"target_modules": "all-linear"}, "all-linear"),
        ({"modules_to_save": ["lm_head"]}, "lm_head"),
        ({"trainable_token_indices": [1]}, "new tokens"),
        ({"use_dora": True}, "of a kind that cannot be converted"),
        ({"bias": "all"}, "of a kind that cannot be converted"),
        ({"peft_type": "LOHA"}, "LOHA"),
    ],
    ids=str,
)
def test_an_adapter_that_no_gguf_can_carry_is_refused(
    run: Path, convert: Any, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    edit(run / "adapter" / "adapter_config.json", **changes)
    with pytest.raises(ModelError, match=words):
        convert(run, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists() and not (tmp_path / ".bundle.convert").exists()


def test_a_base_that_changed_since_training_is_named_with_both_digests(run: Path, convert: Any, tmp_path: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    digest = record["base"]["digest"]
    edit(run / "run.json", base={**record["base"], "digest": "b2:other"})
    with pytest.raises(ModelError, match=f"digest is {digest}, and was b2:other"):
        convert(run, tmp_path / "bundle")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_base_is_another_with_another_configuration_or_tokenizer(
    run: Path, convert: Any, tiny_base: Path, name: str, tmp_path: Path
) -> None:
    """Its weights are the same. A run from before this was recorded is converted as it was."""
    shutil.copytree(tiny_base, tmp_path / "base")
    record = json.loads((run / "run.json").read_text())
    record["config"]["options"]["base"] = str(tmp_path / "base")
    (tmp_path / "base" / name).write_text((tmp_path / "base" / name).read_text() + "\n")
    edit(run / "run.json", config=record["config"])
    with pytest.raises(ModelError, match="the base has changed since training: configuration is"):
        convert(run, tmp_path / "bundle")
    del record["base"]["configuration"], record["base"]["files"]
    edit(run / "run.json", base=record["base"])
    assert convert(run, tmp_path / "bundle").trained


def test_a_scorer_computes_nothing_on_a_base_that_changed(run: Path) -> None:
    from trsr_lite.training.torch_scorer import Scorer

    record = json.loads((run / "run.json").read_text())
    edit(run / "run.json", base={**record["base"], "digest": "b2:other"})
    for base_model in (False, True):
        with pytest.raises(ModelError, match="the base has changed since training"):
            _ = Scorer(run, base_model=base_model, offline=True).model


def test_a_base_of_the_hub_is_that_of_the_training_whatever_its_branch_has_now() -> None:
    from trsr_lite.training.base_model import of_run
    from trsr_lite.training.train_options import TrainOptions

    options = TrainOptions(base="user/base", revision="main")
    record = {"base": {"name": "user/base", "revision": "0123abc"}}
    assert of_run(record, options, offline=True).revision == "0123abc"
    assert of_run({"base": {"digest": "b2:0"}}, options, offline=True).revision == "main"


def test_a_summarizer_that_is_not_there_is_refused_before_work(run: Path, convert: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("to do")
    for name in (str(tmp_path / "none.gguf"), str(tmp_path / "notes.txt"), "user/nowhere", "user/nowhere:Q4_0"):
        with pytest.raises(ModelError, match=Path(name).name.partition(":")[0]):
            convert(run, tmp_path / "bundle", summarizer=name)
    assert not (tmp_path / ".bundle.convert").exists()


def test_a_run_that_is_not_finished_is_refused(run: Path, convert: Any, tmp_path: Path) -> None:
    edit(run / "run.json", status="running")
    with pytest.raises(ModelError, match="is not finished"):
        convert(run, tmp_path / "bundle")
    assert cli(["convert", "merge", str(run), "--output", str(tmp_path / "merged")]) == 3


def test_a_run_without_lists_is_refused(run: Path, convert: Any, tmp_path: Path) -> None:
    (run / "lists.jsonl").unlink()
    with pytest.raises(TrsrError, match=r"no lists\.jsonl to verify on"):
        convert(run, tmp_path / "bundle")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{lines}\n\n{lines}", "line {after} is not a list"),
        ("{lines}\n{cut}", "line {after} is not a list"),
        ('{lines}\n{{"summary": null}}\n', "line {after} is not a list"),
        ('{lines}\n{{"summary": null, "recent": [{{}}], "candidates": []}}\n', "line {after} is not a list"),
        ("", "no lists.jsonl to verify on"),
    ],
    ids=["empty line", "cut line", "incomplete", "no item", "empty file"],
)
def test_damaged_lists_are_said_with_their_line(
    run: Path, content: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "lists.jsonl"
    lines = path.read_text().rstrip("\n")
    path.write_text(content.format(lines=lines, cut=lines[:50]))
    assert cli(["convert", str(run), "--output", str(tmp_path / "bundle")]) == 4
    said = capsys.readouterr().err
    assert "lists.jsonl" in said and words.format(after=lines.count("\n") + 2) in said


def test_a_run_of_all_weights_has_no_adapter_to_keep_apart(run: Path, convert: Any, tmp_path: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    record["config"]["options"]["full"] = True
    edit(run / "run.json", config=record["config"])
    with pytest.raises(SettingsError, match="no adapter to keep apart"):
        convert(run, tmp_path / "bundle", adapter_only=True)


def test_an_output_that_exists_is_kept_without_force(
    run: Path, made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "bundle"
    shutil.copytree(made().bundle, target)
    before = sorted(path.name for path in target.iterdir())
    assert cli(["convert", str(run), "--output", str(target)]) == 2
    assert "already exists" in (said := capsys.readouterr().err) and "--force" in said
    assert sorted(path.name for path in target.iterdir()) == before


EVERY = pytest.mark.parametrize("command", [[], ["merge"], ["gguf"], ["quantize", "--type", "Q8_0"]], ids=str)


@EVERY
def test_an_output_that_cannot_be_looked_at_is_one_line(
    run: Path, tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["convert", *command, str(run), "--output", str(tmp_path / ("a" * 300))]) == 3
    assert "cannot be looked at: File name too long" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["merge"]], ids=["bundle", "merge"])
def test_force_replaces_no_file_by_a_folder(
    run: Path, tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("to do")
    assert cli(["convert", *command, str(run), "--output", str(tmp_path / "notes.txt"), "--force"]) == 2
    assert "so `--force` does not" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "to do"


@EVERY
def test_force_never_deletes_what_convert_did_not_make(
    run: Path, tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / "photos"
    precious.mkdir()
    (precious / "summer.jpg").write_text("beach")
    assert cli(["convert", *command, str(run), "--output", str(precious), "--force"]) == 2
    assert "`--force`" in capsys.readouterr().err
    assert (precious / "summer.jpg").read_text() == "beach"


@pytest.mark.parametrize("name", ["again", pytest.param("link", marks=links)])
def test_force_replaces_a_bundle(made: Any, convert: Any, staged: Any, name: str) -> None:
    source, target = staged()
    shutil.copytree(source.bundle, target)
    manifest = json.loads((target / "manifest.json").read_text())
    (target / "manifest.json").write_text(json.dumps({**manifest, "trained": False}))
    if name == "link":
        target.with_name(name).symlink_to(target)
    convert(source.run, target.with_name(name), force=True)
    assert json.loads((target / "manifest.json").read_text())["trained"]
    assert {path.name for path in target.parent.iterdir()} == {target.name, name}


def test_a_type_that_does_not_exist_is_refused() -> None:
    from trsr_lite.conversion.convert_options import ConvertOptions

    with pytest.raises(SettingsError, match="recommender_type is 'Q9_0'"):
        ConvertOptions(recommender_type="Q9_0")
    with pytest.raises(SettingsError, match="summarizer_type is 'auto'"):
        ConvertOptions(summarizer_type="auto")
    with pytest.raises(SettingsError, match="lists is 0"):
        ConvertOptions(lists=0)


def test_what_is_quantized_is_not_quantized_again(made: Any, tmp_path: Path) -> None:
    from trsr_lite.conversion import gguf

    source = made().staged / "merged-F16.gguf"
    gguf.quantize(source, tmp_path / "q8.gguf", "Q8_0")
    with pytest.raises(SettingsError, match="Q8_0 already; quantizing twice") as caught:
        gguf.quantize(tmp_path / "q8.gguf", tmp_path / "q4.gguf", "Q4_0")
    assert "F16" in str(caught.value.hint)
    with pytest.raises(SettingsError, match="no tensor type 'Q9'"):
        gguf.quantize(source, tmp_path / "q4.gguf", "Q9")


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    from trsr_lite.conversion import gguf

    (tmp_path / "text.gguf").write_text("hello")
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03\0\0\0")
    for name in ("text", "cut"):
        with pytest.raises(ModelError, match="not a GGUF"):
            gguf.tensor_types(tmp_path / f"{name}.gguf")


# The converter


@pytest.mark.parametrize("command", [[], ["gguf"]], ids=["bundle", "gguf"])
def test_what_cannot_be_converted_is_said_before_the_converter_is_fetched(
    tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from trsr_lite.conversion import llama_cpp_scripts

    monkeypatch.setattr(llama_cpp_scripts, "find", lambda *_, **__: pytest.fail("it was fetched"))
    assert cli(["convert", *command, "typo", "--output", str(tmp_path / "out")]) in (2, 3)
    assert "typo: not a " in capsys.readouterr().err


def test_a_converter_that_lost_a_file_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trsr_lite.conversion import llama_cpp_scripts

    def unpack(archive: Path, target: Path) -> None:
        for part in llama_cpp_scripts.PARTS:
            (target / part).parent.mkdir(parents=True, exist_ok=True)
            (target / part).touch() if part.endswith(".py") else (target / part).mkdir()

    monkeypatch.setattr(llama_cpp_scripts, "download", lambda *_: (tmp_path / "sdist.tar.gz", ""))
    monkeypatch.setattr(llama_cpp_scripts, "unpack", unpack)
    whole = llama_cpp_scripts.find(None, tmp_path)
    for part in llama_cpp_scripts.PARTS:
        place = whole.folder / part
        place.unlink() if place.is_file() else place.rmdir()
        with pytest.raises(ModelError, match="converter for llama-cpp-python"):
            llama_cpp_scripts.find(None, tmp_path, offline=True)
        assert llama_cpp_scripts.find(None, tmp_path) == whole


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    from trsr_lite.conversion import llama_cpp_scripts

    with pytest.raises(ModelError, match=r"not a llama\.cpp checkout: it has no convert_hf_to_gguf\.py"):
        llama_cpp_scripts.find(tmp_path, tmp_path)


def test_offline_without_the_converter_says_the_one_command(tmp_path: Path) -> None:
    from trsr_lite.conversion import llama_cpp_scripts
    from trsr_lite.engine import model

    with pytest.raises(ModelError) as caught:
        llama_cpp_scripts.find(None, tmp_path, offline=True)
    hint = str(caught.value.hint)
    assert f"pip download --no-deps --no-binary :all: llama-cpp-python=={model.version()}" in hint
    assert "--offline" in hint


def test_a_fetch_that_fails_says_why_and_the_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trsr_lite.conversion import llama_cpp_scripts

    asked: list[list[str]] = []

    def fail(command: list[str], **options: Any) -> Any:
        asked.append(command)
        return subprocess.CompletedProcess(command, 1, "", "WARNING: x\nERROR: No matching distribution found\n")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(ModelError, match="cannot be fetched: No matching distribution found") as caught:
        llama_cpp_scripts.find(None, tmp_path)
    assert "pip download" in str(caught.value.hint)
    assert len(asked) == 2 and "--no-build-isolation" in asked[0] and "--no-build-isolation" not in asked[1]
    assert list((tmp_path / "llama.cpp").iterdir()) == [], "nothing half fetched is left"


def test_a_fetch_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trsr_lite.conversion import llama_cpp_scripts

    def slow(command: list[str], **options: Any) -> Any:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", slow)
    with pytest.raises(ModelError, match="no answer in 600 s"):
        llama_cpp_scripts.find(None, tmp_path)


def test_a_fetch_without_room_says_where_to_make_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trsr_lite.conversion import llama_cpp_scripts

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(llama_cpp_scripts, "without_building", full)
    with pytest.raises(TrsrError, match="No space left") as caught:
        llama_cpp_scripts.find(None, tmp_path)
    hint = "choose another folder with `--cache-dir`"
    assert caught.value.hint == f"make room, or {hint}"
    (tmp_path / "file").touch()
    with pytest.raises(TrsrError) as caught:
        llama_cpp_scripts.find(None, tmp_path / "file")
    assert caught.value.hint == hint


def test_only_scripts_are_unpacked_and_nothing_outside(tmp_path: Path) -> None:
    import io
    import tarfile

    from trsr_lite.conversion import llama_cpp_scripts

    archive = tmp_path / "sdist.tar.gz"
    with tarfile.open(archive, "w:gz") as content:
        for name in (
            "pkg/vendor/llama.cpp/convert_hf_to_gguf.py",
            "pkg/vendor/llama.cpp/conversion/base.py",
            "pkg/vendor/llama.cpp/src/llama.cpp",
            "pkg/vendor/llama.cpp/conversion/../../../../escaped.py",
            "pkg/setup.py",
        ):
            member = tarfile.TarInfo(name)
            member.size = 1
            content.addfile(member, io.BytesIO(b"#"))
    llama_cpp_scripts.unpack(archive, tmp_path / "out")
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {"convert_hf_to_gguf.py", "conversion/base.py"}
    assert not list(tmp_path.parent.rglob("escaped.py"))


def test_the_converters_own_last_line_is_the_reason(tmp_path: Path) -> None:
    from trsr_lite.conversion.llama_cpp_scripts import Converter

    (tmp_path / "script.py").write_text(
        "import sys\nprint('INFO', file=sys.stderr)\nsys.exit('Model NopeForCausalLM is not supported')"
    )
    with pytest.raises(ModelError, match=r"script\.py: Model NopeForCausalLM is not supported") as caught:
        Converter(tmp_path, "b2:0").run("script.py", [])
    assert "architecture" in str(caught.value.hint)
    (tmp_path / "script.py").write_text("raise OSError(28, 'No space left on device')")
    with pytest.raises(OSError, match="No space left"):
        Converter(tmp_path, "b2:0").run("script.py", ["target"])


def test_an_architecture_that_llama_cpp_does_not_know_is_named(scripts: Any, tmp_path: Path) -> None:
    from trsr_lite.conversion import gguf

    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["NopeForCausalLM"], "model_type": "llama"}))
    with pytest.raises(ModelError, match="NopeForCausalLM is not supported"):
        gguf.convert(scripts, tmp_path, tmp_path / "model.gguf", "F16")
    assert not list(tmp_path.glob("*.gguf*")) and not list(tmp_path.glob(".*"))


def test_without_the_extra_the_command_to_install_it_is_said(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["torch"] = None
from trsr_lite.cli import run
sys.exit(run(["convert", "merge", "run", "--output", {str(tmp_path / "m")!r}]))
"""
    from tests.training.conftest import PACKAGE_PARENT

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(PACKAGE_PARENT)}
    )
    assert done.returncode == 2
    assert "conversion needs torch" in done.stderr and "pip install 'trsr-lite[train]'" in done.stderr
