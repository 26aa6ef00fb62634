"""Tools: the files behind the names that a command evidently goes through, and the versions that files say of them."""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

import msgspec

from dre.capture.invoked import Invoked, Runner, invoked
from dre.capture.redaction import Redactor
from dre.capture.spool import read_pieces
from dre.capture.versions import python
from dre.capture.versions.distribution import Distribution
from dre.capture.versions.files import Files, Said
from dre.capture.versions.find import find_version
from dre.domain.events import Text

LARGEST_TOOL = 64 << 20
_MOST = 24
_HEAD_BYTES = 4096
_LONGEST_FIRST_LINE = 256
_HIGHEST = 12  # folders above the working directory in which runners look
_TRAMPOLINE = b"'''exec' "


class Tool(msgspec.Struct, frozen=True, rename="camel"):
    """
    The file behind a name, as it was found when this was recorded. `digest`: SHA-256, of what is not larger than
    64 MiB. `first_line`: of a script, which names its interpreter. `version_from`: the file that says the version; one
    in the work tree says what the tree's author wrote.
    """

    name: Text
    path: Text
    size_bytes: int
    modified_at: int
    digest: str | None
    first_line: Text | None
    version: str | None
    version_from: Text | None


class _Found(msgspec.Struct, frozen=True):
    """`site`: the `site-packages` that a module lies in."""

    name: bytes
    path: bytes
    site: bytes = b""


def find_tools(argv: Sequence[bytes], cwd: bytes, variables: Mapping[str, bytes], redactor: Redactor) -> list[Tool]:
    """The command's first, each followed by what interprets it."""
    return list(_Tools(cwd, variables, redactor).of(argv))


class _Tools:
    def __init__(self, cwd: bytes, variables: Mapping[str, bytes], redactor: Redactor) -> None:
        self._cwd, self._redactor = cwd, redactor
        self._path = variables.get("PATH", b"").split(b":")
        self._environment = variables.get("VIRTUAL_ENV", b"")
        self._modules = [cwd, *filter(None, variables.get("PYTHONPATH", b"").split(b":"))]
        self._user = os.path.join(variables.get("HOME", b""), b".local")
        self._files = Files()
        self._distribution = Distribution(self._files)
        self._seen: set[bytes] = set()
        self._digests: dict[tuple[int, int], str | None] = {}

    def of(self, argv: Sequence[bytes]) -> Iterator[Tool]:
        named = [*invoked(argv), *((Invoked(b"python3"), Invoked(b"python")) if self._environment else ())]
        for one in named:
            found = self._module(one) if one.module else self._program(one)
            if found and len(self._seen) < _MOST:
                yield from self._described(found)

    def _program(self, one: Invoked) -> _Found | None:
        path = self._resolve(one.word, [*self._places(one.by), *self._path])
        return _Found(one.word, path) if path else None

    def _module(self, one: Invoked) -> _Found | None:
        """As `python -m` looks for it: the working directory first. The standard library's have no version."""
        interpreter = self._resolve(one.word, [*self._places(one.by), *self._path])
        if not interpreter or b"/" in one.module or b"\0" in one.module:
            return None
        inside = one.module.replace(b".", b"/")
        sites = python.sites_of(interpreter, self._user, self._files)
        for folder in (*self._modules, *sites):
            for file in (inside + b"/__main__.py", inside + b".py"):
                path = os.path.join(self._cwd, folder, file)
                if os.path.isfile(path):
                    return _Found(one.module, path, folder if folder in sites else b"")
        return None

    def _places(self, by: Runner) -> Iterator[bytes]:
        """Where a runner looks before PATH."""
        if by == "python" and self._environment:
            yield os.path.join(self._environment, b"bin")
        inside = {"": b"", "node": b"node_modules/.bin", "python": b".venv/bin"}[by]
        folder = self._cwd
        for _ in range(_HIGHEST if inside else 0):
            yield os.path.join(folder, inside)
            folder = os.path.dirname(folder)

    def _resolve(self, name: bytes, folders: Sequence[bytes]) -> bytes | None:
        """As execvp(3) looks for it."""
        if not name or b"\0" in name:
            return None
        for folder in [b""] if b"/" in name else folders:
            candidate = os.path.join(self._cwd, folder, name)
            if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
                return candidate
        return None

    def _described(self, found: _Found) -> Iterator[Tool]:
        if found.path in self._seen:
            return
        self._seen.add(found.path)
        try:
            fd = os.open(found.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return
        try:
            state = os.fstat(fd)
            if not stat.S_ISREG(state.st_mode):
                return
            head, digest = os.pread(fd, _HEAD_BYTES, 0), self._digest(fd, state)
        finally:
            os.close(fd)
        word = _interpreter(head)
        interpreter = self._resolve(word, self._path) or b""
        yield self._tool(found, state, head, digest, self._version(found, interpreter))
        if interpreter:
            yield from self._described(_Found(word, interpreter))

    def _tool(
        self, found: _Found, state: os.stat_result, head: bytes, digest: str | None, version: Said | None
    ) -> Tool:
        text = self._redactor.text
        first_line = head.partition(b"\n")[0][:_LONGEST_FIRST_LINE]
        return Tool(
            name=text(found.name),
            path=text(found.path),
            size_bytes=state.st_size,
            modified_at=state.st_mtime_ns // 1_000_000,
            digest=digest,
            first_line=text(first_line) if head.startswith(b"#!") else None,
            version=self._redactor.words(version.version.encode()) if version else None,
            version_from=text(version.path) if version else None,
        )

    def _version(self, found: _Found, interpreter: bytes) -> Said | None:
        if found.path.endswith(b".py") and not interpreter:
            inside = found.path[len(found.site) :].lstrip(b"/")
            return python.of_module(found.site, inside, self._files) if found.site else None
        return find_version(found.path, interpreter, self._files, self._distribution)

    def _digest(self, fd: int, state: os.stat_result) -> str | None:
        """Once for all names of one file."""
        file = (state.st_dev, state.st_ino)
        if file not in self._digests:
            self._digests[file] = _sha256(fd, state.st_size) if state.st_size <= LARGEST_TOOL else None
        return self._digests[file]


def _interpreter(head: bytes) -> bytes:
    """
    The word that names it, behind `env` where that looks for it; or, where a path was too long for a first line and
    a shell has to start it, the word in the second.
    """
    first, _, rest = head.partition(b"\n")
    if not first.startswith(b"#!"):
        return b""
    if rest.startswith(_TRAMPOLINE):
        return rest.partition(b"\n")[0].removeprefix(_TRAMPOLINE).lstrip(b'"').partition(b'"')[0].strip()
    words = first[2:_LONGEST_FIRST_LINE].split()
    if len(words) > 1 and os.path.basename(words[0]) == b"env":
        words = [word for word in words[1:] if not word.startswith(b"-") and b"=" not in word]
    return words[0] if words else b""


def _sha256(fd: int, size: int) -> str:
    whole = sha256()
    for piece in read_pieces(fd, size):
        whole.update(piece)
    return whole.hexdigest()
