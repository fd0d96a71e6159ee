"""What is computed of rankings: Recall, MRR, nDCG, AUC, their intervals, and calibration.

Invariant: numbers in, numbers out; nothing here knows models, users or files.
"""
