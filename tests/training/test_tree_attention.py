"""Attention over packs: every candidate gets what its own whole prompt gets, in values and in gradients."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy

from trsr_lite.training import base_model, lora, tree_attention
from trsr_lite.training.base_model import Base
from trsr_lite.training.losses import Objective, margins
from trsr_lite.training.packing import Pack, PackedRow, pack
from trsr_lite.training.train_options import TrainOptions
from trsr_lite.training.trainer import forward
from trsr_lite.training.tree_attention import Tree

YES, NO = 5, 9
ANSWERS = (YES, NO)
CLOSE = 1e-4
OPTIONS = TrainOptions(base="tiny", dropout=0.0, rank=4, alpha=8)


@pytest.fixture(params=["llama", "qwen2"])
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue({"llama": "tiny_base", "qwen2": "tiny_qwen"}[request.param])
    return found


@pytest.fixture(params=["fused", "plain"])
def attention(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either way of computing it, whatever the type and the length."""
    if request.param == "plain":
        monkeypatch.setattr(
            tree_attention, "fused_attention", lambda *of_row: tree_attention.plain_attention(*of_row[:-1])
        )
    return str(request.param)


def packed(folder: Path) -> Any:
    return base_model.load(Base(str(folder), str(folder)), torch.float32, offline=True)


def whole(folder: Path) -> Any:
    """The same weights with transformers' plain attention, which knows nothing of packs."""
    return transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)


def adapted(model: Any, options: TrainOptions = OPTIONS) -> Any:
    """The model with an adapter that is not the zero it starts as."""
    model = lora.attach(model, options)
    draw = torch.Generator().manual_seed(7)
    for _, weight in sorted(trained(model).items()):
        weight.data = torch.randn(weight.shape, generator=draw) * 0.1
    return model


def trained(model: Any) -> dict[str, torch.nn.Parameter]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {name: weight.grad for name, weight in trained(model).items()}
    assert all(grad is not None and grad.abs().max() > 0 for grad in found.values())
    return {name: grad for name, grad in found.items() if grad is not None}


def drawn(prefix: int, *suffixes: int, seed: int = 0, labels: Sequence[int] | None = None) -> PackedRow:
    rng = torch.Generator().manual_seed(1000 * seed + prefix)

    def some(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(10, 300, (count,), generator=rng).tolist())

    ends = tuple(some(count) for count in suffixes)
    return PackedRow(some(prefix), ends, tuple(labels or [1] + [0] * (len(ends) - 1)))


ROWS = (
    drawn(40, 9, 14, 5, 9, seed=1),
    drawn(3, 1, 17, seed=2, labels=[0, 1]),
    drawn(71, 8, seed=3),
    drawn(1, 6, 6, 2, seed=4, labels=[1, 0, 1]),
)
PACKS = (*([row] for row in ROWS), ROWS, ROWS[::-1])


def prompts(rows: Sequence[PackedRow]) -> list[list[int]]:
    return [[*row.prefix, *suffix] for row in rows for suffix in row.suffixes]


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= CLOSE * expected.abs().max()


@pytest.mark.usefixtures("attention")
@pytest.mark.parametrize("rows", PACKS, ids=lambda rows: f"{len(rows)}-rows-of-{len(rows[0].prefix)}")
@torch.no_grad()
def test_logits_of_a_pack_are_those_of_each_whole_prompt_alone(folder: Path, rows: Sequence[PackedRow]) -> None:
    found = forward(packed(folder), pack(rows))
    reference = whole(folder)
    expected = torch.stack([reference(torch.tensor([prompt])).logits[0, -1] for prompt in prompts(rows)])
    assert expected.std() > 1  # wide enough that a wrong position or mask shows
    same(found, expected)


@pytest.mark.usefixtures("attention")
@torch.no_grad()
def test_every_token_of_a_pack_gets_what_it_gets_in_its_prompt(folder: Path) -> None:
    part = pack(ROWS, ANSWERS, whole_text=True)
    found = forward(packed(folder), part)[len(part.ends) :]
    reference, expected = whole(folder), []
    for row in ROWS:
        logits = [reference(torch.tensor([[*row.prefix, *suffix]])).logits[0] for suffix in row.suffixes]
        expected += logits[0][: len(row.prefix) - 1]
        for each in logits:
            expected += each[len(row.prefix) - 1 :]
    same(found, torch.stack(list(expected)))


