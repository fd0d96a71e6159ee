"""Tiny but real GGUF models for tests: random weights, a genuine byte-level BPE tokenizer, under 1 MB each.

Idea: the engine under test loads these files through the ordinary llama.cpp path, so tests need no download
and still meet real tokenization, KV caches, sliding windows and recurrent state. The weights are drawn wide
(std 0.3, all norms 1), because narrow ones give nearly flat logits that would hide a wrong token or position.

Invariant: the same arguments give the same bytes, and every model of this module has the same vocabulary. In
it each entry of WORDS is one token, both bare and after a space, and those two are different tokens.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter, LlamaFileType, TokenType

ENDOFTEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
USER_DEFINED = "<|user_defined|>"
# The ids follow SmolLM2, whose pre-tokenizer this vocabulary also names.
SPECIALS: Mapping[str, TokenType] = {
    ENDOFTEXT: TokenType.CONTROL,
    IM_START: TokenType.CONTROL,
    IM_END: TokenType.CONTROL,
    USER_DEFINED: TokenType.USER_DEFINED,
}
PRE_TOKENIZER = "smollm"

CHATML_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n' }}"
    "{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

WORDS = [
    "yes",
    "no",
    "Yes",
    "No",
    "YES",
    "NO",
    "system",
    "user",
    "assistant",
    "You",
    "The",
    "Will",
    "Answer",
    "User",
    "Item",
    "AI",
    "helpful",
    "a",
    "an",
    "and",
    "are",
    "as",
    "be",
    "by",
    "for",
    "from",
    "has",
    "have",
    "in",
    "is",
    "it",
    "like",
    "likes",
    "liked",
    "not",
    "of",
    "on",
    "only",
    "or",
    "next",
    "read",
    "that",
    "the",
    "their",
    "they",
    "this",
    "to",
    "was",
    "watch",
    "watched",
    "will",
    "with",
    "would",
    "you",
    "answer",
    "book",
    "books",
    "buy",
    "bought",
    "candidate",
    "film",
    "films",
    "game",
    "history",
    "interest",
    "item",
    "items",
    "movie",
    "movies",
    "music",
    "person",
    "prefer",
    "product",
    "question",
    "rating",
    "recommend",
    "review",
    "summary",
    "taste",
    "text",
    "title",
    "word",
]

STD = 0.3
RMS_EPS = 1e-5
FEED_FORWARD = 128
WIDTH = 64
LAYERS = 2
HEADS = 4
KV_HEADS = 2
CONTEXT = 4096
WINDOW = 32

MAMBA_EXPANSION = 2  # the only factor llama.cpp accepts
MAMBA_CONV = 4
MAMBA_STATE = 8
MAMBA_DT_RANK = 4
# softplus(-3) is about 0.05: state then fades over tens of tokens, so early tokens still reach the logits.
MAMBA_DT_BIAS = -3.0

Shape = tuple[int, ...]
Tensors = dict[str, npt.NDArray[np.float64]]


def _byte_to_unicode() -> dict[int, str]:
    """GPT-2's mapping: printable bytes stand for themselves, the others for the code points from 256 on."""
    ranges = (("!", "~"), ("¡", "¬"), ("®", "ÿ"))
    printable = [byte for first, last in ranges for byte in range(ord(first), ord(last) + 1)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


def _merged(symbols: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """The symbols with every occurrence of the pair joined, left to right."""
    out: list[str] = []
    i = 0
    while i < len(symbols):
        step = 2 if symbols[i : i + 2] == pair else 1
        out.append("".join(symbols[i : i + step]))
        i += step
    return tuple(out)


def _train_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """BPE merges, in rank order, that turn each word (bare and after a space) into one symbol.

    Real training, rather than one chain of merges per word, since chains of different words would take each
    other's letters at tokenization time.
    """
    letters = _byte_to_unicode()
    texts = sorted({prefix + word for word in words for prefix in ("", " ")})
    pending = [tuple(letters[byte] for byte in text.encode()) for text in texts]
    merges: list[tuple[str, str]] = []
    while pending := [symbols for symbols in pending if len(symbols) > 1]:
        counts = Counter(pair for symbols in pending for pair in pairwise(symbols))
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        pending = [_merged(symbols, best) for symbols in pending]
    return merges


@cache
def vocabulary() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tokens in id order (specials, bytes, merged) and the merges in rank order, as GGUF spells them."""
    merges = _train_merges(WORDS)
    letters = _byte_to_unicode()
    tokens = dict.fromkeys([*SPECIALS, *(letters[byte] for byte in range(256)), *(a + b for a, b in merges)])
    return tuple(tokens), tuple(f"{a} {b}" for a, b in merges)


def _writer(
    path: Path, arch: str, layers: int, width: int, context: int, chat_template: str | None, add_bos: bool
) -> GGUFWriter:
    """A writer with everything that does not depend on the architecture, tokenizer included."""
    writer = GGUFWriter(path, arch)
    writer.add_name(f"tiny-{arch}")
    writer.add_file_type(LlamaFileType.ALL_F32)
    writer.add_block_count(layers)
    writer.add_embedding_length(width)
    writer.add_context_length(context)
    writer.add_layer_norm_rms_eps(RMS_EPS)

    tokens, merges = vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types([SPECIALS.get(token, TokenType.NORMAL) for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index(IM_START))
    writer.add_eos_token_id(tokens.index(IM_END))
    writer.add_pad_token_id(tokens.index(IM_END))
    writer.add_add_bos_token(add_bos)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    return writer


def _attention(writer: GGUFWriter, layers: int, width: int, heads: int, kv_heads: int) -> dict[str, Shape]:
    """Describe the transformer blocks in the metadata and return the shapes of their tensors."""
    head_width = width // heads
    kv_width = head_width * kv_heads
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_width)
    writer.add_value_length(head_width)
    writer.add_rope_dimension_count(head_width)
    shapes: dict[str, Shape] = {
        "attn_norm.weight": (width,),
        "attn_q.weight": (width, width),
        "attn_k.weight": (kv_width, width),
        "attn_v.weight": (kv_width, width),
        "attn_output.weight": (width, width),
        "ffn_norm.weight": (width,),
        "ffn_gate.weight": (FEED_FORWARD, width),
        "ffn_up.weight": (FEED_FORWARD, width),
        "ffn_down.weight": (width, FEED_FORWARD),
    }
    return {f"blk.{block}.{name}": shape for block in range(layers) for name, shape in shapes.items()}


def _finish(writer: GGUFWriter, path: Path, seed: int, width: int, blocks: Mapping[str, Shape], fixed: Tensors) -> Path:
    """Draw the tensors of the given shapes (in numpy order, ggml's reversed), add the fixed ones, write."""
    rng = np.random.default_rng(seed)
    rows = len(vocabulary()[0])
    # The output is not tied to the embedding: a tied one would mostly echo the last token.
    outer = {
        "token_embd.weight": (rows, width),
        "output_norm.weight": (width,),
        "output.weight": (rows, width),
    }
    for name, shape in {**outer, **blocks}.items():
        is_norm = name.endswith("norm.weight")
        values = np.ones(shape) if is_norm else rng.normal(scale=STD, size=shape)
        writer.add_tensor(name, values.astype(np.float32))
    for name, values in fixed.items():
        writer.add_tensor(name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_llama(
    path: Path,
    *,
    seed: int = 0,
    layers: int = LAYERS,
    width: int = WIDTH,
    heads: int = HEADS,
    kv_heads: int = KV_HEADS,
    context: int = CONTEXT,
    chat_template: str | None = CHATML_TEMPLATE,
    add_bos: bool = False,
) -> Path:
    """A plain transformer (architecture "llama") with grouped-query attention."""
    writer = _writer(path, "llama", layers, width, context, chat_template, add_bos)
    blocks = _attention(writer, layers, width, heads, kv_heads)
    return _finish(writer, path, seed, width, blocks, {})


def write_sliding(
    path: Path,
    *,
    seed: int = 0,
    window: int = WINDOW,
    context: int = CONTEXT,
    chat_template: str | None = CHATML_TEMPLATE,
    add_bos: bool = False,
) -> Path:
    """A transformer (architecture "gemma3"): its first layer slides, its second attends to everything."""
    writer = _writer(path, "gemma3", LAYERS, WIDTH, context, chat_template, add_bos)
    blocks = _attention(writer, LAYERS, WIDTH, HEADS, KV_HEADS)
    writer.add_sliding_window(window)
    writer.add_sliding_window_pattern([block % 2 == 0 for block in range(LAYERS)])
    for block in range(LAYERS):
        blocks |= {f"blk.{block}.{name}_norm.weight": (WIDTH // HEADS,) for name in ("attn_q", "attn_k")}
        blocks |= {f"blk.{block}.{name}_norm.weight": (WIDTH,) for name in ("post_attention", "post_ffw")}
    return _finish(writer, path, seed, WIDTH, blocks, {})


def write_mamba(
    path: Path,
    *,
    seed: int = 0,
    context: int = CONTEXT,
    chat_template: str | None = CHATML_TEMPLATE,
    add_bos: bool = False,
) -> Path:
    """A recurrent model (architecture "mamba"): one state per sequence, which cannot be rewound."""
    writer = _writer(path, "mamba", LAYERS, WIDTH, context, chat_template, add_bos)
    inner = MAMBA_EXPANSION * WIDTH
    writer.add_ssm_conv_kernel(MAMBA_CONV)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(MAMBA_STATE)
    writer.add_ssm_time_step_rank(MAMBA_DT_RANK)
    blocks: dict[str, Shape] = {}
    fixed: Tensors = {}
    for block in range(LAYERS):
        blocks |= {
            f"blk.{block}.attn_norm.weight": (WIDTH,),
            f"blk.{block}.ssm_in.weight": (2 * inner, WIDTH),
            f"blk.{block}.ssm_conv1d.weight": (inner, MAMBA_CONV),
            f"blk.{block}.ssm_conv1d.bias": (inner,),
            f"blk.{block}.ssm_x.weight": (MAMBA_DT_RANK + 2 * MAMBA_STATE, inner),
            f"blk.{block}.ssm_dt.weight": (inner, MAMBA_DT_RANK),
            f"blk.{block}.ssm_out.weight": (WIDTH, inner),
        }
        fixed |= {
            # Random values could be positive, and the state would then grow without bound.
            f"blk.{block}.ssm_a": np.tile(-np.arange(1.0, MAMBA_STATE + 1), (inner, 1)),
            f"blk.{block}.ssm_d": np.ones(inner),
            f"blk.{block}.ssm_dt.bias": np.full(inner, MAMBA_DT_BIAS),
        }
    return _finish(writer, path, seed, WIDTH, blocks, fixed)
