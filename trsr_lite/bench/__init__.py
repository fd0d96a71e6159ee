"""How fast a model is on this machine, what that suggests, and how it compares with another time or place.

Invariant: the cache of the person who measures is neither read nor written. The work is the same for every model.
"""
