#!/usr/bin/env python3
"""Write a floating-point GGUF with another tensor type. The same as `trsr-lite convert quantize …`."""

import sys

from trsr_lite.cli import run

if __name__ == "__main__":
    sys.exit(run(["convert", "quantize", *sys.argv[1:]]))
