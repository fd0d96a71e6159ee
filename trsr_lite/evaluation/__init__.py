"""How well lists are ranked: figures, and simple systems to be better than.

Invariant: a figure never depends on the order in which tied candidates happen to stand.
"""
