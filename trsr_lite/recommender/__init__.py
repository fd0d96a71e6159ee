"""The one door for programs and for the command line: a user and candidates in, a ranking out.

Invariant: what the command line can do, `Recommender` can do.
"""
