"""llama.cpp's own server as a peer: built from the sources that llama-cpp-python ships, and asked for margins.

    python -m benchmarks.llama_server DIR        builds DIR/bin/llama-server once: 8 to 17 minutes on one core

No package carries the binary; the source distribution of the installed llama-cpp-python has the sources of exactly the
llama.cpp that runs here, so that server and library differ in nothing else. It needs cmake and a C++ compiler.
"""

from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from trsr_lite.engine import model as native

BINARY = Path("bin") / "llama-server"
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",  # it would be fetched
}
BOOST = 100.0  # added to the logits of both answers, so that they are the two most likely tokens


def build(folder: Path) -> Path:
    """The server in `folder`, built if it is not there."""
    folder = folder / native.version()
    binary = folder / BINARY
    if not binary.is_file():
        with tempfile.TemporaryDirectory() as place:
            version = f"llama-cpp-python=={native.version()}"
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
            subprocess.run([*command, "--dest", place, version], check=True)
            with tarfile.open(next(Path(place).glob("*.tar.gz"))) as archive:
                archive.extractall(place, filter="data")
            source = next(Path(place).glob("*/vendor/llama.cpp"))
            options = [f"-D{name}={value}" for name, value in OPTIONS.items()]
            subprocess.run(["cmake", "-S", source, "-B", folder, *options], check=True)
            subprocess.run(["cmake", "--build", folder, "--target", "llama-server", "--parallel", "2"], check=True)
    return binary


class Server:
    """A running server with so many slots; a context manager.

    Prompts are cached as the server does by itself: a slot goes on behind the longest beginning that it knows.
    """

    def __init__(self, binary: Path, model: Path, *, threads: int, slots: int, cells: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._address, self._slots = f"http://127.0.0.1:{port}", slots
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the server
        command = [binary, "--model", model, "--host", "127.0.0.1", "--port", port, "--parallel", slots]
        command += ["--threads", threads, "--threads-batch", threads, "--ctx-size", cells * slots, "--flash-attn", "on"]
        self._process = subprocess.Popen([*map(str, command)], stdout=self._log, stderr=subprocess.STDOUT)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def __enter__(self) -> Server:
        try:
            self._wait()
        except BaseException:
            self._end()
            raise
        return self

    def _wait(self) -> None:
        for _ in range(600):
            if self._process.poll() is not None:
                self._log.seek(0)
                raise RuntimeError(f"llama-server ended: {self._log.read()[-2000:].decode()}")
            try:
                self._ask("/health")
                return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError("llama-server did not start within two minutes")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def margins(
        self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], answers: tuple[int, int]
    ) -> list[float]:
        """logit(yes) − logit(no) of each candidate, as many at once as there are slots; the first fills the cache."""
        prompts = [[*prefix, *suffix] for suffix in suffixes]
        first = self._margin(prompts[0], answers)
        with ThreadPoolExecutor(self._slots) as pool:
            return [first, *pool.map(lambda prompt: self._margin(prompt, answers), prompts[1:])]

    def _margin(self, prompt: Sequence[int], answers: tuple[int, int]) -> float:
        found = self._ask(
            "/completion",
            {
                "prompt": prompt,
                "n_predict": 1,
                "n_probs": 2,
                "post_sampling_probs": True,
                "samplers": ["temperature"],
                "temperature": 1.0,
                "logit_bias": [[answer, BOOST] for answer in answers],
                "cache_prompt": True,
            },
        )
        likely = {one["id"]: one["prob"] for one in found["completion_probabilities"][0]["top_probs"]}
        yes, no = (max(likely.get(answer, 0.0), 1e-30) for answer in answers)
        return math.log(yes) - math.log(no)

    def _ask(self, path: str, data: dict[str, Any] | None = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(self._address + path, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)


if __name__ == "__main__":
    print(build(Path(sys.argv[1]).resolve()))