def rewritten(row: PackedRow, index: int, tokens: Sequence[int]) -> PackedRow:
    return PackedRow(row.prefix, (*row.suffixes[:index], tuple(tokens), *row.suffixes[index + 1 :]), row.labels)


@pytest.mark.usefixtures("attention")
@pytest.mark.parametrize("tokens", [range(20, 34), range(20, 23), range(20, 60)], ids=["same", "shorter", "longer"])
@torch.no_grad()
def test_a_candidate_does_not_hear_of_another_one_or_of_another_row(folder: Path, tokens: Sequence[int]) -> None:
    model = packed(folder)
    before = forward(model, pack(ROWS))
    changed = [rewritten(ROWS[0], 1, tokens), *ROWS[1:]]
    after = forward(model, pack(changed))
    others = [index for index in range(len(before)) if index != 1]
    same(after[others], before[others])
    assert (after[1] - before[1]).abs().max() > 0.1
    without = forward(model, pack(ROWS[:1]))
    same(without, before[:4])


@torch.no_grad()
def test_a_candidate_reads_its_whole_prefix(folder: Path) -> None:
    model, row = packed(folder), ROWS[0]
    before = forward(model, pack([row]))
    after = forward(model, pack([PackedRow((row.prefix[0] + 1, *row.prefix[1:]), row.suffixes, row.labels)]))
    assert ((after - before).abs().amax(dim=1) > 1e-3).all()


def listwise(values: torch.Tensor, labels: Sequence[int]) -> torch.Tensor:
    """The mean over positives of −log(e^m / sum of e^m of all)."""
    terms = [-torch.log(value.exp() / values.exp().sum()) for value, label in zip(values, labels, strict=True) if label]
    return torch.stack(terms).mean()


def whole_prompt_loss(model: Any, row: PackedRow, objective: Objective) -> torch.Tensor:
    """A row's loss from its prompts, one at a time, in the words of the paper."""
    ends, texts, count = [], [], 0
    for suffix, label in zip(row.suffixes, row.labels, strict=True):
        prompt = [*row.prefix, *suffix]
        answered = [*prompt, YES if label else NO]
        logits = model(torch.tensor([prompt])).logits[0].float()
        ends.append(logits[-1])
        texts.append(cross_entropy(logits, torch.tensor(answered[1:]), reduction="sum"))
        count += len(answered) - 1
    stacked, wanted = torch.stack(ends), torch.tensor([YES if label else NO for label in row.labels])
    return (
        objective.listwise * listwise(stacked[:, YES] - stacked[:, NO], row.labels)
        + objective.answer * cross_entropy(stacked, wanted)
        + objective.text * sum(texts, torch.zeros(())) / count
    )


@pytest.mark.usefixtures("attention")
@pytest.mark.parametrize(
    "objective",
    [Objective(ANSWERS, listwise=1.0, answer=0.2), Objective(ANSWERS, answer=1.0), Objective(ANSWERS, text=1.0)],
    ids=["both", "answer", "whole_text"],
)
def test_loss_and_gradients_of_a_pack_are_those_of_whole_prompts(folder: Path, objective: Objective) -> None:
    model, reference = adapted(packed(folder)), adapted(whole(folder))
    part = pack(ROWS, ANSWERS, whole_text=bool(objective.text))
    found = objective(forward(model, part), part) / len(ROWS)
    found.backward()
    expected = sum((whole_prompt_loss(reference, row, objective) for row in ROWS), torch.zeros(())) / len(ROWS)
    expected.backward()
    assert found.item() == pytest.approx(expected.item(), rel=CLOSE)
    one, other = gradients(model), gradients(reference)
    assert set(one) == set(other)
    for name, grad in one.items():
        same(grad, other[name])


