"""Which files are asked for a tool's version, in which order; the first that says one is believed, and named."""

import os

from dre.capture.versions import node, python, toolchain
from dre.capture.versions.distribution import Distribution
from dre.capture.versions.files import Files, Said


def find_version(path: bytes, interpreter: bytes, files: Files, distribution: Distribution) -> Said | None:
    """`path`: as it was found, links and all. `interpreter`: the file that a script is run by, or empty."""
    real = os.path.realpath(path)
    if python.is_python(real) and not interpreter:
        of_headers = python.of_interpreter(path, real, files)
        return of_headers or distribution.of_file(real) or python.by_name(real)
    return (
        node.of_program(path, real, interpreter, files)  # before the system's: it may bring npm inside of node
        or toolchain.of_program(path, real, files)
        or distribution.of_file(real)
        or python.of_program(real, interpreter, files)
    )
