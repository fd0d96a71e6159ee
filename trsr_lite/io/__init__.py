"""Files of every kind: local, remote, locked, Parquet, and their digests.

Invariant: nothing here knows what a file means to the rest of the package.
"""
