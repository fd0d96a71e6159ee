#!/usr/bin/env python3
"""Compare the ranking of a bundle or GGUF with that of its run. The same as `trsr-lite convert verify …`."""

import sys

from trsr_lite.cli import run

if __name__ == "__main__":
    sys.exit(run(["convert", "verify", *sys.argv[1:]]))
