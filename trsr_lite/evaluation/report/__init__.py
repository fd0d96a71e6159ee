"""The page that people read of an evaluation."""
