"""Each step of a conversion is a command of its own, and gives what the whole gives."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.conversion.conftest import NEAR_TIES
from trsr_lite.cli import group, run
from trsr_lite.io import files
from trsr_lite.io.digests import file_digest


def test_help_names_every_step() -> None:
    shown = CliRunner().invoke(group, ["convert", "--help"]).output
    for step in ("bundle", "gguf", "merge", "quantize", "verify"):
        assert step in shown
    shown = CliRunner().invoke(group, ["convert", "bundle", "--help"]).output
    assert "--recommender-type" in shown and "[default: Q8_0]" in shown and "--adapter-only" in shown


def test_ctrl_c_says_that_the_same_command_goes_on(
    converter: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trsr_lite.conversion.convert.usable", interrupt)
    asked = ["convert", "run", "--output", str(tmp_path / "bundle"), "--llama-cpp", str(converter.folder)]
    assert run(asked) == 130
    said = capsys.readouterr().err.strip()
    assert said == "Interrupted; finished steps are kept, and the same command goes on"


def test_merge_writes_the_merged_model_with_the_tokenizer_of_the_base_as_it_is(
    made: Any, tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "merged"
    assert run(["convert", "merge", str(made().run), "--output", str(target), "--offline"]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    assert file_digest(target / "model.safetensors") == file_digest(made().staged / "merged" / "model.safetensors")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (target / name).read_bytes() == (tiny_base / name).read_bytes()
    assert run(["convert", "merge", str(made().run), "--output", str(target), "--offline"]) == 2
    assert run(["convert", "merge", str(made().run), "--output", str(target), "--offline", "--force"]) == 0
    assert not list(tmp_path.glob(".*.part"))


def test_gguf_writes_what_the_whole_conversion_wrote(
    made: Any, converter: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from trsr_lite.conversion import gguf

    target = tmp_path / "model.gguf"
    asked = ["convert", "gguf", str(made().staged / "merged"), "--output", str(target), "--type", "F32"]
    assert run([*asked, "--llama-cpp", str(converter.folder)]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    assert list(gguf.tensor_types(target)) == ["F32"]


def test_quantize_writes_another_type_and_shows_the_tensors(
    made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "model-Q8_0.gguf"
    source = made().staged / "merged-F16.gguf"
    before = file_digest(source)
    assert run(["convert", "quantize", str(source), "--output", str(target), "--type", "Q8_0"]) == 0
    assert "Q8_0" in capsys.readouterr().out and file_digest(source) == before
    assert run(["convert", "quantize", str(source), "--output", str(target), "--type", "Q9_9"]) == 2


def test_quantizing_a_file_onto_itself_leaves_it_whole(made: Any, tmp_path: Path) -> None:
    from trsr_lite.conversion import gguf

    path = tmp_path / "model.gguf"
    shutil.copyfile(made().staged / "merged-F16.gguf", path)
    assert run(["convert", "quantize", str(path), "--output", str(path), "--type", "Q8_0", "--force"]) == 0
    assert (
        "Q8_0" in gguf.tensor_types(path) and [other.name for other in tmp_path.iterdir()] == ["model.gguf", "home"][:1]
    )


@pytest.mark.parametrize("adapter_only", [False, True], ids=["merged", "adapter"])
def test_verify_compares_a_bundle_with_its_run(
    made: Any, adapter_only: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    source = made(adapter_only=adapter_only)
    limits = ["--min-tau-float", str(NEAR_TIES), "--offline", "--json"]
    assert run(["convert", "verify", str(source.bundle), "--run", str(source.run), *limits]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == 1 and "lost" not in report
    known = json.loads((source.bundle / "manifest.json").read_text())["verified"]["steps"]["F16"]
    assert report["steps"]["F16"]["max_difference"] >= known["max_difference"], "on all lists, not on some"


@pytest.mark.parametrize("as_json", [False, True], ids=["table", "json"])
def test_verify_of_another_model_shows_what_it_lost_and_exits_with_5(
    made: Any, runs: dict[str, Path], as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    base = made(adapter_only=True).staged / "base-F16.gguf"
    asked = ["convert", "verify", str(base), "--run", str(runs["llama"]), "--lists", "2", "--offline"]
    assert run([*asked, *(["--json"] if as_json else [])]) == 5
    shown = capsys.readouterr()
    assert "does not rank as the trained model" in shown.err
    if as_json:
        report = json.loads(shown.out)
        assert report["lost"] in report["steps"] and report["steps"][report["lost"]]["max_difference"] > 0.05
    else:
        assert "Kendall tau" in shown.out


def test_a_run_of_all_weights_is_converted_too(tiny_base: Path, tiny_data: Path, convert: Any, tmp_path: Path) -> None:
    from tests.training import conftest
    from trsr_lite.training.train import train

    options = conftest.tiny_options(tiny_base, full=True, learning_rate=1e-3, max_steps=3)
    train(options, conftest.tiny_settings(), conftest.tiny_examples(tiny_data), tmp_path / "run")
    bundle = convert(tmp_path / "run", tmp_path / "bundle")
    assert bundle.trained and bundle.recommender.adapter is None


def test_verify_judges_bf16_as_convert_does(
    made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rounding that `convert` accepts as quantizing is no broken conversion to `convert verify`."""
    from trsr_lite.conversion import gguf

    path = tmp_path / "model.gguf"
    gguf.quantize(made().staged / "merged-F16.gguf", path, "BF16")
    asked = ["convert", "verify", str(path), "--run", str(made().run), "--offline", "--json", "--lists", "2"]
    assert run([*asked, "--min-tau", "0.5", "--max-recall-loss", "1", "--max-margin", "0"]) == 0
    thresholds = json.loads(capsys.readouterr().out)["thresholds"]
    assert thresholds["max_recall_loss"] == 1 and thresholds["max_margin"] == 0
    assert run(["convert", "verify", "--help"]) == 0
    assert "less than one list counts as one list" in " ".join(capsys.readouterr().out.split())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("step", ["merge", "gguf", "quantize"])
def test_a_full_disk_is_one_line_in_every_step(
    step: str, made: Any, converter: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    from trsr_lite.conversion import gguf, merge

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for module, name in ((merge, "merge_run"), (gguf, "convert")):
        monkeypatch.setattr(module, name, full)
    place = tmp_path / "out"
    if step == "quantize":  # the real one: llama.cpp itself says no more than that something failed
        place = files.beside(tmp_path / "out")
        place.symlink_to("/dev/full")
    source = made().staged / {"merge": "", "gguf": "merged", "quantize": "merged-F16.gguf"}[step]
    more = {"merge": [], "gguf": ["--llama-cpp", str(converter.folder)], "quantize": ["--type", "Q8_0"]}[step]
    assert run(["convert", step, str(source), "--output", str(tmp_path / "out"), *more]) == 1
    said = capsys.readouterr().err
    assert f"Error: {place}: No space left on device" in said and "hint: make room" in said


@pytest.mark.parametrize("step", ["gguf", "quantize"])
def test_the_folder_of_an_output_is_made(step: str, made: Any, converter: Any, tmp_path: Path) -> None:
    source = made().staged / {"gguf": "merged", "quantize": "merged-F16.gguf"}[step]
    more = {"gguf": ["--llama-cpp", str(converter.folder)], "quantize": ["--type", "Q8_0"]}[step]
    assert run(["convert", step, str(source), "--output", str(tmp_path / "new" / "out.gguf"), *more]) == 0
    assert (tmp_path / "new" / "out.gguf").is_file()
