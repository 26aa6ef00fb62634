"""A spool as it is found: one recording's directory, reached through descriptors and trusted in nothing."""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Hashable, Iterator
from uuid import UUID

from dre.errors import SpoolRefused
from dre.shim.ids import is_id

NEEDLES, JOURNAL, OUTPUT, LATE_JOURNAL, LATE_OUTPUT = "needles", "journal", "out.raw", "late.journal", "late.raw"
ALIVE, _LOCK = "alive", "ingest"
_DONE = ".recorded-"  # a spool that is history and only waits to be deleted
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in a file's place must not hold us up
_LOCKED = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DRAFT = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOBODY = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""Of the folder of a recording, or of its lock: nothing that a recorder has made is there."""
_FOR_NOW = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)
"""Of a file: it may well be there, and can be opened the next time."""
_VERSION, _VARIANT = 7, 2
_READ_FROM = (NEEDLES, JOURNAL, OUTPUT, LATE_JOURNAL, LATE_OUTPUT)
_TICK_NS = 1_000_000_000  # more than one of the clock that files are dated by


class Spools:
    """`.dre/spool/`: every recording that is not yet history, oldest first."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = _open_folder(path, None, path)

    def close(self) -> None:
        os.close(self.fd)

    def ids(self) -> list[UUID]:
        """Names that are no ids are nobody's recordings, and are left alone."""
        return [UUID(name) for name in sorted(os.listdir(self.fd)) if is_id(name)]

    def open(self, id: UUID) -> "Spool | None":
        """None when it is not there (any more). Raises SpoolRefused."""
        try:
            return Spool(self, id)
        except FileNotFoundError:
            return None

    def is_alive(self, id: UUID) -> bool:
        """Whether somebody still records there, or may: the folder need not be one that can be trusted."""
        try:
            fd = os.open(os.path.join(str(id), ALIVE), _READ, dir_fd=self.fd)
        except OSError as error:  # too many open files, say: nothing is known of it
            return error.errno not in _NOBODY
        try:
            return _is_held(fd)
        finally:
            os.close(fd)

    def sweep(self) -> None:
        """Deletes what an ingest that was killed had recorded and not yet deleted."""
        for name in os.listdir(self.fd):
            if name.startswith(_DONE):
                _delete(name, self.fd)


