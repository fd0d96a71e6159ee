"""A model folder of a stranger may hold Python and pickles: nothing of it ever runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training.conftest import make_tokenizer, tiny_examples, tiny_options, tiny_settings
from trsr_lite import ModelError
from trsr_lite.cli import run
from trsr_lite.conversion import gguf
from trsr_lite.conversion.llama_cpp_scripts import Converter
from trsr_lite.training import base_files, base_model
from trsr_lite.training.tokenizer import HfTokenizer

KINDS = ("AutoConfig", "AutoTokenizer", "AutoModel", "AutoModelForCausalLM", "AutoProcessor")
VOCABULARIES = '''
"""Loads the vocabulary of every architecture in llama.cpp's table; writes those whose code asked for trust."""
import collections, json, logging, sys
from pathlib import Path
from unittest import mock

scripts, folder, out = map(Path, sys.argv[1:])
sys.path[:0] = [str(scripts), str(scripts / "gguf-py")]
import transformers
from conversion import TEXT_MODEL_MAP, get_model_class

logging.disable(logging.CRITICAL)
asked, load = collections.Counter(), transformers.AutoTokenizer.from_pretrained


def watched(*values, **named):
    asked[current] += bool(named.get("trust_remote_code"))
    return load(*values, **named)


transformers.AutoTokenizer.from_pretrained = watched
known = json.loads((folder / "config.json").read_text())
for current in TEXT_MODEL_MAP:
    try:
        model = get_model_class(current)
    except KeyError:  # in the table, but in no module of this version
        continue
    for name in dir(model):
        method = getattr(model, name)
        if "AutoTokenizer" not in getattr(getattr(method, "__code__", None), "co_names", ()):
            continue
        one = model.__new__(model)
        one.dir_model, one.gguf_writer = folder, mock.MagicMock()
        one.hparams = {"architectures": [current], "vocab_size": 9999, **known}
        try:
            method(one)
        except BaseException:  # of most architectures this folder is none: only what runs on the way counts
            pass
