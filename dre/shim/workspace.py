"""The workspace before the command: HEAD and branch by reading files, the tree through a private index."""

import errno
import os
import select
import time

from dre.shim.journal import PRE, named
from dre.shim.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Mapping
else:
    import _signal

_GIT = [
    b"git",
    *(b"-c", b"core.fsmonitor=false"),
    *(b"-c", b"core.hooksPath=/dev/null"),
    *(b"-c", b"core.safecrlf=false"),
    *(b"-c", b"core.looseCompression=0"),  # the private objects are read once and then deleted
    *(b"-c", b"advice.addEmbeddedRepo=false"),
]
PATIENCE_S = 30  # a pipe named .gitignore holds git up for ever; nothing may hold up the command like that
_HEX = frozenset(b"0123456789abcdef")


class Workspace:
    def __init__(self, top: bytes, git_dir: bytes, common: bytes) -> None:
        self.top, self.git_dir, self.common = top, git_dir, common

    def keep(self, spool: Spool) -> None:
        """What the command starts from. Without a tree it says why; the command runs all the same."""
        found = [("top", self.top), ("wall_ns", b"%d" % time.time_ns())]
        try:
            commit, branch = self.head()
            tree = self.tree(spool)
            why = b"" if tree else b"git refused to write the tree"
        except OSError as error:
            commit = branch = tree = b""
            why = b"git: " + (error.strerror or "failed").encode()
        found += [("head", commit), ("branch", branch), ("tree", tree)]
        spool.recording.journal.write(PRE, named(*found, *([("why", why)] if why else [])))

    def head(self) -> tuple[bytes, bytes]:
        """Commit and branch; an unborn branch has no commit, a detached HEAD no branch."""
        head = _read(os.path.join(self.git_dir, b"HEAD")).strip()
        if _is_id(head):
            return head, b""
        name = head.removeprefix(b"ref: ")
        commit = b"" if b".invalid" in name else self._loose(name) or self._packed(name)
        if b".invalid" in name or (commit and not _is_id(commit)):  # reftable, a reference to a reference
            return _ask(self.top, b"rev-parse", b"HEAD"), _ask(self.top, b"symbolic-ref", b"-q", b"--short", b"HEAD")
        return commit, name.removeprefix(b"refs/heads/")

    def tree(self, spool: Spool) -> bytes:
        """
        The id of the tree as it is now, untracked files included; empty when git refused.
        Neither the user's index nor the user's objects are touched. Clean filters run.
        """
        index, objects = os.path.join(spool.path, b"index"), os.path.join(spool.path, b"objects")
        os.mkdir(objects, 0o700)
        _copy_with_time(os.path.join(self.git_dir, b"index"), index)
        alternates = [_quoted(os.path.join(self.common, b"objects"))]
        alternates += filter(None, [os.environb.get(b"GIT_ALTERNATE_OBJECT_DIRECTORIES")])
        private = {
            b"GIT_INDEX_FILE": index,
            b"GIT_OBJECT_DIRECTORY": objects,
            b"GIT_ALTERNATE_OBJECT_DIRECTORIES": b":".join(alternates),
        }
        _ask(self.top, b"add", b"-A", b"--ignore-errors", more=private)
        return _ask(self.top, b"write-tree", more=private)

    def _loose(self, name: bytes) -> bytes:
        return _read(os.path.join(self.git_dir, name)).strip() or _read(os.path.join(self.common, name)).strip()

    def _packed(self, name: bytes) -> bytes:
        for line in _read(os.path.join(self.common, b"packed-refs")).splitlines():
            commit, _, packed = line.partition(b" ")
            if packed == name:
                return commit
        return b""


def find(cwd: bytes) -> Workspace | None:
    if b"GIT_DIR" in os.environb or b"GIT_WORK_TREE" in os.environb:
        return _as_git_sees_it(cwd)
    folder = cwd
    while True:
        git = os.path.join(folder, b".git")
        if os.path.isdir(git):
            return Workspace(folder, git, git)
        if os.path.isfile(git):
            return _linked(folder, git)
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def tracked(dot_dre: bytes) -> bytes:
    """The first file of a `.dre/` that git tracks, as ingest asks for it; empty where there is none, or no git."""
    top, name = os.path.split(dot_dre)
    try:
        plain = {variable: value for variable, value in os.environb.items() if not variable.startswith(b"GIT_")}
        first = _ask(top, b"ls-files", b"-z", b"--", name, environment=plain).partition(b"\0")[0]
    except OSError:
        return b""
    return first and os.path.join(top, first)


def _linked(folder: bytes, pointer: bytes) -> Workspace:
    """A linked work tree or a submodule: `.git` is a file that says where."""
    git_dir = os.path.join(folder, _read(pointer).strip().removeprefix(b"gitdir: "))
    common = _read(os.path.join(git_dir, b"commondir")).strip()
    return Workspace(folder, git_dir, os.path.normpath(os.path.join(git_dir, common)))


def _as_git_sees_it(cwd: bytes) -> Workspace | None:
    answer = _ask(cwd, b"rev-parse", b"--path-format=absolute", b"--show-toplevel", b"--git-dir", b"--git-common-dir")
    places = answer.split(b"\n")
    return Workspace(*places) if len(places) == 3 else None


def _ask(
    folder: bytes,
    *words: bytes,
    more: "Mapping[bytes, bytes] | None" = None,
    environment: "Mapping[bytes, bytes]" = os.environb,
    patience_s: float = PATIENCE_S,
) -> bytes:
    """One git, quiet; its answer without the last newline, empty when it failed. Raises TimeoutError."""
    answer, asked = os.pipe()
    quiet = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
    ]
    actions = [(os.POSIX_SPAWN_DUP2, asked, 1), *quiet]
    try:
        environment = {**environment, b"GIT_NO_LAZY_FETCH": b"1", b"GIT_TERMINAL_PROMPT": b"0", **(more or {})}
        pid = os.posix_spawnp(b"git", [*_GIT, b"-C", folder, *words], environment, file_actions=actions)
    finally:
        os.close(asked)
    said = _read_for(answer, patience_s)
    os.close(answer)
    if said is None:
        os.kill(pid, _signal.SIGKILL)
    ended_well = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    if said is None:
        raise OSError(errno.ETIMEDOUT, f"took longer than {patience_s} s")
    return said.rstrip(b"\n") if ended_well else b""


def _read_for(answer: int, patience_s: float) -> bytes | None:
    """All of it, to the end of file; None when that does not come in time."""
    ready, deadline = select.poll(), time.monotonic() + patience_s
    ready.register(answer, select.POLLIN)
    said = b""
    while ready.poll(max(0, int((deadline - time.monotonic()) * 1000))):
        part = os.read(answer, 65536)
        if not part:
            return said
        said += part
    return None


def _copy_with_time(source: bytes, target: bytes) -> None:
    """
    With its time: git distrusts entries as young as the index, and a younger copy would
    make it trust a file that changed in the moment the index was written.
    """
    try:
        found = os.stat(source)
        content = _read(source)
    except OSError:
        return  # nothing was ever added
    with open(target, "xb") as copy:
        copy.write(content)
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def _quoted(path: bytes) -> bytes:
    """As git reads lists of paths: a colon is part of a name only between quotes."""
    if b":" not in path and not path.startswith(b'"'):
        return path
    return b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _read(path: bytes) -> bytes:
    try:
        # a pipe in a file's place must not hold us up
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return file.read()
    except OSError:
        return b""


def _is_id(text: bytes) -> bool:
    return len(text) in (40, 64) and _HEX.issuperset(text)
