"""Thousands to millions of items in one SQLite file, and the few that a model should rank for a user.

Invariant: a catalog file is whole or absent, and its digest says which items are in it. What is found depends on the
file, the history, the summary and the options; models are not known here.
"""
