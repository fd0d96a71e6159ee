"""Running a model on token sequences; knows nothing of recommendation."""

import logging

logging.getLogger("trsr_lite").addHandler(logging.NullHandler())
