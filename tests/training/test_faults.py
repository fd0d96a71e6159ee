"""What goes wrong in a run ends in one line that says what to do, and harms nothing that was finished."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from tests.training.conftest import EVERY, STEPS, Fit, log_of, make_tokenizer, program, tiny_examples, write_base
from trsr_lite import DataError, ModelError, SettingsError, TrsrError
from trsr_lite.training import base_model, lora, packing, train, trainer, validation
from trsr_lite.training.base_model import Base
from trsr_lite.training.losses import Objective
from trsr_lite.training.torch_scorer import Scorer


def after(calls: int, then: Callable[..., Any], before: Callable[..., Any]) -> Callable[..., Any]:
    """A function that becomes another after so many calls."""
    count = 0

    def call(*arguments: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        return (then if count > calls else before)(*arguments, **more)

    return call


def left_in_peace(run: Path, step: int) -> None:
    """The checkpoint of a step is the newest, and complete; the run is not finished."""
    path, found = trainer.latest_checkpoint(run)
    assert found == step
    assert path is not None
    names = {"complete", "trainer_state.json", "optimizer.pt", "adapter_model.safetensors"}
    assert names <= {file.name for file in path.iterdir()}
    assert not (run / "adapter").exists()
    assert json.loads((run / "run.json").read_text())["status"] == "running"


# Numbers that are none


def test_a_loss_that_is_no_number_ends_the_run(
    fit: Fit, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Objective.__call__
    with monkeypatch.context() as patch:
        patch.setattr(Objective, "__call__", after(4, lambda *parts: plain(*parts) * float("nan"), plain))
        with pytest.raises(TrsrError, match="the loss became nan in step 5") as caught:
            fit(tmp_path / "run")
    assert "--learning-rate" in str(caught.value.hint)
    left_in_peace(tmp_path / "run", EVERY)
    fit(tmp_path / "run", resume=True)
    assert log_of(tmp_path / "run") == log_of(finished)


@pytest.mark.parametrize("changes", [{}, {"full": True}], ids=["adapter", "full"])
def test_a_learning_rate_far_too_high_is_noticed(fit: Fit, tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(TrsrError, match=r"the loss became (nan|inf)|no longer numbers") as caught:
        fit(tmp_path / "run", learning_rate=1e38, schedule="constant", warmup=0.0, **changes)
    assert "--learning-rate" in str(caught.value.hint)


def test_margins_that_are_no_numbers_reach_no_checkpoint(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = validation.margins
    monkeypatch.setattr(validation, "margins", after(3, lambda *parts: plain(*parts) * float("inf"), plain))
    with pytest.raises(TrsrError, match="margins are no longer numbers"):
        fit(tmp_path / "run")
    left_in_peace(tmp_path / "run", EVERY)


# Memory and disk


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["gpu", "python", "cpu"],
)
def test_running_out_of_memory_says_what_to_lower(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(trainer, "forward", after(4, fail, trainer.forward))
    with pytest.raises(TrsrError, match=r"^out of memory while training$") as caught:
        fit(tmp_path / "run")
    for option in ("--batch-tokens", "--train-negatives", "--prompt-tokens", "--gradient-checkpointing"):
        assert option in str(caught.value.hint)
    left_in_peace(tmp_path / "run", EVERY)


@pytest.mark.parametrize(
    "place",
    [
        "transformers.AutoModelForCausalLM.from_pretrained",
        "transformers.Trainer._move_model_to_device",
        "trsr_lite.training.lora.read_back",
    ],
)
def test_memory_that_ends_before_or_after_the_steps_is_said_too(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(transformers.TrainingArguments, "place_model_on_device", True)
    monkeypatch.setattr(place, fail)
    with pytest.raises(TrsrError, match=r"^out of memory while training$") as caught:
        fit(tmp_path / "run", max_steps=1)
    assert "--four-bit" in str(caught.value.hint)


def test_a_run_that_outgrows_the_memory_is_not_scored_and_says_so(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("trsr_lite.training.lora.read_back", fail)
    with pytest.raises(TrsrError, match=r"^out of memory while scoring with torch$") as caught:
        Scorer(finished, offline=True).margins([packing.PackedRow((1, 2), ((3,), (4,)), (1, 0))])
    assert "CUDA_VISIBLE_DEVICES=" in str(caught.value.hint)


def test_a_lower_budget_of_tokens_holds_for_validation_too(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the last one too, beside the adapter that was read back: `--resume` could not lower it any more."""
    budgets: list[int] = []

    def fill(rows: Any, budget: int) -> Any:
        budgets.append(budget)
        return packing.fill(rows, budget)

    monkeypatch.setattr(validation, "fill", fill)
    fit(tmp_path / "run", max_steps=1, batch_tokens=300)
    assert budgets[2:] == [4 * 300] * 3  # the first two look whether the base keeps candidates apart


