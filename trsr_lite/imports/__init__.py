"""Histories that other programs keep: their exports, read from files, as a user of this package.

Invariant: nothing is fetched, nothing is written but what was asked for, and what is left out is counted.
"""
