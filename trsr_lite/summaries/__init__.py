"""From a history to cached preference texts: blocks, a plan, the store, generation.

Invariant: a stored summary is only used for exactly what its key was made of.
"""
