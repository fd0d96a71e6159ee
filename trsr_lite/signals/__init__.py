"""Reasons to rank a candidate that need no language model: words, token vectors, taste, attributes, counts, time.

Invariant: a signal's number depends on the history, the candidate and fixed statistics alone: not on the other
candidates, their order, or labels. What is not known is neutral, never zero.
"""
