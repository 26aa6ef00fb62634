"""Test reports: found where the command was told to write them and where they usually lie, and only if of this run."""

import fnmatch
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from dre.domain.evidence import Observation

LARGEST = 32 << 20
MOST = 500
LARGEST_TOGETHER = 1 << 30
CLOCK_STEP_NS = 20_000_000  # file times come from a clock that is up to this much behind
_MOST_LOOKED_AT = 50_000
_MOST_TOLD_APART = 3
_State = Literal["partial", "stale", "not observed"]
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPTION = re.compile(rb"--?[A-Za-z0-9-]*junit[A-Za-z0-9-]*", re.IGNORECASE)
_NO_FILE = re.compile(rb"-D.*|.*(?:prefix|name|pkg)", re.IGNORECASE)  # --junit-prefix, --junitfile-project-name
_GTEST = re.compile(rb"--gtest_output=xml:(.+)", re.DOTALL)
_IN_SCRIPT = re.compile(rb"(--?[A-Za-z0-9-]*junit[A-Za-z0-9-]*)(?:=|\s+)[\"']?([^\s\"';|&<>()]+)", re.IGNORECASE)


class Report(msgspec.Struct, frozen=True):
    """A file of this run, open. `source` is where it was found, relative to the working directory where it can be."""

    source: bytes
    fd: int
    size_bytes: int
    changed_ns: int


class Run(msgspec.Struct, frozen=True):
    """Between which two moments a file has to have been changed to be of this run."""

    began_ns: int
    ended_ns: int


class _NotUsed(Exception):
    """
    Why a file that looked like a report is not one of this run: what follows its name, as in `sentences`. `state`,
    and `of_named` where the command was told to write it: then this run's own may be lost, and may hold a failure.
    """

    def __init__(self, why: str, state: _State = "not observed", of_named: _State = "not observed") -> None:
        super().__init__(why)
        self.state, self.of_named = state, of_named


def find_reports(
    argv: Sequence[bytes], globs: Sequence[str], cwd: bytes, top: bytes | None, run: Run, *, alone: bool = True
) -> tuple[list[Report], list[Observation]]:
    """
    The caller closes the descriptors. What was looked at and not used is said. `alone`: no other recording ran in this
    work tree at the same time; else what the command did not name may be the other's.

    Nothing outside the work tree and the working directory is opened, and no symbolic link is followed.
    """
    found: list[Report] = []
    remarks: dict[tuple[_State, str], list[str]] = {}
    said: list[Observation] = []
    left = [_MOST_LOOKED_AT]
    words = [os.path.normpath(os.path.join(cwd, word)) for word in named_in(argv)]
    named = [path for word in words for path in _files(word, left)]
    roots = [os.path.normpath(root) for root in dict.fromkeys((cwd, top or cwd))]
    room = LARGEST_TOGETHER

    def remark(state: _State, path: bytes, why: str) -> None:
        remarks.setdefault((state, why), []).append(_words(_shown(path, cwd)))

    for path in dict.fromkeys([*named, *_matching(roots, globs, left)]):
        if len(found) == MOST or room < 0:
            most = f"more than {MOST} reports, or {LARGEST_TOGETHER >> 30} GiB of them"
            said.append(Observation("report", "partial", f"{most}: the rest was not collected"))
            break
        try:
            found.append(_open(path, roots, _shown(path, cwd), run))
            room -= found[-1].size_bytes
            if words.count(path) > 1:
                remark("not observed", path, " was to be written more than once: the last one was seen")
            if not alone and path not in named:
                remark("not observed", path, " may be of another recording that ran at the same time")
        except _NotUsed as reason:
            remark(reason.of_named if path in named else reason.state, path, str(reason))
        except FileNotFoundError:
            if path in named:
                remark("not observed", path, ": the command was told to write it, but it is not there")
        except OSError as error:
            remark("not observed", path, f": {error.strerror}")
    for (state, why), names in remarks.items():
        said += [Observation("report", state, sentence) for sentence in sentences(names, why)]
    if left[0] < 0:
        most = f"more than {_MOST_LOOKED_AT:,} names were looked at"
        said.append(Observation("report", "partial", f"{most}: reports were not looked for in the rest"))
    return found, said


def sentences(names: Sequence[str], why: str) -> list[str]:
    """
    The same of each report: of a few one by one, of many in one sentence. `why` is what follows a name, from the space
    or the colon on: ` is older than the run: not used`.
    """
    if len(names) <= _MOST_TOLD_APART:
        return [name + why for name in names]
    return [f"{names[0]} and {len(names) - 1:,} more" + re.sub("^ is ", " are ", why)]


