"""Python's own version, and that of what was installed for it: from its headers, and from `*.dist-info`."""

import os
import re
from collections.abc import Iterator, Sequence

from dre.capture.syntax import venv_version
from dre.capture.versions.files import Files, Said, said

_BY_NAME = re.compile(rb"python(\d+\.\d+)t?")
_HEADER = re.compile(rb'^#define\s+PY_VERSION\s+"([^"\n]+)"', re.MULTILINE)
_SEPARATORS = re.compile(rb"[-_.]+")
_SITES = (b"site-packages", b"dist-packages")
_INFO = b".dist-info"
_LONGEST_HEAD = 64 << 10


def is_python(path: bytes) -> bool:
    return os.path.basename(path).startswith(b"python")


def of_interpreter(path: bytes, real: bytes, files: Files) -> Said | None:
    """From the note of its virtual environment, else from the headers that lie beside it."""
    environment = os.path.dirname(os.path.dirname(path))
    if note := venv_version(environment):
        return said(note.encode(), os.path.join(environment, b"pyvenv.cfg"))
    header = os.path.join(_prefix(real), b"include", os.path.basename(real), b"patchlevel.h")
    found = _HEADER.search(files.read(header))
    return said(found[1], header) if found else None


def by_name(real: bytes) -> Said | None:
    found = _BY_NAME.fullmatch(os.path.basename(real))
    return said(found[1], real) if found else None


def of_program(real: bytes, interpreter: bytes, files: Files) -> Said | None:
    """Of what lies in a `bin/` beside its `site-packages`, as installers leave it: a script, or a program."""
    name = os.path.basename(real)
    prefixes = dict.fromkeys(_prefix(path) for path in (real, interpreter) if path)
    return _owner([site for prefix in prefixes for site in _sites(prefix, files)], name, _OfProgram(name), files)


def of_module(site: bytes, file: bytes, files: Files) -> Said | None:
    """Of what `python -m` runs; `file` is relative to the `site-packages` it lies in."""
    name = file.partition(b"/")[0].removesuffix(b".py")
    return _owner([site], name, _OfModule(file), files)


def sites_of(interpreter: bytes, user: bytes, files: Files) -> list[bytes]:
    """Where it looks for what was installed; the user's own and `/usr/local` only outside of virtual environments."""
    prefix = _prefix(interpreter)
    is_virtual = os.path.isfile(os.path.join(prefix, b"pyvenv.cfg"))
    more = () if is_virtual else (user, b"/usr/local") if prefix == b"/usr" else (user,)
    return [site for place in (*more, prefix) for site in _sites(place, files)]


def _sites(prefix: bytes, files: Files) -> Iterator[bytes]:
    for library in (b"lib", b"lib64"):
        folder = os.path.join(prefix, library)
        for version in files.names(folder):
            if version.startswith(b"python3"):
                yield from (site for kind in _SITES if os.path.isdir(site := os.path.join(folder, version, kind)))


class _OfProgram:
    """The lines that give a program to a distribution: an entry point, or a file of its own."""

    def __init__(self, name: bytes) -> None:
        self._entry = re.compile(rb"^" + re.escape(name) + rb"\s*=", re.MULTILINE)
        self._record = b"/bin/" + name + b","

    def names_it(self, info: bytes, files: Files) -> bool:
        if self._entry.search(files.read(os.path.join(info, b"entry_points.txt"))):
            return True
        return self._record in files.read(os.path.join(info, b"RECORD"))


class _OfModule:
    def __init__(self, file: bytes) -> None:
        self._record = b"\n" + file + b","

    def names_it(self, info: bytes, files: Files) -> bool:
        return self._record in b"\n" + files.read(os.path.join(info, b"RECORD"))


def _owner(places: Sequence[bytes], name: bytes, question: _OfProgram | _OfModule, files: Files) -> Said | None:
    """Most are called as their distribution is, so that these are asked first."""
    wanted = _normal(name)
    infos = [os.path.join(site, entry) for site in places for entry in files.names(site) if entry.endswith(_INFO)]
    infos.sort(key=lambda info: _normal(os.path.basename(info).partition(b"-")[0]) != wanted)
    for info in infos:
        if question.names_it(info, files):
            return _of_distribution(info, files)
    return None


def _of_distribution(info: bytes, files: Files) -> Said | None:
    path = os.path.join(info, b"METADATA")
    head = files.read(path, _LONGEST_HEAD).replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    versions = [line.partition(b":")[2] for line in head.split(b"\n") if line.lower().startswith(b"version:")]
    return said(versions[0], path) if versions else None


def _normal(name: bytes) -> bytes:
    return _SEPARATORS.sub(b"-", name).lower()


def _prefix(path: bytes) -> bytes:
    return os.path.dirname(os.path.dirname(path))
