"""Models by name: found, fetched, checked, prepared, loaded and shared.

Invariant: whatever leaves this package as a bundle has been checked against its manifest.
"""
