"""The work tree after the command: its tree, what differs from the tree before, and what can be said of each file."""

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import BinaryIO

import msgspec

from dre.capture import regular
from dre.capture.git import Git, GitRefused
from dre.capture.recording import Before, Recording
from dre.capture.redaction import Redactor, Secret, Tally
from dre.capture.spool import Spool
from dre.capture.syntax import LARGEST, Finding, Parser, conflict_marker, project_python
from dre.domain.evidence import Observation
from dre.domain.workspace import ChangedFile, Changes, ChangeStatus

MOST_FILES = 2000
MOST_CONTENT_BYTES = 256 << 20
LARGEST_PATCH = 4 << 20
LARGEST_INDEX = 512 << 20  # some four million files
CUT = b"\n[the changes go on; what is more than 4 MiB is not kept]\n"
LATE_NS = 60 * 10**9
_PIECE = 1 << 20
_LINK, _REPOSITORY = "120000", "160000"
_STATUS: dict[str, ChangeStatus] = {"A": "added", "M": "modified", "D": "deleted", "T": "type changed"}
_TEXT_SHOWS_BY = 8000  # as git does: a NUL in so many bytes means binary


class Later(msgspec.Struct, frozen=True):
    """A tree that another recording took after our command had ended and before its own command began."""

    tree: str
    taken_ns: int
    objects: str | None


class Seen(msgspec.Struct, frozen=True):
    """What was seen of the work tree. `patch`: the differences as text, redacted; `tally`: of what."""

    tree_after: str | None = None
    changes: Changes | None = None
    patch: bytes = b""
    tally: Tally = msgspec.field(default_factory=Tally)
    git_version: str | None = None
    observations: tuple[Observation, ...] = ()


class _Entry(msgspec.Struct, frozen=True):
    """One line of `git diff-tree --raw`."""

    path: bytes
    status: ChangeStatus
    mode: str
    object_id: str


def look(
    spool: Spool,
    recording: Recording,
    redactor: Redactor,
    later: Later | None,
    now_ns: Callable[[], int] = time.time_ns,
) -> Seen:
    """Never fails: what could not be seen is said."""
    before = recording.before
    if before is None:
        return _unseen(_WHY_NOT.get(recording.start.workspace, "the recorder was killed before it had looked"))
    try:
        return _look(spool, recording, before, redactor, later, now_ns)
    except GitRefused as refusal:
        return _unseen(redactor.words(str(refusal).encode("utf-8", "replace")))
    except OSError as error:
        return _unseen(f"the work tree cannot be read: {error.strerror}")


_WHY_NOT = {
    "no": "not looked at, as --no-workspace asked",
    "no git": "not in a git work tree",
    "failed": "git's files could not be read",
}


def _unseen(why: str) -> Seen:
    return Seen(observations=(Observation("workspace", "not observed", why),))


def _look(
    spool: Spool,
    recording: Recording,
    before: Before,
    redactor: Redactor,
    later: Later | None,
    now_ns: Callable[[], int],
) -> Seen:
    index, objects = os.path.join(spool.path, "index.after"), os.path.join(spool.path, "objects")
    with contextlib.suppress(FileExistsError):
        os.mkdir(objects, 0o700)
    if not stat.S_ISDIR(os.lstat(objects).st_mode):
        raise GitRefused("something else stands in place of the recorder's objects")  # git would write through a link
    git = Git(before.top, index, objects, [later.objects] if later and later.objects else [])
    partial: list[str] = []
    if later is None:
        taken_ns, tree = now_ns(), _take_tree(spool, git, index, partial)
        ended_ns = recording.start.wall_ns + recording.last_ns
        if taken_ns - ended_ns > LATE_NS:
            partial.append(f"the tree after was taken {_length(taken_ns - ended_ns)} after the end")
    else:
        tree = later.tree
    if not before.tree:
        why = before.why.decode("utf-8", "backslashreplace") or "there is no tree of it"
        said = redactor.words(f"before the command: {why}".encode("utf-8", "replace"))
        return Seen(tree, observations=(Observation("workspace", "not observed", said),))
    ours = _id_file(recording, before)
    try:
        entries = list(_difference(git, before.tree, tree, ours))
    except GitRefused as refusal:
        said = redactor.words(f"the two trees cannot be compared: {refusal}".encode("utf-8", "replace"))
        return Seen(tree, observations=(Observation("workspace", "not observed", said),))
    files = _files(git, recording, before, redactor, entries, partial)
    changes = Changes(
        tree_before=before.tree,
        tree_after=tree,
        files=files,
        more=max(0, len(entries) - MOST_FILES),
        clean_filters=_has_filters(git, tree),
        dirty=_dirty(git, before, ours),
    )
    said = redactor.words("; ".join(partial).encode("utf-8", "replace"))
    compared = "tree before and after" + f", without {redactor.words(ours)}, which --id-file names" * bool(ours)
    seen = Observation("workspace", "partial" if partial else "seen", said or compared)
    tally = Tally()
    patch = b"".join(_patch(git, redactor, (before.tree, tree), ours, tally)) if entries else b""
    version = git.ask("version")[0].decode("utf-8", "replace").strip().removeprefix("git version ")[:80]
    return Seen(tree, changes, patch, tally, version, (seen,))


