#!/usr/bin/env python3
"""Write a Hugging Face folder as GGUF with llama.cpp's own converter. The same as `trsr-lite convert gguf …`."""

import sys

from trsr_lite.cli import run

if __name__ == "__main__":
    sys.exit(run(["convert", "gguf", *sys.argv[1:]]))
