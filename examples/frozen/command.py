"""The frozen `trsr-lite`: the command line, with the model that lies beside it as its default."""

import os
import sys
from pathlib import Path

from trsr_lite.__main__ import main

os.environ.setdefault("TRSR_LITE_DEFAULT_MODEL", str(Path(sys.executable).parent / "model"))
main()
