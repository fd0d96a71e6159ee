"""Adapters with a padded rank: the same function, and what is not plain is copied as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft", reason="needs `pip install 'trsr-lite[train]'`")

import torch
from safetensors.torch import load_file, save_file

from trsr_lite.conversion import rank_padding
from trsr_lite.conversion.rank_padding import CONFIG, WEIGHTS

MODULES = {"layers.0.self_attn.q_proj": (24, 24), "layers.1.mlp.gate_proj": (40, 24)}


def adapter(folder: Path, rank: int, **changes: Any) -> Path:
    """As peft saves it, with random weights."""
    folder.mkdir()
    draw = torch.Generator().manual_seed(1)
    weights = {}
    for name, (out, into) in MODULES.items():
        weights[f"base_model.model.model.{name}.lora_A.weight"] = torch.randn(rank, into, generator=draw)
        weights[f"base_model.model.model.{name}.lora_B.weight"] = torch.randn(out, rank, generator=draw)
    save_file(weights, folder / WEIGHTS)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 20, "rank_pattern": {}, "alpha_pattern": {}, **changes}
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    return folder


def padded(source: Path, target: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    target.mkdir()
    rank_padding.write(source, target)
    assert sorted(path.name for path in target.iterdir()) == [CONFIG, WEIGHTS]
    return json.loads((target / CONFIG).read_text(encoding="utf-8")), load_file(target / WEIGHTS)


def products(config: dict[str, Any], weights: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """What each pair adds to its weight."""
    names = [name for name in weights if ".lora_A." in name]
    scale = config["lora_alpha"] / config["r"]
    return [scale * weights[name.replace(".lora_A.", ".lora_B.")] @ weights[name] for name in sorted(names)]


@pytest.mark.parametrize(("rank", "wide"), [(1, 16), (6, 16), (8, 16), (17, 32)])
def test_the_rank_is_padded_with_zeros_and_the_product_is_the_same(tmp_path: Path, rank: int, wide: int) -> None:
    source = adapter(tmp_path / "narrow", rank)
    config, weights = padded(source, tmp_path / "wide")
    before = load_file(source / WEIGHTS)
    assert config["r"] == wide and config["peft_type"] == "LORA" and weights.keys() == before.keys()
    for name, matrix in weights.items():
        side = 0 if ".lora_A." in name else 1
        assert matrix.shape[side] == wide and not matrix.narrow(side, rank, wide - rank).any()
        assert torch.equal(matrix.narrow(side, 0, rank), before[name])
    plain = json.loads((source / CONFIG).read_text(encoding="utf-8"))
    for one, other in zip(products(config, weights), products(plain, before), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("rank", "changes"),
    [(16, {}), (8, {"rank_pattern": {"q_proj": 4}}), (8, {"alpha_pattern": {"q_proj": 4}}), (8, {"use_rslora": True})],
    ids=["fills vectors already", "several ranks", "several scales", "another scale"],
)
def test_what_is_not_plain_or_gains_nothing_is_copied(tmp_path: Path, rank: int, changes: dict[str, Any]) -> None:
    source = adapter(tmp_path / "narrow", rank, **changes)
    padded(source, tmp_path / "wide")
    for name in (CONFIG, WEIGHTS):
        assert (tmp_path / "wide" / name).read_bytes() == (source / name).read_bytes()


def test_a_narrow_adapter_fills_vectors_in_its_gguf(converter: Any, runs: dict[str, Path], tmp_path: Path) -> None:
    from gguf import GGUFReader

    from trsr_lite.conversion import gguf, merge
    from trsr_lite.training import base_model

    (narrow := tmp_path / "narrow").mkdir()
    config = json.loads((runs["llama"] / "adapter" / CONFIG).read_text(encoding="utf-8"))
    weights = load_file(runs["llama"] / "adapter" / WEIGHTS)
    cut = {name: (matrix[:6] if ".lora_A." in name else matrix[:, :6]).contiguous() for name, matrix in weights.items()}
    save_file(cut, narrow / WEIGHTS)
    (narrow / CONFIG).write_text(json.dumps({**config, "r": 6, "lora_alpha": 9}), encoding="utf-8")
    located = base_model.locate(json.loads((runs["llama"] / "run.json").read_bytes())["base"]["name"], offline=True)
    merge.save(base_model.load(located, torch.float32, offline=True), located, tmp_path / "base", offline=True)
    gguf.convert_adapter(converter, narrow, tmp_path / "base", tmp_path / "adapter.gguf")
    reader = GGUFReader(tmp_path / "adapter.gguf")
    assert len(reader.tensors) == len(cut)
    assert {int(one.shape[1 if one.name.endswith("lora_a") else 0]) for one in reader.tensors} == {16}
    assert reader.fields["adapter.lora.alpha"].contents() / 16 == pytest.approx(9 / 6)
