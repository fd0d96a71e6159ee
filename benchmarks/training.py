"""What packing saves in training, and what it costs: SmolLM2-135M with LoRA on every linear layer.

Each row is one user: a prefix of 600 tokens and candidates of 60. Compared are one pack for the row, one prompt for
each candidate (the same loss from the same examples), and transformers' plain Trainer with peft and torch's own causal
attention on as many tokens. How much of what the machine can do a full pack is, is said against matrix products of its
own; `--base llama-1b` is a Llama of 1.2 billion random weights, for a GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
import unittest.mock
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import transformers
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from benchmarks.measure import in_turns, ratio, report
from trsr_lite.training import base_model, lora
from trsr_lite.training.losses import Objective, margins
from trsr_lite.training.packing import PackedRow, pack
from trsr_lite.training.train import BATCH_TOKENS
from trsr_lite.training.train_options import TrainOptions
from trsr_lite.training.trainer import forward

DEFAULT = "smollm2"
RANDOM = "llama-1b"
SHAPE = {  # of Llama 3.2 1B
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
}
SQUARE, PRODUCTS = 2048, 16  # rows and columns of the matrix products that are the limit, and how many
PREFIX, SUFFIX, ROUNDS = 600, 60, 3
TOKENS = 40000  # random ones below this
ANSWERS = (10407, 4607)
REQUIRED = {2: "≥ 1.6×", 5: "≥ 3×"}
OPTIONS = TrainOptions(dropout=0.0)
LOSSES = Objective(ANSWERS, listwise=1.0, answer=0.2)


def row(candidates: int) -> PackedRow:
    """A row of random tokens."""
    draw = torch.Generator().manual_seed(candidates)
    tokens = torch.randint(3, TOKENS, (PREFIX + candidates * SUFFIX,), generator=draw).tolist()
    ends = [tuple(tokens[start : start + SUFFIX]) for start in range(PREFIX, len(tokens), SUFFIX)]
    return PackedRow(tuple(tokens[:PREFIX]), tuple(ends), (1,) + (0,) * (candidates - 1))


def packed(model: Any, one: PackedRow, device: torch.device) -> torch.Tensor:
    """Forward and backward of one row as a pack; the loss."""
    part = pack([one]).to(device)
    loss = LOSSES(forward(model, part), part)
    loss.backward()
    return loss.detach()


def apart(model: Any, one: PackedRow, device: torch.device) -> torch.Tensor:
    """The same with one prompt for each candidate, in one padded batch as a plain loop has it."""
    part = pack([one]).to(device)
    whole = torch.tensor([one.prefix + suffix for suffix in one.suffixes], device=device)
    loss = LOSSES(_last(model, whole), part)
    loss.backward()
    return loss.detach()


def examples(model: Any, plain: Any, device: torch.device) -> tuple[list[tuple[str, str, str]], dict[str, Any]]:
    """Examples per second in training and validation, packed against apart."""
    rows, data = [], {}
    for candidates, required in REQUIRED.items():
        one = row(candidates)
        seconds = in_turns(
            {
                "packed": lambda one=one: _timed(packed, model, one, device),
                "apart": lambda one=one: _timed(apart, plain, one, device),
            },
            ROUNDS,
        )
        data[f"1:{candidates - 1}"] = seconds
        gain = ratio(seconds["apart"], seconds["packed"])
        rows.append((f"training 1:{candidates - 1}, packed against one prompt a candidate", f"{gain:.2f}×", required))
    one = row(21)

    def validate(model: Any, pieces: Sequence[PackedRow]) -> None:
        with torch.no_grad():
            for piece in pieces:
                part = pack([piece]).to(device)
                margins(forward(model, part), ANSWERS).tolist()

    def validate_apart() -> None:
        with torch.no_grad():
            for suffix in one.suffixes:
                whole = torch.tensor([one.prefix + suffix], device=device)
                margins(_last(plain, whole), ANSWERS).tolist()

    seconds = in_turns({"packed": lambda: validate(model, [one]), "apart": validate_apart}, ROUNDS)
    data["validation"] = seconds
    rows.append(
        (
            "validation with 21 candidates, packed against one prompt at a time",
            f"{ratio(seconds['apart'], seconds['packed']):.2f}×",
            "≥ 6×",
        )
    )
    return rows, data


def throughput(model: Any, plain: Any, device: torch.device) -> tuple[list[tuple[str, str, str]], dict[str, Any]]:
    """Tokens per second of packs against a plain Trainer step on one sequence of as many tokens."""
    rows, data = [], {}
    with tempfile.TemporaryDirectory() as unused:  # which a Trainer makes
        arguments = transformers.TrainingArguments(
            unused, report_to="none", use_cpu=device.type == "cpu", bf16=lora.autocast(plain)
        )
        trainer = transformers.Trainer(model=plain, args=arguments, train_dataset=[0])
    trainer.current_gradient_accumulation_steps = 1  # what `train` would set
    plain = trainer.accelerator.prepare_model(plain)  # what `train` would do: its type of computing is set there
    for candidates in (2, 5, 21):
        one = row(candidates)
        ids = torch.tensor([[token for part in (one.prefix, *one.suffixes) for token in part]], device=device)
        labels = torch.full_like(ids, -100)
        labels[0, -1] = ANSWERS[0]  # supervised as the paper's yes or no

        def step(
            plain: Any, _: PackedRow, __: torch.device, ids: torch.Tensor = ids, labels: torch.Tensor = labels
        ) -> None:
            trainer.training_step(plain, {"input_ids": ids, "labels": labels})

        seconds = in_turns(
            {
                "packed": lambda one=one: _timed(packed, model, one, device),
                "plain": lambda one=one, step=step: _timed(step, plain, one, device),
            },
            ROUNDS,
        )
        rate = ratio(seconds["plain"], seconds["packed"])
        data[f"{ids.shape[1]} tokens"] = seconds
        rows.append((f"tokens/s against a plain Trainer, {ids.shape[1]} tokens", f"{rate:.2f}×", "≥ 0.95×"))
    return rows, data


def utilisation(model: Any, device: torch.device) -> tuple[list[tuple[str, str, str]], dict[str, Any]]:
    """Users, tokens and floating-point operations a second of packs that are full, against plain matrix products."""
    one = row(5)
    rows = [one] * (BATCH_TOKENS["cpu" if device.type == "cpu" else "gpu"] // len(one))
    dtype = torch.bfloat16 if lora.autocast(model) else torch.float32
    square = torch.randn(SQUARE, SQUARE, dtype=dtype, device=device)

    def step() -> None:
        part = pack(rows).to(device)
        LOSSES(forward(model, part), part).backward()

    def multiply() -> None:
        for _ in range(PRODUCTS):
            square @ square

    seconds = in_turns(
        {"packed": lambda: _clocked(step, device), "products": lambda: _clocked(multiply, device)}, ROUNDS
    )
    work = len(rows) * operations(model, one)
    limit = PRODUCTS * 2 * SQUARE**3
    used = ratio(seconds["products"], seconds["packed"]) * work / limit
    fastest = min(seconds["packed"])
    rates = f"{len(rows) / fastest:.3g} users/s, {len(rows) * len(one) / fastest:.4g} tokens/s"
    measured = [
        (f"training 1:4 in packs of {len(rows) * len(one)} tokens", rates, ""),
        ("… model operations/s against the machine's matrix products", f"{used:.0%}", ""),
    ]
    return measured, {**seconds, "operations": work, "operations of products": limit}


def operations(model: Any, one: PackedRow) -> float:
    """Floating-point operations of one row, forward and backward: frozen weights need no gradient of their own.

    A multiplication and an addition are two. Embeddings are looked up; the output layer answers for candidates alone.
    """
    config, head = model.config, model.get_output_embeddings().weight
    trained = sum(weight.numel() for _, weight in _trained(model))
    looked_up = {id(head), id(model.get_input_embeddings().weight)}
    used = sum(weight.numel() for weight in model.parameters() if weight.ndim == 2 and id(weight) not in looked_up)
    products = (4 * used + 2 * trained) * len(one) + 4 * head.numel() * len(one.suffixes)
    prefix = len(one.prefix)
    pairs = prefix**2 / 2 + sum(len(suffix) * (prefix + len(suffix) / 2) for suffix in one.suffixes)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return products + 12 * pairs * width * config.num_attention_heads * config.num_hidden_layers


def same(name: str, dtype: torch.dtype, device: torch.device) -> list[tuple[str, str, str]]:
    """Loss and gradients, packed against apart: in float32 they differ by rounding, in float64 they must not."""
    model, plain = (one.to(dtype) for one in models(name, dtype, device))
    one = row(2)
    losses, gradients = [], []
    for work, which in ((packed, model), (apart, plain)):
        which.zero_grad()
        losses.append(float(work(which, one, device)))
        gradients.append(torch.cat([p.grad.flatten() for _, p in sorted(_trained(which))]))
        which.zero_grad()
    off = float((gradients[0] - gradients[1]).norm() / gradients[1].norm())
    precision = str(dtype).removeprefix("torch.")
    return [
        (f"loss, packed against apart (relative, {precision})", f"{abs(losses[0] / losses[1] - 1):.1e}", "≤ 1e-4"),
        (f"gradients, packed against apart (relative, {precision})", f"{off:.1e}", "≤ 1e-4"),
    ]


@contextlib.contextmanager
def doubled() -> Iterator[None]:
    """What transformers and we compute in float32 whatever the weights, in float64: norms, output layer and losses."""
    float64 = unittest.mock.patch.object(torch.Tensor, "float", torch.Tensor.double)
    with float64, unittest.mock.patch.object(LlamaRMSNorm, "forward", _norm):
        yield


def _norm(self: LlamaRMSNorm, states: torch.Tensor) -> torch.Tensor:
    scale = torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
    return self.weight * (states * scale)


def models(name: str, dtype: torch.dtype, device: torch.device) -> tuple[Any, Any]:
    """A base with an adapter twice, with the same weights: tree attention, and torch's own."""
    made = []
    for attention in (None, "sdpa"):
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            model = base_model.load(_random(folder) if name == RANDOM else base_model.locate(name), dtype)
        if attention:
            model.set_attn_implementation(attention)
        adapted = lora.attach(model, OPTIONS).to(device)
        for _, parameter in sorted(_trained(adapted)):
            torch.nn.init.normal_(parameter, std=0.01)
        made.append(adapted.train())
    return made[0], made[1]


