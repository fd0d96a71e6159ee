"""Builds dist/trsr-lite: both programs, their libraries, and the model beside them; then says what takes how much.

python examples/frozen/build.py [--model BUNDLE] [--dist DIR]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from trsr_lite.models import default
from trsr_lite.models.bundle import MANIFEST

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PARTS = {  # what a part's files begin with; the first match wins
    "model": ("model/",),
    "programs with their Python modules": ("trsr-lite", "desktop-reader"),
    "llama.cpp": (
        "_internal/llama_cpp",
        "_internal/libllama",
        "_internal/libggml",
        "_internal/libmtmd",
        "_internal/libgomp",
    ),
    "numpy with OpenBLAS": (
        *("_internal/numpy", "_internal/libscipy_openblas", "_internal/libgfortran", "_internal/libquadmath"),
    ),
    "Tcl, Tk and X11": (
        *("_internal/_tcl", "_internal/_tk", "_internal/tcl", "_internal/libtcl", "_internal/libtk"),
        *("_internal/libX", "_internal/libx", "_internal/libfont", "_internal/libfree"),
    ),
    "Hugging Face hub client": ("_internal/hf_xet", "_internal/huggingface_hub", "_internal/yaml"),
    "Python": ("_internal/libpython", "_internal/base_library", "_internal/python3", "_internal/lib-dynload"),
}
OTHER = "everything else"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a bundle folder [default: smollm2, prepared for this machine]")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where the folder is made [default: dist]")
    options = parser.parse_args()
    if options.model and not (options.model / MANIFEST).is_file():
        parser.error(f"{options.model} is no bundle folder: `trsr-lite convert` makes one")
    work = options.dist / "build"
    subprocess.run(
        [
            *(sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN"),
            *("--distpath", str(options.dist), "--workpath", str(work), str(HERE / "trsr_lite.spec")),
        ],
        check=True,
    )
    folder = options.dist / "trsr-lite"
    shutil.copytree(options.model or default.prepare(work / "data", offline=True), folder / "model")
    shutil.copy(ROOT / "examples" / "news_reader.json", folder)
    for part, size in parts(folder).most_common():
        print(f"| {part} | {size / 2**20:.1f} MiB |")


def parts(folder: Path) -> Counter[str]:
    """Bytes by part; links count as nothing."""
    sizes: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            name = path.relative_to(folder).as_posix()
            sizes[next((part for part, starts in PARTS.items() if name.startswith(starts)), OTHER)] += (
                path.stat().st_size
            )
    return sizes


if __name__ == "__main__":
    main()
