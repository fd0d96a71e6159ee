"""A run from files to an adapter: what it learns, what its folder says, and that strangers can load it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.training.conftest import (
    STEPS,
    Fit,
    log_of,
    losses,
    program,
    tiny_examples,
    tiny_settings,
    validations,
    weights,
)
from trsr_lite import ModelError, Settings
from trsr_lite.datasets import dataset
from trsr_lite.io.digests import file_digest
from trsr_lite.prompts import templates
from trsr_lite.prompts.templates import PROMPT_VERSION
from trsr_lite.training import ranking_data, train, validation
from trsr_lite.training.base_model import Base
from trsr_lite.training.packing import PackedRow, build
from trsr_lite.training.tokenizer import HfTokenizer
from trsr_lite.training.torch_scorer import Scorer


def record_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


@pytest.fixture(scope="module")
def held_out(tiny_base: Path, tiny_data: Path) -> list[PackedRow]:
    """The validation rows of the runs of this module."""
    tokenizer = HfTokenizer.load(Base("tiny", str(tiny_base)), offline=True)
    with dataset.load(tiny_examples(tiny_data)) as found:
        return [
            build(one.history, None, one.candidates, one.labels, tiny_settings(), tokenizer)
            for one in found.examples("validation")
        ]


# What is learned


def test_validation_improves_on_data_that_can_be_learned(finished: Path) -> None:
    found = validations(finished)
    assert [line["step"] for line in found] == [3, 6, 9, 12]
    assert found[-1]["recall@3"] >= 0.9 > found[0]["recall@3"]
    assert found[-1]["auc"] > 0.9
    assert np.mean(losses(finished)[-3:]) < np.mean(losses(finished)[:3]) / 2


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "answer"},
        {"objective": "listwise"},
        {"objective": "both", "answer_weight": 0.5},
        {"whole_text": True},
        {"full": True, "learning_rate": 2e-3},
        {"full": True, "dtype": "bfloat16", "learning_rate": 2e-3},
        {"dtype": "bfloat16"},
        {"gradient_checkpointing": True},
        {"batch_tokens": 256, "layers": ("q_proj", "v_proj")},
        {"schedule": "constant", "warmup": 0.2, "learning_rate": 5e-3},
        {"schedule": "linear", "patience": 1},
    ],
    ids=lambda changes: "-".join(f"{name}={value}" for name, value in changes.items()),
)
def test_every_way_of_training_lowers_its_own_loss(fit: Fit, tmp_path: Path, changes: dict[str, Any]) -> None:
    outcome = fit(tmp_path / "run", **{"max_steps": 8, "validate_every": 8, "validation_users": 2, **changes})
    found = losses(tmp_path / "run")
    assert outcome.steps == len(found) == 8
    assert np.mean(found[-2:]) < 0.95 * np.mean(found[:2])
    place = (
        tmp_path / "run" / ("model/model.safetensors" if changes.get("full") else "adapter/adapter_model.safetensors")
    )
    assert place.is_file()


def test_the_first_step_starts_from_the_base_itself(finished: Path, fit: Fit, tmp_path: Path) -> None:
    fit(tmp_path / "slow", learning_rate=1e-9, max_steps=1)
    assert losses(tmp_path / "slow")[0] == pytest.approx(losses(finished)[0], rel=1e-5)


def test_a_process_trains_on_one_device_however_many_there_are(
    fit: Fit, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = transformers.TrainingArguments._setup_devices.func

    def three(self: Any) -> torch.device:
        device: torch.device = plain(self)
        self._n_gpu = 3
        return device

    cached = functools.cached_property(three)
    cached.__set_name__(transformers.TrainingArguments, "_setup_devices")
    monkeypatch.setattr(transformers.TrainingArguments, "_setup_devices", cached)
    fit(tmp_path / "run")
    assert losses(tmp_path / "run") == pytest.approx(losses(finished), rel=1e-5)


def test_another_seed_is_another_run_and_the_same_seed_the_same(fit: Fit, finished: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        fit(tmp_path / f"{seed}", seed=seed)
    assert log_of(tmp_path / "0") == log_of(finished)
    assert losses(tmp_path / "1") != losses(finished)


def test_packing_and_the_number_of_forward_passes_decide_nothing(fit: Fit, tmp_path: Path) -> None:
    for budget in (256, 8192):
        fit(tmp_path / f"{budget}", batch_tokens=budget, dropout=0.0, max_steps=4)
    assert losses(tmp_path / "256") == pytest.approx(losses(tmp_path / "8192"), rel=1e-4)


# The run folder


def test_a_run_folder_explains_itself(finished: Path, tiny_base: Path, tiny_data: Path) -> None:
    record = record_of(finished)
    assert record["schema"] == 1
    assert record["status"] == "finished"
    assert record["config"]["options"]["learning_rate"] == 2e-2
    assert record["config"]["settings"] == tiny_settings().to_dict()
    assert record["config"]["data"]["data"] == str(tiny_data)
    assert all(record["base"].pop(name).startswith("b2:") for name in ("configuration", "files"))
    assert record["base"] == {
        "name": str(tiny_base),
        "architecture": "LlamaForCausalLM",
        "digest": file_digest(tiny_base / "model.safetensors"),
    }
    assert record["prompt_version"] == PROMPT_VERSION
    assert record["data"]["cases"] == {"train": 28, "validation": 8, "test": 4}
    assert set(record["data"]["files"]) == {"items.jsonl", "interactions.jsonl"}
    assert all(digest.startswith("b2:") for digest in record["data"]["files"].values())
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_base)
    assert tokenizer.convert_ids_to_tokens(record["answers"]) == list(templates.ANSWERS)
    assert {"trsr-lite", "python", "torch", "transformers", "peft", "llama-cpp-python"} <= set(record["versions"])
    assert (record["steps"], record["dtype"], record["shortened_rows"]) == (STEPS, "float32", 0)
    assert record["seconds"] > 0


def test_the_best_metrics_are_those_of_the_best_validation(finished: Path) -> None:
    best = max(validations(finished), key=lambda line: line["score"])
    assert record_of(finished)["best"] == {name: value for name, value in best.items() if name != "steps"}
    assert best["score"] == pytest.approx(sum(best[f"recall@{k}"] for k in (3, 5, 10)))


def test_the_log_has_a_line_for_every_step(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "score" not in line]
    assert [line["step"] for line in steps] == list(range(1, STEPS + 1))
    for line in steps:
        assert {"loss", "grad_norm", "learning_rate", "tokens_per_second", "steps"} <= set(line)
        assert line["tokens_per_second"] > 0
    rates = [line["learning_rate"] for line in steps]
    assert max(rates) == 2e-2
    assert rates[1:] == sorted(rates[1:], reverse=True)


def test_a_run_folder_holds_no_pickle_beside_its_checkpoints(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} <= {
        "run.json", "log.jsonl", "checkpoints", "adapter", "lists.jsonl", "curves.png",
    }  # fmt: skip
    names = {path.name for path in (finished / "adapter").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json"} <= names
    assert not {name for name in names if name.endswith((".bin", ".pt", ".pkl"))}
    kept = sorted(path.name for path in (finished / "checkpoints").iterdir())
    assert len(kept) <= 2
    assert f"checkpoint-{STEPS}" in kept
    assert all((finished / "checkpoints" / name / "complete").is_file() for name in kept)


def test_events_are_the_lines_of_the_log(fit: Fit, tmp_path: Path) -> None:
    heard: list[Any] = []
    fit(tmp_path / "run", max_steps=3, on_event=heard.append)
    assert list(heard[0]) == ["data"]  # what was read, in lines
    assert heard[1:] == [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert len(heard) == 5


def test_a_smaller_validation_has_as_many_lists(fit: Fit, tmp_path: Path) -> None:
    fit(tmp_path / "run", max_steps=1, validation_users=3)
    assert len(ranking_data.read(tmp_path / "run" / "lists.jsonl")) == 3


def test_curves_are_drawn_where_matplotlib_is(finished: Path) -> None:
    pytest.importorskip("matplotlib")
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_patience_ends_a_run_that_no_longer_improves(fit: Fit, tmp_path: Path) -> None:
    outcome = fit(tmp_path / "run", learning_rate=1e-9, validate_every=1, patience=2)
    assert outcome.steps == 3
    assert record_of(tmp_path / "run")["status"] == "finished"


# What comes out


def test_the_adapter_gives_its_margins_in_transformers_alone(
    finished: Path, tiny_base: Path, held_out: list[PackedRow]
) -> None:
    from peft import PeftModel

    plain = transformers.AutoModelForCausalLM.from_pretrained(tiny_base, attn_implementation="eager")
    model = PeftModel.from_pretrained(plain, finished / "adapter").eval()
    yes, no = record_of(finished)["answers"]
    found = Scorer(finished, offline=True).margins(held_out)
    for row, values in zip(held_out, found, strict=True):
        with torch.no_grad():
            ends = [model(torch.tensor([[*row.prefix, *suffix]])).logits[0, -1] for suffix in row.suffixes]
        assert values == pytest.approx([(end[yes] - end[no]).item() for end in ends], rel=1e-4, abs=1e-3)


def test_a_scorer_reproduces_the_best_validation(finished: Path, held_out: list[PackedRow]) -> None:
    scorer = Scorer(finished, offline=True)
    assert (scorer.settings, scorer.options.learning_rate) == (tiny_settings(), 2e-2)
    found = validation.ranking(scorer.margins(held_out), held_out)
    best = record_of(finished)["best"]
    assert {name: value for name, value in best.items() if name != "step"} == pytest.approx(found)


def test_a_scorer_of_the_base_leaves_out_what_was_trained(finished: Path, held_out: list[PackedRow], fit: Fit) -> None:
    zero_shot = validation.ranking(Scorer(finished, base_model=True, offline=True).margins(held_out), held_out)
    assert zero_shot["score"] < record_of(finished)["best"]["score"]


def test_a_scorer_builds_the_rows_of_its_run(finished: Path, tiny_data: Path, held_out: list[PackedRow]) -> None:
    scorer = Scorer(finished, offline=True)
    with dataset.load(tiny_examples(tiny_data)) as found:
        example = next(found.examples("validation"))
    row = scorer.row(example.history, None, example.candidates)
    assert (row.prefix, row.suffixes) == (held_out[0].prefix, held_out[0].suffixes)


def test_a_scorer_of_a_full_run_reads_the_model(fit: Fit, tmp_path: Path, held_out: list[PackedRow]) -> None:
    outcome = fit(tmp_path / "run", full=True, learning_rate=2e-3, max_steps=3)
    found = validation.ranking(Scorer(tmp_path / "run", offline=True).margins(held_out), held_out)
    assert found["score"] == pytest.approx(outcome.best["score"])
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model", attn_implementation="eager")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    yes, no = record_of(tmp_path / "run")["answers"]
    row = held_out[0]
    with torch.no_grad():
        ends = [model(torch.tensor([[*row.prefix, *suffix]])).logits[0, -1] for suffix in row.suffixes]
    margins = Scorer(tmp_path / "run", offline=True).margins([row])[0]
    assert margins == pytest.approx([(end[yes] - end[no]).item() for end in ends], rel=1e-4, abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "running"}, "is not finished"),
        ({"prompt_version": "0"}, f"trained on prompt version 0; this trsr-lite has {PROMPT_VERSION}"),
    ],
)
def test_a_scorer_refuses_what_it_cannot_reproduce(
    finished: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    (tmp_path / "run.json").write_text(json.dumps({**record_of(finished), **changes}))
    with pytest.raises(ModelError, match=said):
        Scorer(tmp_path)


def test_only_the_adapter_is_trained(fit: Fit, finished: Path, tiny_base: Path) -> None:
    names = {name.split(".")[-3] for name in weights(finished / "adapter")}
    assert names == set(train.TrainOptions().layers)
    config = json.loads((finished / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_base)
    assert (config["r"], config["lora_alpha"]) == (16, 32)


def test_a_run_keeps_the_lists_it_was_validated_on(finished: Path, held_out: list[PackedRow]) -> None:
    scorer = Scorer(finished, offline=True)
    kept = ranking_data.read(finished / "lists.jsonl")
    assert [one.row(scorer.settings, scorer.tokenizer) for one in kept] == held_out


# What it does not do

NO_NETWORK = """
import socket, sys
from pathlib import Path

def refuse(*arguments, **more):
    raise AssertionError(f"a connection was asked for: {arguments}")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
from tests.training.conftest import tiny_examples, tiny_options, tiny_settings
from trsr_lite.training.train import train
base, data, output = map(Path, sys.argv[1:])
import huggingface_hub.constants
assert not huggingface_hub.constants.HF_HUB_OFFLINE
train(tiny_options(base, max_steps=2, validate_every=1), tiny_settings(), tiny_examples(data), output)
"""


def test_a_run_on_a_local_base_opens_no_connection(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(NO_NETWORK)
    done = program(str(script), tiny_base, tiny_data, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 2


def test_a_run_of_the_default_settings_names_what_it_needs() -> None:
    assert train.TrainOptions().base == "smollm2"
    assert Settings().strategy == "hierarchical"