def test_a_bug_stays_a_traceback(fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(trainer, "forward", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        fit(tmp_path / "run")


def test_a_full_disk_keeps_earlier_checkpoints(
    fit: Fit, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "trainer_state.json")

    with monkeypatch.context() as patch:
        plain = transformers.TrainerState.save_to_json
        patch.setattr(transformers.TrainerState, "save_to_json", after(1, fail, plain))
        with pytest.raises(TrsrError, match="json: No space left on device") as caught:
            fit(tmp_path / "run")
    assert "continue with `--resume`" in str(caught.value.hint)
    left_in_peace(tmp_path / "run", EVERY)
    fit(tmp_path / "run", resume=True)
    assert log_of(tmp_path / "run") == log_of(finished)


FULL = """
import resource, signal, sys
from pathlib import Path
from tests.training.conftest import tiny_examples, tiny_options, tiny_settings
from trsr_lite import TrsrError
from trsr_lite.training.train import train

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
base, data, output = map(Path, sys.argv[1:])
for number, room in enumerate((50_000, 200_000)):  # for no adapter; for the adapter, but not its optimizer
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, -1))
    try:
        train(tiny_options(base, max_steps=1), tiny_settings(), tiny_examples(data), output / str(number))
    except TrsrError as error:
        print(f"{error} / {error.hint}")
"""


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX")
def test_a_file_that_cannot_be_written_is_one_line_whoever_writes_it(
    tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(FULL)
    done = program(str(tmp_path / "script.py"), tiny_base, tiny_data, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    safetensors, torchs = done.stdout.splitlines()
    for line in (safetensors, torchs):
        assert ": cannot be written: " in line
        assert line.endswith("make room, then continue with `--resume`")
    assert "File too large" in safetensors
    assert "inline_container" in torchs


def test_an_output_that_cannot_be_made_is_one_line(fit: Fit, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrsrError, match=r"run: nothing can be written beside it: Not a directory$"):
        fit(tmp_path / "file" / "run")


def test_an_adapter_that_reads_back_otherwise_fails_the_run(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = lora.read_back

    def spoiled(*arguments: Any, **more: Any) -> Any:
        model = plain(*arguments, **more)
        next(weight for name, weight in model.named_parameters() if "lora_B" in name).data += 0.05
        return model

    monkeypatch.setattr(lora, "read_back", spoiled)
    with pytest.raises(TrsrError, match=r"read back from disk gives other margins \(by up to"):
        fit(tmp_path / "run", max_steps=EVERY)
    left_in_peace(tmp_path / "run", EVERY)


# Bases


def refused(fit: Fit, output: Path, **changes: Any) -> TrsrError:
    """The error of a run that ends before its first step."""
    heard: list[Any] = []
    with pytest.raises(TrsrError) as caught:
        fit(output, on_event=heard.append, **changes)
    assert [line for line in heard if "step" in line] == []
    assert not (output / "log.jsonl").exists()
    return caught.value


@pytest.mark.parametrize("normalized", [False, True], ids=["several-tokens", "one-for-both"])
def test_a_base_that_cannot_answer_is_refused(fit: Fit, tmp_path: Path, normalized: bool) -> None:
    from tokenizers import normalizers

    tokenizer = make_tokenizer(answers=normalized, normalizer=normalizers.Replace("yes", "no") if normalized else None)
    found = write_base(tmp_path / "base", tokenizer=tokenizer)
    error = refused(fit, tmp_path / "run", base=found)
    assert isinstance(error, ModelError)
    assert "tokenizer" in str(error)
    assert error.hint == "choose another base"


def test_a_base_that_mixes_the_candidates_of_a_row_is_refused(fit: Fit, tmp_path: Path) -> None:
    """Linear attention goes over a whole pack: nothing fails, and every margin but the first is another's, too."""
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = transformers.Qwen3_5TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        layer_types=["linear_attention", "full_attention"],
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=16,
        linear_value_head_dim=16,
        initializer_range=0.3,
        pad_token_id=0,
    )
    transformers.Qwen3_5ForCausalLM(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    error = refused(fit, tmp_path / "run", base=tmp_path / "base")
    assert isinstance(error, ModelError)
    assert "a candidate sees the one before it in its row" in str(error)


def test_a_base_that_is_not_there_is_refused(fit: Fit, tmp_path: Path) -> None:
    for name, said in {
        "missing": "there is no such model",
        "/none/at/all": "there is no such model",
        str(tmp_path / "missing.gguf"): "there is no such file",
        "x" * 300: "x" * 300 + ": ",  # of a name too long some systems say that, others that there is no such file
    }.items():
        assert said in str(refused(fit, tmp_path / "run", base=name, force=True))
    (tmp_path / "empty").mkdir()
    assert "it has no config.json" in str(refused(fit, tmp_path / "run", base=tmp_path / "empty", force=True))


def test_a_hub_base_that_is_not_in_the_cache_is_refused_offline(fit: Fit, tmp_path: Path) -> None:
    error = refused(fit, tmp_path / "run", base="nobody/nothing", offline=True)
    assert isinstance(error, ModelError)
    assert "nobody/nothing" in str(error)


def test_a_base_of_pickles_is_refused(fit: Fit, tiny_base: Path, tmp_path: Path) -> None:
    found = write_base(tmp_path / "base")
    (found / "model.safetensors").unlink()
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_base)
    torch.save(model.state_dict(), found / "pytorch_model.bin")
    error = refused(fit, tmp_path / "run", base=found)
    assert isinstance(error, ModelError)
    assert "safetensors" in str(error.hint)


@pytest.mark.parametrize(
    "method",
    [
        {"quant_method": "gptq", "bits": 4, "group_size": 128},
        {"quant_method": "awq", "bits": 4, "group_size": 128},
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"quant_method": "fp8"},
        {"quant_method": "unheard-of"},
    ],
    ids=lambda method: method["quant_method"],
)
def test_a_quantized_base_is_refused(fit: Fit, tmp_path: Path, method: dict[str, Any]) -> None:
    found = write_base(tmp_path / "base")
    config = json.loads((found / "config.json").read_text())
    (found / "config.json").write_text(json.dumps({**config, "quantization_config": method}))
    error = refused(fit, tmp_path / "run", base=found)
    assert isinstance(error, ModelError)
    assert "its weights are quantized" in str(error)


def test_more_processes_than_users_in_a_step_are_refused_before_anything_is_done(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.distributed, "join", lambda: SimpleNamespace(num_processes=16, is_main_process=True))
    error = refused(fit, tmp_path / "run", batch_rows=8)
    assert str(error) == "batch_rows is 8; with 16 processes it must be at least 16"
    assert not (tmp_path / "run").exists()


def test_layers_that_the_base_has_not_are_named(
    fit: Fit, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = make_tokenizer()
    config = transformers.GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    monkeypatch.setattr(train, "source_of", lambda *_: pytest.fail("data and summaries come later"))
    shutil.copytree(finished, tmp_path / "run")
    with pytest.raises(TrsrError) as caught:
        fit(tmp_path / "run", base=tmp_path / "base", layers=("q_proj", "up_proj"), force=True)
    error = caught.value
    assert (tmp_path / "run" / "adapter").is_dir()  # what it was to replace
    assert isinstance(error, ModelError)
    assert str(error) == "the base has no layer called q_proj, up_proj"
    assert "--layers" in str(error.hint)


@pytest.mark.skipif(base_model.importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_four_bit_names_the_package_it_needs(tiny_base: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        base_model.load(Base("tiny", str(tiny_base)), torch.bfloat16, offline=True, four_bit=True)
    assert caught.value.hint == "pip install bitsandbytes"


def test_four_bit_needs_a_gpu(fit: Fit, tmp_path: Path) -> None:
    error = refused(fit, tmp_path / "run", four_bit=True)
    assert isinstance(error, SettingsError)
    assert "trained on a GPU, and there is none" in str(error)


def test_fsdp_by_accelerate_is_refused(fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    error = refused(fit, tmp_path / "run")
    assert isinstance(error, SettingsError)
    assert "--shard" in str(error.hint)


def test_a_base_is_not_spread_over_one_process(fit: Fit, tmp_path: Path) -> None:
    error = refused(fit, tmp_path / "run", shard=True)
    assert isinstance(error, SettingsError)
    assert "torchrun" in str(error.hint)


def test_a_weight_file_that_is_broken_is_refused(fit: Fit, tmp_path: Path) -> None:
    found = write_base(tmp_path / "base")
    content = (found / "model.safetensors").read_bytes()
    (found / "model.safetensors").write_bytes(content[: len(content) // 2])
    error = refused(fit, tmp_path / "run", base=found)
    assert isinstance(error, ModelError)
    assert "cannot be loaded as a base" in str(error)


def test_a_base_is_known_by_its_weights(tiny_base: Path, tmp_path: Path) -> None:
    other = write_base(tmp_path / "base", seed=1)
    found = [
        base_model.identity(Base(str(path), str(path)), torch.nn.Identity()) for path in (tiny_base, tiny_base, other)
    ]
    assert found[0] == found[1]
    assert found[0]["digest"] != found[2]["digest"]


# Data


@pytest.mark.parametrize("part", ["validation", "training"])
def test_a_part_without_users_is_an_error_before_training(fit: Fit, tiny_data: Path, tmp_path: Path, part: str) -> None:
    shares = {"validation": 0.0} if part == "validation" else {"validation": 0.5, "test": 0.5}
    error = refused(fit, tmp_path / "run", data=tiny_examples(tiny_data, **shares))
    assert isinstance(error, DataError)
    assert part in str(error)
    assert error.hint


def test_data_that_are_not_there_are_an_error(fit: Fit, tmp_path: Path) -> None:
    assert isinstance(refused(fit, tmp_path / "run", data=tiny_examples(tmp_path / "none")), DataError)


def test_an_interrupted_run_can_be_continued(fit: Fit, finished: Path, tmp_path: Path) -> None:
    def interrupt(line: Any) -> None:
        if line.get("step") == EVERY + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run", on_event=interrupt)
    left_in_peace(tmp_path / "run", EVERY)
    assert fit(tmp_path / "run", resume=True).steps == STEPS
    assert log_of(tmp_path / "run") == log_of(finished)


@pytest.mark.parametrize("kind", ["changed", "new", "gone"])
def test_whatever_file_of_a_base_changes_its_identity_changes(tiny_base: Path, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "base"
    shutil.copytree(tiny_base, folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model.safetensors"}}')
    (folder / "README.md").write_text("a card")
    before = base_model.identity(base_model.Base("b", str(folder)), None)
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        if kind == "changed":
            path.write_bytes(content + b" ")
        elif kind == "gone":
            path.unlink()
        else:
            path.with_name(f"another-{path.name}").write_bytes(content)
        found = base_model.identity(base_model.Base("b", str(folder)), None)
        assert (base_model.difference(before, found) is None) is (path.suffix == ".md"), path.name
        path.with_name(f"another-{path.name}").unlink(missing_ok=True)
        path.write_bytes(content)
    assert base_model.identity(base_model.Base("b", str(folder)), None) == before
