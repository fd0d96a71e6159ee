"""PyInstaller: trsr-lite imports its modules by name when they are needed, where PyInstaller cannot see it.

Its data go along: the adapters of the default model, and the schema of the protocol.
"""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

NEED_TORCH = (
    *("trsr_lite.training", "trsr_lite.conversion", "trsr_lite.evaluation"),
    *("trsr_lite.cli.train", "trsr_lite.cli.convert", "trsr_lite.cli.evaluate"),  # what is not there is not listed
)

hiddenimports = collect_submodules("trsr_lite", filter=lambda name: not name.startswith(NEED_TORCH))
datas = collect_data_files("trsr_lite")
