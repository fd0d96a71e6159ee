"""What can be asked of an evaluation, as words; nothing is imported, so that `--help` is quick."""

PARTS = ("test", "validation")
BASELINES = ("random", "popularity", "tfidf", "bm25")