def _take_tree(spool: Spool, git: Git, index: str, partial: list[str]) -> str:
    """As the recorder took the one before: from a copy of the index, with its time, into objects of our own."""
    spool.drop("index.after", "index.after.lock")
    _copy_with_time(os.path.join(git.git_dir, b"index"), index)
    _, complaint = git.ask("add", "-A", "--ignore-errors", fails=True)
    if complaint and (wrong := [line for line in complaint.splitlines() if line.startswith(("error:", "fatal:"))]):
        partial.append(f"git could not read all of it: {wrong[0][:200]}")
    return git.ask("write-tree")[0].decode("ascii", "replace").strip()


def _id_file(recording: Recording, before: Before) -> bytes:
    """The file in the work tree that the recorder itself writes, named from the top; the command did not change it."""
    top = before.top.rstrip(b"/") + b"/"
    path = recording.start.id_file
    return path.removeprefix(top) if path.startswith(top) else b""


def _all_but(ours: bytes) -> tuple[str | bytes, ...]:
    return ("--", ":(top)", b":(top,exclude,literal)" + ours) if ours else ()


def _difference(git: Git, before: str, after: str, ours: bytes) -> Iterator[_Entry]:
    words, _ = git.ask("diff-tree", "-r", "-z", "--raw", "--no-renames", before, after, *_all_but(ours))
    parts = iter(words.split(b"\0"))
    for head in parts:
        if head.startswith(b":"):
            old_mode, new_mode, _, object_id, status = head[1:].decode("ascii").split(" ")
            mode = old_mode if status[0] == "D" else new_mode
            yield _Entry(next(parts), _STATUS.get(status[0], "modified"), mode, object_id)


def _dirty(git: Git, before: Before, ours: bytes) -> int | None:
    """How far the work tree was from its commit when the command began."""
    if not before.commit:
        return None
    try:
        return sum(1 for _ in _difference(git, before.commit, before.tree, ours))
    except GitRefused:
        return None  # a shallow or damaged repository: the commit is only a name there


def _files(
    git: Git, recording: Recording, before: Before, redactor: Redactor, entries: list[_Entry], partial: list[str]
) -> tuple[ChangedFile, ...]:
    """Read from git's objects, so that each is exactly what the tree says, whatever its name leads to by now."""
    listed = entries[:MOST_FILES]
    if not listed:
        return ()
    parser = Parser(project_python(before.top, dict(recording.environment)))
    try:
        with git.talk("cat-file", "--batch") as (asking, answers):
            reader = _Reader(asking, answers, redactor, parser)
            files = tuple(reader.look(entry) for entry in listed)
    finally:
        parser.close()
    if any(entry.mode == _REPOSITORY for entry in listed):
        partial.append("of repositories inside the work tree only the commit is known")
    if reader.too_much:
        others = f" and {len(reader.too_much) - 1} more" * (len(reader.too_much) > 1)
        name = reader.too_much[0].decode("utf-8", "backslashreplace")
        partial.append(
            f"no digest of {name}{others}: at most {MOST_CONTENT_BYTES >> 20} MiB in all are searched for secrets"
        )
    return files


