"""Loads a GGUF file once in a child process, and computes with it: what ends llama.cpp's process ends the child.

Invariant: who passed has valid numbers in every tensor and gave logits; who did not is one `ModelError`. The child has
little memory besides the file, which it maps, and little time. Where no child can be started (an application frozen
with its interpreter), nothing is tried, and the caller is told so.

This file is also the child: started by its path with `python -I`, it imports nothing of the package.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

ROOM = 4 << 30  # bytes of address space besides the file: a thread checks each tensor, and its stack takes 8 MiB
SECONDS, RATE = 8, 50_000_000  # of computing, and what is read of a file in another one
STEP = 0.05  # seconds between two looks
PATIENCE = 6  # times as long on a busy machine
CELLS = 256
ERROR = 4  # GGML_LOG_LEVEL_ERROR
REFUSED = 3  # exit code of the child where llama.cpp says what is wrong


def possible() -> bool:
    """Whether a child can be started."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


def run(path: Path, adapter: Path | None = None, *, size: int, on_wait: Callable[[], object] | None = None) -> None:
    """Try a model, with its adapter; `size` is of all its files. Raises `ModelError` where it cannot be used.

    `on_wait` is called often meanwhile; what it raises ends the child, and comes out of here.
    """
    from trsr_lite.errors import ModelError

    seconds = SECONDS + size // RATE
    given = json.dumps({"path": sys.path, "model": str(path), "adapter": str(adapter or ""), "seconds": seconds})
    with _output() as output:
        child = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).resolve()), given],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},  # it starts a debugger
        )
        try:
            until = time.monotonic() + PATIENCE * seconds
            while child.poll() is None and time.monotonic() < until:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(STEP)
                if on_wait:
                    on_wait()
        finally:
            child.kill()
            child.wait()
        output.seek(0)
        said = output.read(1 << 16).decode(errors="replace")
    if child.returncode:
        what = f"{path} with {adapter.name}" if adapter else str(path)
        raise ModelError(f"{what}: llama.cpp cannot load it: {_fault(child.returncode, said)}", hint=_hint())


def _output() -> IO[bytes]:
    """Where the child says what is wrong: a file, since a pipe would stay open in what it starts.

    On a full disk nothing is kept of it.
    """
    try:
        return tempfile.TemporaryFile("w+b")
    except OSError:
        return Path(os.devnull).open("w+b")


def _fault(code: int, said: str) -> str:
    if code == REFUSED:
        return said.strip() or "llama.cpp gives no reason"
    return f"it ended the process that tried ({'signal' if code < 0 else 'exit code'} {abs(code)})"


def _hint() -> str:
    return "check that the file is complete, and comes from somebody you trust"


def _child(given: dict[str, Any]) -> int:
    """Load, tokenize, compute; what is wrong is printed."""
    _limit(given["seconds"])
    sys.path.extend(folder for folder in given["path"] if folder not in sys.path)
    import llama_cpp as lib

    errors: list[str] = []

    @lib.llama_log_callback  # type: ignore[untyped-decorator]
    def log(level: int, text: bytes, _user_data: Any) -> None:
        if level == ERROR:
            errors.append(text.decode(errors="replace").strip())

    lib.llama_log_set(log, None)
    lib.llama_backend_init()
    fault = _compute(lib, given["model"].encode(), given["adapter"].encode())
    if fault is not None:
        sys.stdout.write(" ".join([fault, *errors[-3:]]).strip())
        return REFUSED
    return 0


def _compute(lib: Any, path: bytes, adapter: bytes) -> str | None:
    """What is wrong, in addition to what llama.cpp says; None where all is well."""
    params = lib.llama_model_default_params()
    params.n_gpu_layers, params.use_extra_bufts, params.check_tensors = 0, False, True
    model = lib.llama_model_load_from_file(path, params)
    if not model:
        return ""
    if lib.llama_model_has_encoder(model):
        return None
    vocabulary = lib.llama_model_get_vocab(model)
    count, text = lib.llama_vocab_n_tokens(vocabulary), b"Yes, a plain text: 7 caf\xc3\xa9s.\n"
    tokens = (lib.llama_token * 64)()
    length = lib.llama_tokenize(vocabulary, text, len(text), tokens, len(tokens), True, True)
    if not 0 < length <= len(tokens) or not all(0 <= token < count for token in tokens[:length]):
        return "its tokenizer cannot read a plain text"
    given = lib.llama_context_default_params()
    given.n_ctx = given.n_batch = given.n_ubatch = CELLS
    given.n_threads = given.n_threads_batch = 1  # two would spend their time on waiting for each other, beside others
    context = lib.llama_init_from_model(model, given)
    if not context:
        return ""
    if not lib.llama_get_memory(context):  # an encoder, which is refused elsewhere
        return None
    if adapter:
        loaded = lib.llama_adapter_lora_init(model, adapter)
        scales = (lib.ctypes.c_float * 1)(1.0)
        array = (lib.llama_adapter_lora_p_ctypes * 1)(loaded)
        if not loaded or lib.llama_set_adapters_lora(context, array, 1, scales):
            return ""
    if lib.llama_decode(context, lib.llama_batch_get_one(tokens, length)):
        return "it computes nothing"
    logits = lib.llama_get_logits_ith(context, -1)[:count]
    return None if all(value - value == 0 for value in logits) else "its logits are not finite"


def _limit(seconds: int) -> None:
    """Little memory, little time, and no image of the process on the disk."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_DATA, (ROOM, ROOM))


if __name__ == "__main__":
    sys.exit(_child(json.loads(sys.argv[1])))
