"""What items are called, and what their people do with them: a domain, as data.

Invariant: nothing here makes a prompt; `prompts.templates` does, of the six words of a domain.
"""
