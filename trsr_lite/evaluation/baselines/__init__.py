"""Simple systems that rank the same lists: what a language model has to beat.

Invariant: a score depends on the user's history, the candidate and what the system was made with; never on labels.
Only the fusion of ranks, `rrf`, also depends on the other candidates. A higher score is better.
"""
