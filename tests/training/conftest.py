"""What tests of training share: tiny random bases, a data set that can be learned in seconds, and a few finished runs.

Invariant: everything is made here, on the CPU, and no test asks the network for anything.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PACKAGE_PARENT, REQUIRE_ALL, ROOT

# Read by torch and tqdm when they are first imported.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TQDM_DISABLE"] = "1"

NEEDED = ("torch", "transformers", "peft", "accelerate", "tokenizers")
ABSENT = [name for name in NEEDED if importlib.util.find_spec(name) is None]
if ABSENT and REQUIRE_ALL:
    raise pytest.UsageError(f"tests of training need {', '.join(ABSENT)}: pip install 'trsr-lite[train]'")
collect_ignore_glob = ["test_*.py"] if ABSENT else []

TOPICS = {
    "football": ("goal", "coach", "league", "striker", "cup"),
    "cooking": ("soup", "oven", "recipe", "spice", "bread"),
    "space": ("orbit", "rocket", "planet", "comet", "probe"),
    "garden": ("tulip", "seed", "hedge", "soil", "bloom"),
    "music": ("violin", "opera", "choir", "tempo", "band"),
}
LOVED = "football"
ITEMS_OF_A_TOPIC = 12
USERS, SEQUENCE = 40, 8

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIALS = ("<s>", "</s>", "<|im_start|>", "<|im_end|>")


def make_tokenizer(*, answers: bool = True, bos: bool = False, normalizer: Any = None) -> Any:
    """A byte-level BPE tokenizer; without `answers`, yes and no are several tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    words = [word for topic, rest in TOPICS.items() for word in (topic, *rest)]
    asked = [
        "### Task\nWill this reader read the candidate article? Answer below.\n\n### Preference\nNothing is known yet.",
        "### Recent articles, oldest first\n- title\n\n### Candidate article\n- title\n\n### Answer (",
        "user item product shopper buy chose choose likes items about Summarize the interests of a in one sentence.",
    ]
    texts = [*asked, *(f"{word} report a {word}" for word in words)] * 20
    if answers:
        texts += ["\nyes\nno", "(yes or no)"] * 50
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=520,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="<|im_end|>",
        pad_token="</s>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHATML,
    )


def write_base(folder: Path, kind: str = "llama", *, tokenizer: Any = None, seed: int = 0, **changes: Any) -> Path:
    """A tiny random model with a tokenizer, as safetensors; `kind` is `llama` or `qwen2`."""
    import torch
    import transformers

    tokenizer = tokenizer or make_tokenizer()
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "initializer_range": 0.3,
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **changes,
    }
    names = {"llama": "Llama", "qwen2": "Qwen2"}
    config = getattr(transformers, f"{names[kind]}Config")(**shape)
    torch.manual_seed(seed)
    model = getattr(transformers, f"{names[kind]}ForCausalLM")(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_data(folder: Path, *, users: int = USERS, seed: int = 0) -> Path:
    """Items of several topics; every user reads about one of them, so a candidate's words say its label."""
    rng = random.Random(seed)
    items, number = {}, 0
    for topic, words in TOPICS.items():
        for _ in range(ITEMS_OF_A_TOPIC):
            items[f"n{number}"] = {"title": f"{topic} {rng.choice(words)} {rng.choice(words)}", "topic": topic}
            number += 1
    loved = [name for name, item in items.items() if item["topic"] == LOVED]
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"id": name, "title": item["title"]}) for name, item in items.items()]
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")
    lines = [
        json.dumps({"user_id": f"u{user}", "item_id": name})
        for user in range(users)
        for name in rng.sample(loved, SEQUENCE)
    ]
    (folder / "interactions.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama."""
    return write_base(tmp_path_factory.mktemp("bases") / "tiny-llama")


@pytest.fixture(scope="session")
def tiny_qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen2, which has biases in its attention."""
    return write_base(tmp_path_factory.mktemp("bases") / "tiny-qwen2", "qwen2")


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in which everybody reads about football."""
    return write_data(tmp_path_factory.mktemp("data") / "football")


# Runs

STEPS, EVERY = 12, 3
Fit = Callable[..., Any]


def tiny_settings(**changes: Any) -> Any:
    from trsr_lite import Settings

    return Settings(**{"strategy": "none", "domain": "news", "prompt_tokens": 512, **changes})


def tiny_options(base: Path, **changes: Any) -> Any:
    """Twelve steps in a second or two, which are enough to learn `tiny_data`."""
    from trsr_lite.training.train_options import TrainOptions

    usual = {
        "base": str(base),
        "epochs": 9,
        "max_steps": STEPS,
        "validate_every": EVERY,
        "learning_rate": 2e-2,
        "dtype": "float32",
    }
    return TrainOptions(**{**usual, **changes})


def tiny_examples(data: Path, **changes: Any) -> Any:
    from trsr_lite.datasets.data_options import DataOptions

    return DataOptions(**{"dataset": "jsonl", "data": str(data), "test_negatives": 10, "validation": 0.2, **changes})


@pytest.fixture(scope="session")
def fit(tiny_base: Path, tiny_data: Path) -> Fit:
    """`fit(output, resume=…, data=…, settings=…, **options)`: a run on the tiny base; returns its `Outcome`."""
    from trsr_lite.training.train import train

    flags = ("resume", "force", "offline", "cache_dir", "machine", "progress", "on_event")

    def run(output: Path, *, data: Any = None, settings: Any = None, **changes: Any) -> Any:
        given = {name: changes.pop(name) for name in flags if name in changes}
        options = tiny_options(changes.pop("base", tiny_base), **changes)
        return train(options, settings or tiny_settings(), data or tiny_examples(tiny_data), output, **given)

    return run


@pytest.fixture(scope="session")
def finished(fit: Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run, which no test may change."""
    output = tmp_path_factory.mktemp("runs") / "finished"
    fit(output)
    return output


def log_of(run: Path) -> list[dict[str, Any]]:
    """The log without what depends on the clock."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    clocks = ("tokens_per_second", "seconds")
    return [{name: value for name, value in line.items() if name not in clocks} for line in lines]


def losses(run: Path) -> list[float]:
    """The loss of each step."""
    return [line["loss"] for line in log_of(run) if "score" not in line]


def validations(run: Path) -> list[dict[str, Any]]:
    """The metrics of each validation."""
    return [line for line in log_of(run) if "score" in line]


def weights(folder: Path, file: str = "adapter_model.safetensors") -> dict[str, Any]:
    """The tensors of a safetensors file."""
    from safetensors.torch import load_file

    return load_file(folder / file)


def program(
    code: str, *arguments: str | Path, launcher: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a process of its own."""
    path = os.pathsep.join([str(PACKAGE_PARENT), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-W", "ignore", *launcher, code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
