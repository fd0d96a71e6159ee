"""Runs one of llama.cpp's converter scripts in a child process, where no Python of a model can run.

Invariant: the scripts ask transformers to trust a model's own code for some architectures; here nobody is trusted,
whatever they ask. This file is started by its path with `python -I` and imports nothing of the package.

    python -I distrusting.py SCRIPT '["folder of modules", …]' ARGUMENT…
"""

from __future__ import annotations

import functools
import json
import runpy
import sys
from pathlib import Path
from typing import Any

REFUSED = "the model brings Python code of its own, which is never run"


def main(script: str, modules: str, *arguments: str) -> None:
    """Run `script` as if it were started with these arguments; `modules` are folders that imports look in, too."""
    sys.path.extend(folder for folder in json.loads(modules) if folder not in sys.path)
    sys.path.insert(0, str(Path(script).parent))
    distrust()
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


def distrust() -> None:
    """Let transformers refuse the code of a model, also where it is asked to trust it."""
    from transformers import dynamic_module_utils

    replaced = {
        "resolve_trust_remote_code": _never,
        "get_class_from_dynamic_module": _refuse,
        "get_class_in_module": _refuse,
        "get_cached_module_file": _refuse,
    }
    for module in [dynamic_module_utils, *_loaded()]:
        for name, function in replaced.items():
            if name in vars(module):  # `hasattr` would make a lazy module import all that it knows
                setattr(module, name, function)
    import transformers

    for name in ("AutoConfig", "AutoTokenizer", "AutoProcessor", "AutoImageProcessor", "AutoFeatureExtractor"):
        loader = getattr(transformers, name)
        loader.from_pretrained = functools.partial(_plainly, loader.from_pretrained)


def _loaded() -> list[Any]:
    """The modules that may have taken these functions under their own names already."""
    return [module for name, module in list(sys.modules.items()) if name.startswith("transformers.") and module]


def _plainly(load: Any, *values: Any, **named: Any) -> Any:
    return load(*values, **{**named, "trust_remote_code": False})


def _never(_trust: Any, _model: Any, has_local_code: bool, has_remote_code: bool, *_rest: Any, **_named: Any) -> bool:
    if has_remote_code and not has_local_code:
        raise ValueError(REFUSED)
    return False


def _refuse(*_values: Any, **_named: Any) -> Any:
    raise ValueError(REFUSED)


if __name__ == "__main__":
    main(*sys.argv[1:])
