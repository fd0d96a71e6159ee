"""Summaries and rankings of many users: planned once, worked partition by partition, stopped and continued at any time.

    input      the users file as rows; each is a user, or says why it is none
    plan       the whole file read once: which rows make which partition, and which are rejected
    manifest   what was asked, so that a run is continued with the same users, model and settings, or refused
    output     one file for each partition, committed by rename
    lock       one run at a time in a folder
    worker     one engine that works partitions
    local, ray where workers are: here, or on a Ray cluster; both run the same worker
    batch      `run`: all of it

Invariant: every usable user of the file is in exactly one partition, and a partition's file is whole or absent.
"""

from trsr_lite.batch.batch import Report, run
from trsr_lite.batch.batch_options import BatchOptions

__all__ = ["BatchOptions", "Report", "run"]
