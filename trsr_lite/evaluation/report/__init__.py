"""The page and the files that people read of an evaluation."""
