#!/usr/bin/env python3
"""Turn a training run into a verified bundle. The same as `trsr-lite convert …`."""

import sys

from trsr_lite.cli import run

if __name__ == "__main__":
    sys.exit(run(["convert", *sys.argv[1:]]))
