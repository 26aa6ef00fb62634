"""The version of a program that came with npm or its sisters: from the `package.json` that it lies under."""

import os

import msgspec

from dre.capture.versions.files import Files, Said, said

_HIGHEST = 12  # folders between a program and its package.json
_MODULES = b"node_modules"
_INTERPRETERS = (b"node", b"nodejs", b"bun", b"deno")


class _Package(msgspec.Struct):
    """As far as it is asked for; `bin`: one program by the package's name, or several by theirs."""

    name: str = ""
    version: str = ""
    bin: object = None


def of_program(path: bytes, real: bytes, interpreter: bytes, files: Files) -> Said | None:
    if _MODULES in real.split(b"/") or os.path.basename(interpreter) in _INTERPRETERS:
        return _above(real, files) or _of_stand_in(path, files)
    return None


def _above(real: bytes, files: Files) -> Said | None:
    """The nearest that has a version: those that only say which kind of modules lie there have none."""
    folder = os.path.dirname(real)
    for _ in range(_HIGHEST):
        found = _version(os.path.join(folder, b"package.json"), files)
        parent = os.path.dirname(folder)
        if found or parent == folder or os.path.basename(parent) == _MODULES or os.path.basename(folder) == _MODULES:
            return found
        folder = parent
    return None


def _of_stand_in(path: bytes, files: Files) -> Said | None:
    """Where no links are made, a small script stands in `.bin`: its package is beside it, and names it."""
    folder, name = os.path.split(path)
    if os.path.basename(folder) != b".bin":
        return None
    place = os.path.join(os.path.dirname(folder), name, b"package.json")
    package = _read(place, files)
    offered = package.bin if isinstance(package.bin, dict) else {package.name: None}
    return said(package.version.encode("utf-8", "replace"), place) if os.fsdecode(name) in offered else None


def _version(path: bytes, files: Files) -> Said | None:
    package = _read(path, files)
    return said(package.version.encode("utf-8", "replace"), path) if package.name else None


def _read(path: bytes, files: Files) -> _Package:
    try:
        return msgspec.json.decode(files.read(path), type=_Package)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Package()
