"""Data sets on disk, made into lists of candidates to rank: who read what, what came next, and what did not.

Invariant: nothing about a held-out user is in a training example or a popularity count. Texts stay texts here: what a
prompt looks like, and which model reads it, is not known.
"""
