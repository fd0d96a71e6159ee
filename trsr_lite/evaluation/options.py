"""What can be asked of an evaluation, as words; nothing is imported, so that `--help` is quick."""

PARTS = ("test", "validation")
BASELINES = ("random", "popularity", "attributes", "tfidf", "bm25")
ALL_BASELINES = (*BASELINES, "embeddings")  # the last one brings a model of its own, and is asked for by name
STUDIES = ("strategy", "evidence", "recent", "blocks", "length", "tuning", "robustness")