def named_in(argv: Sequence[bytes]) -> Iterator[bytes]:
    """`--junitxml=X`, `--junitxml X` and their many sisters, also inside of what a shell was given to run."""
    for at, word in enumerate(argv):
        option, equals, value = word.partition(b"=")
        if gtest := _GTEST.fullmatch(word):
            yield gtest[1]
        elif _OPTION.fullmatch(option) and not _NO_FILE.fullmatch(option):
            if equals and value:
                yield value
            elif not equals and at + 1 < len(argv) and _is_path(argv[at + 1]):
                yield argv[at + 1]
        elif re.search(rb"\s", word):
            found = _IN_SCRIPT.findall(word)
            yield from (value for option, value in found if _is_path(value) and not _NO_FILE.fullmatch(option))


def unchanged(report: Report) -> bool:
    """Whether it is still what it was when it was found; asked after it was read."""
    now = os.fstat(report.fd)
    return (now.st_size, now.st_ctime_ns) == (report.size_bytes, report.changed_ns)


def _is_path(word: bytes) -> bool:
    is_plain = not any(sign in word for sign in (b"\0", b"$", b"`"))  # what a shell puts there is not known here
    return is_plain and not word.startswith(b"-") and (b"/" in word or b"." in word)


def _files(path: bytes, left: list[int]) -> list[bytes]:
    """A folder for reports stands for those in it."""
    return list(_below(path, [b"*.xml"], left)) if os.path.isdir(path) else [path]


def _open(path: bytes, roots: Sequence[bytes], shown: bytes, run: Run) -> Report:
    fd = _descend(path, roots)
    try:
        state = os.fstat(fd)
        _check(state, run)
    except BaseException:
        os.close(fd)
        raise
    return Report(shown, fd, state.st_size, state.st_ctime_ns)


def _check(state: os.stat_result, run: Run) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise _NotUsed(" is no regular file: not read")
    if state.st_size > LARGEST:
        raise _NotUsed(f" is larger than {LARGEST >> 20} MiB: not read")
    # a new name, mode or link changes ctime alone, and a copy may bring an old mtime: the younger of both is no proof
    if min(state.st_ctime_ns, state.st_mtime_ns) < run.began_ns - CLOCK_STEP_NS:
        raise _NotUsed(" is older than the run: not used", "stale")
    if state.st_ctime_ns > run.ended_ns + CLOCK_STEP_NS:
        raise _NotUsed(" changed after the run: not used", "stale", of_named="partial")


def _descend(path: bytes, roots: Sequence[bytes]) -> int:
    """Step by step from the root that holds it, so that no name on the way leads elsewhere."""
    root = next((root for root in roots if path.startswith(root.rstrip(b"/") + b"/")), None)
    if root is None:
        raise _NotUsed(" is outside of the work tree: not read")
    *folders, name = path[len(root.rstrip(b"/")) + 1 :].split(b"/")
    at, step = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), name
    try:
        for step in folders:
            inner = os.open(step, _FOLDER, dir_fd=at)
            os.close(at)
            at = inner
        step = name
        return os.open(name, _READ, dir_fd=at)
    except OSError:
        if _is_link(step, at):
            raise _NotUsed(" is reached by a symbolic link: not read") from None
        raise
    finally:
        os.close(at)


def _is_link(name: bytes, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode)
    except OSError:
        return False


def _matching(roots: Sequence[bytes], globs: Sequence[str], left: list[int]) -> Iterator[bytes]:
    for pattern in globs:
        parts = [part for part in os.fsencode(pattern).split(b"/") if part not in (b"", b".")]
        if b".." in parts or pattern.startswith("/"):
            continue
        for root in roots:
            yield from _below(root, parts, left)


def _below(folder: bytes, parts: Sequence[bytes], left: list[int]) -> Iterator[bytes]:
    """Names in `folder` that match, in order. Links are not followed; a huge tree ends the search."""
    if not parts:
        return
    head, rest = parts[0], parts[1:]
    if not _has_magic(head):
        yield from (_below(os.path.join(folder, head), rest, left) if rest else [os.path.join(folder, head)])
        return
    deeper = head == b"**"
    if deeper:
        yield from _below(folder, rest, left)
    try:
        with os.scandir(folder) as entries:
            names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError:
        return
    for name, is_folder in names:
        left[0] -= 1
        if left[0] < 0:
            return
        path = os.path.join(folder, name)
        if name.startswith(b".") and not head.startswith(b"."):
            continue  # hidden, as shells have it
        if deeper and is_folder:
            yield from _below(path, parts, left)
        elif not deeper and fnmatch.fnmatchcase(name, head):
            if rest and is_folder:
                yield from _below(path, rest, left)
            elif not rest and not is_folder:
                yield path


def _has_magic(part: bytes) -> bool:
    return any(character in part for character in b"*?[")


def _shown(path: bytes, cwd: bytes) -> bytes:
    inside = path.startswith(cwd.rstrip(b"/") + b"/")
    return path[len(cwd.rstrip(b"/")) + 1 :] if inside else path


def _words(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