class Spool:
    """
    `.dre/spool/<operation id>/`, open. Nothing is read through a name that could lead elsewhere, and nothing that
    another user could have written. Whoever changes anything in it holds its `ingest` lock.
    """

    def __init__(self, home: Spools, id: UUID) -> None:
        self.id, self._home = id, home
        self.path = os.path.join(home.path, str(id))
        self.fd = _open_folder(str(id), home.fd, self.path)
        self._lock: int | None = None
        if (id.version, id.int >> 62 & 3) != (_VERSION, _VARIANT):
            self.close()
            raise self.refused("its name is not the id of an operation (a UUID of version 7)")

    def close(self) -> None:
        self.unlock()
        os.close(self.fd)

    def refused(self, what: str, *, file: str = "", frame: int | None = None, byte: int | None = None) -> SpoolRefused:
        """The error that names the place; the spool stays where it is."""
        place = "".join(
            (
                f", {file}" if file else "",
                f", frame {frame}" if frame is not None else "",
                f" at byte {byte}" if byte is not None else "",
            )
        )
        return SpoolRefused(
            f"spool {self.id}{place}: {what}",
            hint=f"nothing of it was recorded and it was left as it is; look at {self.path}, then delete it",
        )

    def holds(self, name: str) -> bool:
        try:
            os.lstat(name, dir_fd=self.fd)
        except FileNotFoundError:
            return False
        return True

    def open_file(self, name: str) -> int:
        """
        For reading. Raises FileNotFoundError, SpoolRefused for what the recorder would not have left, and OSError for
        what may go better the next time.
        """
        try:
            fd = os.open(name, _READ, dir_fd=self.fd)
        except OSError as error:
            if error.errno == errno.ENOENT or error.errno in _FOR_NOW:
                raise
            raise self.refused(f"cannot be opened ({error.strerror})", file=name) from None
        found = os.fstat(fd)
        wrong = _not_ours(found) or (
            "is not a regular file"
            if not stat.S_ISREG(found.st_mode)
            else "has a second name somewhere else"
            if found.st_nlink > 1
            else ""
        )
        if wrong:
            os.close(fd)
            raise self.refused(wrong, file=name)
        return fd

    def draft(self, name: str) -> int:
        """A new file for work on the way to evidence; what a killed ingest left under this name is gone."""
        return os.open(name, _DRAFT, 0o600, dir_fd=self.fd)

    def alive(self) -> bool:
        """Whether shim, keeper or drainer of this recording still live."""
        try:
            fd = self.open_file(ALIVE)
        except FileNotFoundError:
            return False
        try:
            return _is_held(fd)
        finally:
            os.close(fd)

    def fingerprint(self) -> Hashable | None:
        """
        Equal as long as what it holds reads the same. None where something changed just now: what follows within the
        same tick of the clock could not be told from it.
        """
        found = [os.fstat(self.fd)]  # tells of every name that came or went
        for name in _READ_FROM:
            with contextlib.suppress(FileNotFoundError):
                found.append(os.stat(name, dir_fd=self.fd, follow_symlinks=False))
        if time.time_ns() - max(one.st_ctime_ns for one in found) < _TICK_NS:
            return None
        return tuple((one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in found)

    def lock(self) -> bool:
        """Becomes its only ingester. False: another one is at work, or was, and the spool is history by now."""
        fd = os.open(_LOCK, _LOCKED, 0o600, dir_fd=self.fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._lock = fd
        if not self._is_still_here():
            self.unlock()
            return False
        return True

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def discard(self) -> None:
        """Under its lock. First out of sight in one step, so that a kill never leaves half a spool to be read."""
        done = _DONE + str(self.id)
        os.rename(str(self.id), done, src_dir_fd=self._home.fd, dst_dir_fd=self._home.fd)
        _delete(done, self._home.fd)

    def drop(self, *names: str) -> None:
        """Under its lock: deletes what is evidence by now, while the rest still waits."""
        for name in names:
            if self.holds(name):
                _delete(name, self.fd)

    def _is_still_here(self) -> bool:
        try:
            return os.path.samestat(os.stat(str(self.id), dir_fd=self._home.fd), os.fstat(self.fd))
        except FileNotFoundError:
            return False


def _is_held(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def newer_than(path: str, id: UUID) -> list[UUID]:
    """Recordings begun after this one, oldest first, whose commands no longer run: they wait, or are refused."""
    try:
        home = Spools(path)
    except FileNotFoundError:
        return []
    try:
        return [one for one in home.ids() if one > id and _is_over(home, one)]
    finally:
        home.close()


def _is_over(home: Spools, id: UUID) -> bool:
    try:
        spool = home.open(id)
        if spool is None:
            return False
        try:
            return spool.holds(JOURNAL) and not spool.alive()
        finally:
            spool.close()
    except SpoolRefused:
        return True


def read_pieces(fd: int, length: int, piece: int = 1 << 20) -> Iterator[bytes]:
    """The first `length` bytes, or fewer if there are none."""
    at = 0
    while at < length and (data := os.pread(fd, min(piece, length - at), at)):
        yield data
        at += len(data)


def _open_folder(name: str, parent: int | None, shown: str) -> int:
    try:
        fd = os.open(name, _FOLDER, dir_fd=parent)
    except NotADirectoryError:
        raise SpoolRefused(f"{shown} is a symbolic link or a file, not a folder", hint="find out who made it") from None
    except PermissionError as error:
        raise SpoolRefused(f"{shown} cannot be opened: {error.strerror}", hint="find out who owns it") from None
    if wrong := _not_ours(os.fstat(fd)):
        os.close(fd)
        raise SpoolRefused(f"{shown} {wrong}", hint="find out who made it; then delete it")
    return fd


def _not_ours(found: os.stat_result) -> str:
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"has mode {stat.S_IMODE(found.st_mode):04o}: others could read or change it"
    return ""


def _delete(name: str, parent: int) -> None:
    """A folder or a file; no link is followed. Whoever else deletes the same may win."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        fd = os.open(name, _FOLDER, dir_fd=parent)
        try:
            for inner in os.listdir(fd):
                _delete(inner, fd)
        finally:
            os.close(fd)
        try:
            os.rmdir(name, dir_fd=parent)
        except FileNotFoundError:
            return
