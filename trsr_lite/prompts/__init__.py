"""All text that a model is shown: templates, chat rendering, and the fingerprint of both.

Invariant: changing a character of a prompt changes its fingerprint, which a test holds.
"""
