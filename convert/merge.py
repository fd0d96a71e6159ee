#!/usr/bin/env python3
"""Merge the adapter of a run into its base. The same as `trsr-lite convert merge …`."""

import sys

from trsr_lite.cli import run

if __name__ == "__main__":
    sys.exit(run(["convert", "merge", *sys.argv[1:]]))