def main() -> None:
    """Measure, print and write `results/training.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default=DEFAULT, help=f"as of `trsr-lite train`, or {RANDOM}")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = same(arguments.base, torch.float32, device)
    with doubled():
        rows += same(arguments.base, torch.float64, device)
    dtype = base_model.best_dtype(device)
    model, plain = models(arguments.base, dtype, device)
    more, data = examples(model, plain, device)
    used, full = utilisation(model, device)
    rates, tokens = throughput(model, plain, device)
    report(
        "training",
        [*rows, *more, *rates, *used],
        {
            "base": arguments.base,
            "device": torch.cuda.get_device_name()
            if device.type == "cuda"
            else f"cpu, {torch.get_num_threads()} threads",
            "dtype": str(dtype).removeprefix("torch."),
            "torch": torch.__version__,
            "examples": data,
            "tokens": tokens,
            "full packs": full,
        },
        whole=arguments.base == DEFAULT,
    )


def _random(folder: str) -> base_model.Base:
    """A base of random weights, of the shape of a larger one."""
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE)).to(torch.bfloat16)
    model.save_pretrained(folder)
    return base_model.Base(RANDOM, folder)


def _last(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """(prompts, vocabulary) logits after each prompt, computed in the type that training computes in."""
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=lora.autocast(model)):
        logits: torch.Tensor = model(input_ids=ids, logits_to_keep=1, use_cache=False).logits[:, 0]
    return logits


def _trained(model: Any) -> list[tuple[str, Any]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def _timed(work: Any, model: Any, one: PackedRow, device: torch.device) -> float:
    seconds = _clocked(lambda: work(model, one, device), device)
    model.zero_grad()
    return seconds


def _clocked(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
