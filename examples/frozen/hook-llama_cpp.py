"""PyInstaller: llama-cpp-python loads its libraries by path at run time, where PyInstaller cannot see it."""

from PyInstaller.utils.hooks import collect_dynamic_libs

binaries = collect_dynamic_libs("llama_cpp")
excludedimports = ["llama_cpp.server"]
