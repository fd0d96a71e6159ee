"""LoRA adapters with the rank that llama.cpp multiplies fastest: padded by zeros before they are written as GGUF.

Invariant: the padded adapter is the same function. llama.cpp's fast matrix product wants an inner dimension that fills
its vectors. On a rank of 8 it falls back to dot products of single values, which made scoring 1.4 times slower.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # of peft
FILLS = 16  # ranks that fill vectors of F16, the type that adapters are written in


def write(adapter: Path, target: Path) -> None:
    """Write peft's two files into the folder `target`, with the next rank that fills vectors.

    An adapter of several ranks, or with another scale than alpha / rank, is copied as it is.
    """
    config = json.loads((adapter / CONFIG).read_text(encoding="utf-8"))
    rank = config["r"]
    wide = -(-rank // FILLS) * FILLS
    plain = not any(config.get(name) for name in ("rank_pattern", "alpha_pattern", "use_rslora"))
    if wide == rank or not plain:
        for name in (CONFIG, WEIGHTS):
            shutil.copy(adapter / name, target)
        return
    from safetensors.torch import load_file, save_file
    from torch.nn.functional import pad

    weights = load_file(adapter / WEIGHTS)
    for name, matrix in weights.items():  # A is (rank, in), B is (out, rank)
        more = (0, 0, 0, wide - rank) if ".lora_A." in name else (0, wide - rank)
        weights[name] = pad(matrix, more)
    save_file(weights, target / WEIGHTS)
    config |= {"r": wide, "lora_alpha": config["lora_alpha"] * wide / rank}  # the scale is alpha / rank
    (target / CONFIG).write_text(json.dumps(config), encoding="utf-8")