out.write_text(json.dumps([name for name, times in asked.items() if times]))
'''


@pytest.fixture(scope="session")
def plain_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer and a configuration of a family that transformers knows."""
    folder = tmp_path_factory.mktemp("bases") / "plain"
    make_tokenizer().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    return folder


def spoiled(base: Path, target: Path) -> Path:
    """A copy with Python that writes the file `ran` beside it, and every way to name that Python."""
    shutil.copytree(base, target)
    marker = target.parent / "ran"
    code = f"open({str(marker)!r}, 'w').close()\n" + "".join(f"class {kind}Own: pass\n" for kind in KINDS)
    for name in ("stranger", "tokenizers", "conversion", "sitecustomize", "usercustomize", "gguf", "json"):
        (target / f"{name}.py").write_text(code)
    named: dict[str, Any] = {kind: f"stranger.{kind}Own" for kind in KINDS}
    named["AutoTokenizer"] = ["stranger.AutoTokenizerOwn", f"{target}--stranger.AutoTokenizerOwn"]
    for name in ("config.json", "tokenizer_config.json", "generation_config.json", "processor_config.json"):
        path = target / name
        content = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**content, "auto_map": named, "part": {"auto_map": named}}))
    return target


@pytest.fixture
def stranger(plain_base: Path, tmp_path: Path) -> Path:
    return spoiled(plain_base, tmp_path / "stranger")


@pytest.fixture
def look(tmp_path: Path) -> Path:
    """The script that loads the vocabulary of every architecture."""
    path = tmp_path / "look" / "vocabularies.py"
    path.parent.mkdir()
    path.write_text(VOCABULARIES)
    return path


def test_no_architecture_of_the_converter_runs_a_models_code_in_the_child(
    scripts: Any, stranger: Path, look: Path, tmp_path: Path
) -> None:
    out = tmp_path / "asked.json"
    Converter(look.parent, "").run(look.name, [scripts.folder, stranger, out])
    assert not (tmp_path / "ran").exists()
    asked = json.loads(out.read_text())
    assert {"ChatGLMModel", "Glm4ForCausalLM", "DeepseekV3ForCausalLM", "HunYuanMoEV1ForCausalLM"} <= set(asked)
    assert len(asked) >= 20


@pytest.mark.parametrize("copied", [True, False])
def test_a_copy_of_a_model_holds_nothing_that_the_converter_could_run(
    scripts: Any, stranger: Path, look: Path, tmp_path: Path, copied: bool
) -> None:
    """Even where nothing guards the process; the folder itself runs there, so this test would see it."""
    folder = stranger
    if copied:
        base_files.copy(stranger, tmp_path / "copy")
        folder = tmp_path / "copy"
    done = subprocess.run(
        [sys.executable, look, scripts.folder, folder, tmp_path / "asked.json"],
        input="",
        capture_output=True,
        text=True,
        env={"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ran").exists() is not copied


def test_a_copy_has_configuration_tokenizer_and_weights_as_they_are(tiny_base: Path, tmp_path: Path) -> None:
    folder = spoiled(tiny_base, tmp_path / "stranger")
    (folder / "training_args.bin").write_bytes(b"a pickle")
    (folder / "README.md").write_text("a card")
    base_files.copy(folder, tmp_path / "copy")
    names = {path.name for path in (tmp_path / "copy").iterdir()}
    assert {"config.json", "tokenizer.json", "model.safetensors", "generation_config.json"} <= names
    assert not [name for name in names if name.endswith((".py", ".bin", ".md"))]
    for name in ("tokenizer.json", "model.safetensors"):
        assert (tmp_path / "copy" / name).read_bytes() == (tiny_base / name).read_bytes()
    config = json.loads((tmp_path / "copy" / "config.json").read_text())
    assert "auto_map" not in json.dumps(config) and config["hidden_size"] == 64


def test_a_key_spelled_with_escapes_is_found_and_a_token_of_that_name_stays(tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stranger"
    shutil.copytree(tiny_base, folder)
    (folder / "config.json").write_text('{"model_type": "llama", "auto\\u005fmap": {"AutoConfig": "a.B"}}')
    (folder / "added_tokens.json").write_text('{"auto_map": 5}')
    base_files.copy(folder, tmp_path / "copy")
    assert json.loads((tmp_path / "copy" / "config.json").read_text()) == {"model_type": "llama"}
    assert json.loads((tmp_path / "copy" / "added_tokens.json").read_text()) == {"auto_map": 5}


def test_training_follows_no_code_of_a_base(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    folder = spoiled(tiny_base, tmp_path / "stranger")
    monkeypatch.chdir(folder)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asks the user whether to trust"))
    located = base_model.locate(str(folder))
    assert base_model.parameters(located, offline=True) > 0
    assert HfTokenizer.load(located, offline=True).encode("goal")
    assert base_model.load(located, torch.float32, offline=True).config.vocab_size > 0
    assert not (tmp_path / "ran").exists()


def test_an_architecture_that_only_its_own_code_knows_is_refused(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    folder = spoiled(tiny_base, tmp_path / "stranger")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "own", "architectures": ["Own"]}))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asks the user whether to trust"))
    with pytest.raises(ModelError, match="cannot be loaded as a base"):
        base_model.load(base_model.locate(str(folder)), torch.float32, offline=True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.PTH", "last.ckpt", "model.pkl"])
def test_weights_that_are_a_pickle_are_refused_by_name(
    plain_base: Path, tiny_data: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(plain_base, folder)
    (folder / name).write_bytes(b"\x80\x04.")
    output = str(tmp_path / "out")
    train = ["train", "--base", str(folder), "--dataset", "jsonl", "--data", str(tiny_data), "--output", output]
    for command in (train, ["convert", "gguf", str(folder), "--output", output]):
        assert run(command) == 3
        assert f"{folder / name}: is a pickle" in capsys.readouterr().err
    assert not Path(output).exists()


def test_an_adapter_that_is_a_pickle_is_refused_by_name(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs["llama"], tmp_path / "run")
    adapter = tmp_path / "run" / "adapter"
    (adapter / "adapter_model.safetensors").unlink()
    (adapter / "adapter_model.bin").write_bytes(b"\x80\x04.")
    assert run(["convert", str(tmp_path / "run"), "--output", str(tmp_path / "bundle"), "--offline"]) == 3
    assert f"{adapter / 'adapter_model.bin'}: is a pickle" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["pytorch_model.bin", "../other/model.safetensors", "sub/model.safetensors"])
def test_an_index_names_safetensors_beside_it_only(tiny_base: Path, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(tiny_base, folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"lm_head.weight": name}}))
    with pytest.raises(ModelError, match="which is no safetensors file beside it"):
        base_model.locate(str(folder))
    with pytest.raises(ModelError, match="which is no safetensors file beside it"):
        gguf.check_folder(folder)


def test_a_base_with_code_of_its_own_goes_from_training_to_a_bundle_and_none_of_it_runs(
    tiny_base: Path, converter: Any, tiny: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trsr_lite.conversion.convert import Conversion
    from trsr_lite.conversion.convert_options import ConvertOptions
    from trsr_lite.training.train import train

    folder = spoiled(tiny_base, tmp_path / "stranger")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    options = tiny_options(folder, max_steps=2, validate_every=2)
    train(options, tiny_settings(), tiny_examples(tiny_data), tmp_path / "run", offline=True)
    child = Converter(converter.folder, converter.digest)  # in a process of its own, as users have it
    asked = ConvertOptions(
        recommender_type="F16", summarizer=str(tiny), lists=2, min_tau_float=0.5, min_tau=0.5, max_recall_loss=1.0
    )
    made = Conversion(tmp_path / "run", tmp_path / "bundle", lambda: child, asked, offline=True).convert()
    assert made.trained and not (tmp_path / "ran").exists()
    gguf.convert(child, folder, tmp_path / "plain.gguf", "F16")
    assert (tmp_path / "plain.gguf").stat().st_size > 0 and not (tmp_path / "ran").exists()