def test_how_rows_are_packed_decides_nothing(tiny_base: Path) -> None:
    objective, found = Objective(ANSWERS, listwise=1.0, answer=0.2), []
    for groups in ([[0, 1, 2, 3]], [[0], [1], [2], [3]], [[3, 1], [2, 0]]):
        model, total = adapted(packed(tiny_base)), 0.0
        for group in groups:
            part = pack([ROWS[index] for index in group])
            loss = objective(forward(model, part), part)
            loss.backward()
            total += loss.item()
        found.append((total, gradients(model)))
    for one, other in itertools.pairwise(found):
        assert one[0] == pytest.approx(other[0], rel=CLOSE)
        for name, grad in one[1].items():
            same(grad, other[1][name])


def test_gradient_checkpointing_computes_twice_and_gets_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, found = [0, 0], []
    plain = tree_attention.scaled_dot_product_attention
    for number, checkpointing in enumerate((False, True)):

        def counted(*arguments: Any, number: int = number, **more: Any) -> torch.Tensor:
            calls[number] += 1
            return plain(*arguments, **more)

        monkeypatch.setattr(tree_attention, "scaled_dot_product_attention", counted)
        options = TrainOptions(base="tiny", dropout=0.0, rank=4, gradient_checkpointing=checkpointing)
        model = adapted(packed(folder), options).train()
        part = pack(ROWS)
        Objective(ANSWERS, listwise=1.0, answer=0.2)(forward(model, part), part).backward()
        found.append(gradients(model))
    assert calls[1] == 2 * calls[0]
    for name, grad in found[0].items():
        same(found[1][name], grad)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_in_bfloat16_lora_is_kept_in_float32_and_computed_in_bfloat16(folder: Path, checkpointing: bool) -> None:
    options = TrainOptions(base="tiny", dropout=0.0, rank=4, alpha=8, gradient_checkpointing=checkpointing)
    objective, part, found = Objective(ANSWERS, listwise=1.0, answer=0.2), pack(ROWS), []
    for kind in (torch.float32, torch.bfloat16):
        model = adapted(base_model.load(Base(str(folder), str(folder)), kind, offline=True), options).train()
        seen = []
        for name, module in model.named_modules():
            if name.endswith("lora_A.default"):
                module.register_forward_hook(lambda _, given, out, seen=seen: seen.append((given[0].dtype, out.dtype)))
        logits = forward(model, part)
        objective(logits, part).backward()
        assert set(seen) == {(kind, kind)}
        grads = gradients(model)
        assert {grad.dtype for grad in grads.values()} == {torch.float32}
        found.append((logits.detach(), torch.cat([grad.flatten() for grad in grads.values()])))
    for exact, rounded in zip(*found, strict=True):
        assert 0 < (exact - rounded).norm() < 0.15 * exact.norm()


@pytest.mark.parametrize("offset", [0, 150])
def test_in_bfloat16_plain_attention_is_as_exact_as_the_fused_one(offset: float) -> None:
    """Whatever all keys share: Qwen2 has biases that large."""
    draw = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(heads, 90, 16, generator=draw) for heads in (4, 2, 2))
    key += offset * torch.randn(2, 1, 16, generator=draw)
    row = Tree(0, 40, (20, 30))
    states = [state.bfloat16() for state in (query, key, value)]
    exact = torch.cat(tree_attention.fused_attention(*(state.float() for state in states), row, None, 0.0), dim=1)
    for found in (
        tree_attention.fused_attention(*states, row, None, 0.0),
        tree_attention.plain_attention(*states, row, None),
    ):
        assert (torch.cat(found, dim=1) - exact).norm() < 0.02 * exact.norm()


def test_values_may_be_narrower_than_keys() -> None:
    draw = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(1, heads, 9, width, generator=draw) for heads, width in ((4, 16), (2, 16), (2, 8)))
    trees = [Tree(0, 4, (2, 3))]
    exact, _ = tree_attention.forward(torch.nn.Identity(), query, key, value, None, trees=trees)
    states = [state.bfloat16() for state in (query, key, value)]
    found, _ = tree_attention.forward(torch.nn.Identity(), *states, None, trees=trees)
    assert found.shape == exact.shape == (1, 9, 4, 8)
    assert (found - exact).norm() < 0.02 * exact.norm()