class _Reader:
    """What can be said of one file after another."""

    def __init__(self, asking: BinaryIO, answers: BinaryIO, redactor: Redactor, parser: Parser) -> None:
        self._asking, self._answers, self._redactor, self._parser = asking, answers, redactor, parser
        self._left = MOST_CONTENT_BYTES
        self.too_much: list[bytes] = []

    def look(self, entry: _Entry) -> ChangedFile:
        known = ChangedFile(self._redactor.text(entry.path), entry.status, entry.mode)
        if entry.status == "deleted" or entry.mode == _REPOSITORY:
            return known
        self._asking.write(entry.object_id.encode() + b"\n")
        self._asking.flush()
        head = self._answers.readline().split()
        if len(head) != 3:
            return msgspec.structs.replace(known, syntax="unknown", syntax_detail="its content is not there")
        return self._looked_at(known, entry, int(head[2]))

    def _looked_at(self, known: ChangedFile, entry: _Entry, size: int) -> ChangedFile:
        searched = size <= self._left
        if searched:
            self._left -= size  # what is passed over leaves room for those behind it
        else:
            self.too_much.append(entry.path)
        digest, content = self._read(size, searched=searched)
        if content is None or entry.mode == _LINK:
            too_large = Finding("unknown", "it is larger than 1 MiB") if content is None else Finding("not checked")
            found, marker = too_large if entry.mode != _LINK else Finding("not checked"), None
        else:
            found = self._parser.look(entry.path, content)
            marker = None if b"\0" in content[:_TEXT_SHOWS_BY] else conflict_marker(content)
        return msgspec.structs.replace(
            known,
            size_bytes=size,
            digest=digest,
            syntax=found.syntax,
            syntax_detail=self._redactor.words(found.detail.encode("utf-8", "replace")),
            line=found.line,
            conflict_marker=marker,
        )

    def _read(self, size: int, *, searched: bool) -> tuple[str | None, bytes | None]:
        """
        Digest and, up to 1 MiB, content. There is no digest of what holds a secret: of a file that is nothing else, it
        would be the secret's.
        """
        whole, kept = sha256(), []

        def blocks() -> Iterator[bytes]:
            left = size
            while left and (block := self._answers.read(min(left, _PIECE))):
                whole.update(block)
                if size <= LARGEST:
                    kept.append(block)
                left -= len(block)
                yield block
            self._answers.read(1)  # the newline behind it

        secret = False
        for piece in self._redactor.pieces(blocks()) if searched else blocks():
            secret = secret or isinstance(piece, Secret)
        return whole.hexdigest() if searched and not secret else None, b"".join(kept) if size <= LARGEST else None


def _patch(git: Git, redactor: Redactor, trees: tuple[str, str], ours: bytes, tally: Tally) -> Iterator[bytes]:
    words = ("diff-tree", "-r", "-p", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv", *trees)
    left = LARGEST_PATCH
    with git.talk(*words, *_all_but(ours)) as (asking, answers):
        asking.close()
        for piece in redactor.stream(iter(lambda: answers.read(_PIECE), b""), tally):
            yield piece[:left]
            left -= len(piece)
            if left < 0:
                yield CUT
                return


def _has_filters(git: Git, tree: str) -> bool:
    """Whether a filter is configured, and some file is told to go through one."""
    configured, _ = git.ask("config", "--get-regexp", r"^filter\..*\.(clean|process)$", fails=True)
    if not configured:
        return False
    used, _ = git.ask("grep", "-l", "-e", "filter=", tree, "--", ":(glob)**/.gitattributes", fails=True)
    return bool(used) or b"filter=" in _content(os.path.join(git.git_dir, b"info", b"attributes"))


def _copy_with_time(source: bytes, target: str) -> None:
    """
    With its time: git distrusts entries as young as the index, and a younger copy would make it trust a file that
    changed in the moment the index was written.
    """
    try:
        content, found = regular.read(source, LARGEST_INDEX + 1)
    except FileNotFoundError:
        return  # nothing was ever added
    if len(content) > LARGEST_INDEX:
        raise GitRefused(f"the index is larger than {LARGEST_INDEX >> 20} MiB")
    with open(target, "xb") as copy:
        copy.write(content)
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def _content(path: bytes) -> bytes:
    try:
        return regular.read(path, _PIECE)[0]
    except OSError:
        return b""


def _length(nanoseconds: int) -> str:
    minutes = nanoseconds // (60 * 10**9)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"
