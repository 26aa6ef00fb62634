"""The version of a file that the system's package manager put there: from its database, read as the files it is."""

import os
import re
from collections.abc import Iterator

from dre.capture.versions.files import Files, Said, said

ITS_PLACES = (b"/usr/", b"/bin/", b"/sbin/", b"/lib/")
NOT_ITS_PLACE = b"/usr/local/"
MOST_LISTS = 400  # for all tools of a run; some 8 ms where none of the likely ones was the one
_LARGEST_DATABASE = 8 << 20
_LARGEST_LIST = 1 << 20
_LIST = b".list"
# Where programs come from whose names say nothing of their package.
_OFTEN = tuple(
    package.encode() + _LIST
    for package in ("coreutils", "nodejs", "util-linux", "findutils", "procps", "diffutils", "bsdutils", "perl-base")
)


class Distribution:
    """dpkg's or apk's, whichever is there."""

    def __init__(self, files: Files, root: bytes = b"/") -> None:
        self._files = files
        self._info = os.path.join(root, b"var/lib/dpkg/info")
        self._status = os.path.join(root, b"var/lib/dpkg/status")
        self._installed = os.path.join(root, b"lib/apk/db/installed")
        self._lists: list[bytes] | None = None
        self._stanzas: bytes | None = None
        self._left = MOST_LISTS

    def of_file(self, real: bytes) -> Said | None:
        if not real.startswith(ITS_PLACES) or real.startswith(NOT_ITS_PLACE):
            return None
        return self._of_dpkg(real) or self._of_apk(real)

    def _of_dpkg(self, real: bytes) -> Said | None:
        package = self._package(real)
        if not package:
            return None
        name, _, architecture = package.partition(b":")
        if self._stanzas is None:
            self._stanzas = self._files.read(self._status, _LARGEST_DATABASE)
        for stanza in _stanzas(self._stanzas, b"Package: " + name):
            fields = dict(_fields(stanza))
            if not architecture or fields.get(b"Architecture") == architecture:
                return said(fields.get(b"Version", b""), self._status)
        return None

    def _package(self, real: bytes) -> bytes:
        """`/bin/sh` and `/usr/bin/sh` are one file on most systems, and the list may call it by either name."""
        ends = real.removeprefix(b"/usr")
        wanted = re.compile(rb"^(?:/usr)?" + re.escape(ends) + rb"$", re.MULTILINE)
        for name in self._likely_first(os.path.basename(real)):
            content = self._files.read(os.path.join(self._info, name), _LARGEST_LIST)
            if ends in content and wanted.search(content):
                return name.removesuffix(_LIST)
        return b""

    def _likely_first(self, program: bytes) -> Iterator[bytes]:
        guessed = (program + _LIST, *_OFTEN)
        yield from guessed
        if self._lists is None:
            self._lists = [name for name in self._files.names(self._info) if name.endswith(_LIST)]
        for name in sorted(self._lists, key=lambda name: _unlikeliness(name, program)):
            if self._left <= 0:
                return
            if name not in guessed:
                self._left -= 1
                yield name

    def _of_apk(self, real: bytes) -> Said | None:
        database = self._files.read(self._installed, _LARGEST_DATABASE)
        folder, name = os.path.split(real)
        at = -1
        while (at := database.find(b"\nR:" + name + b"\n", at + 1)) >= 0:
            start = database.rfind(b"\n\n", 0, at) + 1
            within = database.rfind(b"\nF:", start, at)
            version = database.find(b"\nV:", start, at)
            if within >= 0 and version >= 0 and _line(database, within) == b"F:" + folder[1:]:
                return said(_line(database, version)[2:], self._installed)
        return None


def _unlikeliness(name: bytes, program: bytes) -> int:
    if name.startswith(program):
        return 0
    return 1 if program in name and len(program) > 2 else 2 if name[:2] == program[:2] else 3


def _stanzas(database: bytes, first_line: bytes) -> Iterator[bytes]:
    at = -1
    while (at := database.find(first_line + b"\n", at + 1)) >= 0:
        if at == 0 or database[at - 1 : at] == b"\n":
            end = database.find(b"\n\n", at)
            yield database[at : end if end >= 0 else len(database)]


def _fields(stanza: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in stanza.split(b"\n"):
        name, colon, value = line.partition(b": ")
        if colon and not line.startswith(b" "):
            yield name, value


def _line(content: bytes, newline: int) -> bytes:
    """The line that begins behind this newline."""
    return content[newline + 1 : content.find(b"\n", newline + 1)]