def test_the_head_computes_in_float32_whatever_the_weights_are(tiny_base: Path) -> None:
    model = base_model.load(Base("tiny", str(tiny_base)), torch.bfloat16, offline=True)
    logits = forward(model, pack(ROWS))
    assert logits.dtype == torch.float32
    assert len(set(margins(logits, ANSWERS).tolist())) == len(logits)
    hidden = torch.randn(3, 64)
    weight = model.get_input_embeddings().weight
    same(model.get_output_embeddings()(hidden.bfloat16()), hidden.bfloat16().float() @ weight.float().T)


def test_the_head_stays_tied_to_the_embedding(tiny_base: Path) -> None:
    model = packed(tiny_base)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


# What it refuses

SMALL = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def small_pack() -> Pack:
    return pack([PackedRow((3, 4, 5), ((6, 7), (8,)), (1, 0))])


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("Mistral", {"sliding_window": 8}),
        ("Mistral", {"sliding_window": 20}),
        ("Gemma2", {"sliding_window": 4096}),
        ("Gemma2", {"sliding_window": 12, "layer_types": ["sliding_attention", "full_attention"]}),
        ("Gemma2", {"attn_logit_softcapping": None, "sliding_window": 12, "layer_types": ["sliding_attention"] * 2}),
        ("Gemma3Text", {"sliding_window": 12, "layer_types": ["sliding_attention", "full_attention"]}),
    ],
)
def test_windows_and_caps_give_what_whole_prompts_give(tmp_path: Path, kind: str, more: dict[str, Any]) -> None:
    """Rows longer and shorter than the window, one behind the other."""
    names = {"Gemma3Text": "Gemma3"}
    config = getattr(transformers, f"{kind}Config")(**{**SMALL, "initializer_range": 0.3, **more})
    torch.manual_seed(0)
    getattr(transformers, f"{names.get(kind, kind)}ForCausalLM")(config).save_pretrained(tmp_path)
    model = base_model.load(Base("other", str(tmp_path)), torch.float32, offline=True).eval()
    plain = whole(tmp_path).eval()
    rows = [
        drawn(30, 4, 9, seed=1, labels=(1, 0)),
        drawn(5, 2, 3, seed=2, labels=(1, 0)),
        drawn(9, 12, 1, seed=3, labels=(1, 0)),
    ]
    with torch.no_grad():
        found = margins(forward(model, pack(rows)), ANSWERS).tolist()
        expected = []
        for row in rows:
            for suffix in row.suffixes:
                logits = plain(torch.tensor([[*row.prefix, *suffix]]), use_cache=False).logits[0, -1]
                expected.append(float(logits[YES] - logits[NO]))
    assert found == pytest.approx(expected, abs=CLOSE * max(map(abs, expected)))


def test_a_mistral_without_a_window_is_plain(tmp_path: Path) -> None:
    config = transformers.MistralConfig(**SMALL, sliding_window=None)
    transformers.MistralForCausalLM(config).save_pretrained(tmp_path)
    model = base_model.load(Base("other", str(tmp_path)), torch.float32, offline=True)
    assert forward(model, small_pack()).shape == (2, 300)


def test_the_attention_refuses_what_it_does_not_do() -> None:
    states = torch.zeros(1, 2, 4, 8)
    more: dict[str, Any] = {"s_aux": 8}
    with pytest.raises(NotImplementedError, match="sinks"):
        tree_attention.forward(torch.nn.Identity(), states, states, states, None, trees=[Tree(0, 3, (1,))], **more)


@pytest.mark.parametrize(("batch", "trees"), [(1, ()), (2, (Tree(0, 3, (1,)),))], ids=["no-trees", "a-batch"])
def test_the_attention_refuses_to_guess_where_rows_are(batch: int, trees: tuple[Tree, ...]) -> None:
    states = torch.zeros(batch, 2, 4, 8)
    with pytest.raises(NotImplementedError, match="trees"):
        tree_attention.forward(torch.nn.Identity(), states, states, states, None, trees=trees)


def test_a_prefix_may_stand_alone() -> None:
    states = torch.randn(1, 2, 5, 8, generator=torch.Generator().manual_seed(0))
    found, _ = tree_attention.forward(torch.nn.Identity(), states, states, states, None, trees=[Tree(0, 5, ())])
    expected = torch.nn.functional.scaled_dot_product_attention(states, states, states, is_causal=True)
    same(found, expected.transpose(1, 2))
