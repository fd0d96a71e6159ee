"""Starts the command line; nothing heavy is imported on the way to `--help`."""

from trsr_lite.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
