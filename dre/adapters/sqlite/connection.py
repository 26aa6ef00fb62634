"""
One SQLite file and the one thread that touches it.

Waiting for the disk or for another process never stops the event loop. apsw has an asyncio mode of its own; it costs
the same and interrupts a running call when its task is cancelled, which must not happen to a commit.
"""

import asyncio
import errno
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import apsw
import msgspec

from dre.errors import LedgerAltered, LedgerError, LedgerMissing, StoreBusy, StoreFull

IN_MEMORY = ":memory:"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RETRY_S = 0.01
_HEADER_BYTES, _LARGEST_PAGE = 100, 65536

T = TypeVar("T")


class Damaged(LedgerError):
    """A file that holds nothing which could not be made again, and cannot be read."""


class Database:
    """A connection with its thread. Every call runs there, one after the other, and is finished once begun."""

    def __init__(
        self, path: str, *, create: bool, synchronous: str, busy_timeout_s: float, rebuildable: bool = False
    ) -> None:
        self.path = path
        self._rebuildable = rebuildable
        self._create = create
        self._synchronous = synchronous
        self._busy_timeout_s = busy_timeout_s
        self._thread = ThreadPoolExecutor(1, "sqlite")
        self._connection: apsw.Connection | None = None
        self._looked_at: int | None = None
        self._closed = False

    async def run(self, call: Callable[[apsw.Connection], T]) -> T:
        """`call` in the thread, with SQLite's errors in DRE's words."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._call, call)

    async def close(self) -> None:
        """After the calls that wait. Closing what is closed is nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        finally:
            self._thread.shutdown()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._looked_at is not None:
            os.close(self._looked_at)
            self._looked_at = None

    def _call(self, call: Callable[[apsw.Connection], T]) -> T:
        with self._in_our_words():
            if self._connection is None:
                self._connection = self._open()
            return call(self._connection)

    def _open(self) -> apsw.Connection:
        connection = _connect(self.path, create=self._create)
        try:
            connection.set_busy_timeout(int(self._busy_timeout_s * 1000))
            _harden(connection)
            _use_wal(connection, self._synchronous, time.monotonic() + self._busy_timeout_s)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        path = self.path
        try:
            yield
        except (apsw.BusyError, apsw.LockedError) as error:
            raise StoreBusy(f"{path}: another process held it for too long", hint="try again") from error
        except apsw.FullError as error:
            raise StoreFull(f"{path}: no room on the disk") from error
        except apsw.IOError as error:
            if self._has_no_room(error):
                raise StoreFull(f"{path}: no room on the disk") from error
            raise LedgerError(f"{path} cannot be read or written: {error}") from error
        except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError) as error:
            raise LedgerError(f"{path} cannot be opened for writing: {error}") from error
        except apsw.Error as error:  # a damaged page, a row that breaks a rule, a schema that is not ours
            if self._rebuildable:
                raise self._damaged(error) from error
            raise LedgerAltered(
                f"{path} is damaged: {error}{self._how_much_is_left()}",
                hint="keep a copy of .dre as it is, then put back the newest backup of it; recordings wait meanwhile",
            ) from error
        except UnicodeEncodeError:  # what a caller asked for, not what is in the file
            raise
        except (
            ValueError,
            msgspec.MsgspecError,
        ) as error:  # what SQLite takes for a value, and no writer of ours wrote
            if self._rebuildable:
                raise self._damaged(error) from error
            raise

    def _has_no_room(self, error: apsw.IOError) -> bool:
        """A quota or a limit; or, while it is opened, the file that its readers share could not be made longer."""
        if getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_SHMSIZE:  # the stubs do not know it
            return True
        return self._connection is not None and self._connection.system_errno in _NO_ROOM

    def _damaged(self, error: Exception) -> Damaged:
        return Damaged(f"{self.path} is damaged: {error}", hint="dre projections rebuild makes all tables anew")

    def _how_much_is_left(self) -> str:
        """
        Of a file that was cut; empty where it is as long as it says itself (https://sqlite.org/fileformat.html, 1.3).

        It stays open as long as the connection: to close it would drop the locks that SQLite holds on it for this
        process (https://sqlite.org/howtocorrupt.html, 2.2).
        """
        try:
            if self._looked_at is None:
                self._looked_at = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            header, size = os.pread(self._looked_at, _HEADER_BYTES, 0), os.fstat(self._looked_at).st_size
        except OSError:
            return ""
        if len(header) < _HEADER_BYTES:
            return f"; it was cut to {size} bytes"
        page, pages = int.from_bytes(header[16:18]), int.from_bytes(header[28:32])
        whole = (page if page > 1 else _LARGEST_PAGE) * pages
        return f"; it was cut: {size} of {whole} bytes are there" if size < whole else ""


class Glance:
    """
    A connection of the event loop's own that reads nothing but whether anybody has committed: from shared memory, in
    microseconds, without waiting for the disk or for a lock.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: apsw.Connection | None = None
        self._version: int | None = None
        self._failed = 0

    def version(self) -> int:
        """
        Another number after each commit of another connection; where it cannot be read, another one each time.

        One glance for each turn of the event loop: whatever anybody learns after it (a request, an answer, the end of a
        thread's work) reaches the loop behind `_forget`, and so is looked for anew.
        """
        if self._version is None:
            self._version = self._look()
            asyncio.get_running_loop().call_soon(self._forget)
        return self._version

    def _forget(self) -> None:
        self._version = None

    def _look(self) -> int:
        if self._path == IN_MEMORY:
            return 0  # nobody else can reach it
        try:
            if self._connection is None:
                self._connection = apsw.Connection(self._path, flags=apsw.SQLITE_OPEN_READONLY)
            return int(self._connection.pragma("data_version"))
        except apsw.Error:
            self._failed -= 1
            return self._failed

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """Begins as a writer, so that nothing read inside can be out of date; commits, or leaves nothing."""
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:  # a full disk may have rolled it back already
            connection.execute("rollback")
        raise


def _connect(path: str, *, create: bool) -> apsw.Connection:
    if path == IN_MEMORY:
        return apsw.Connection(path)
    folder, name = os.path.split(os.path.abspath(path))
    real = os.path.join(os.path.realpath(folder), name)  # links on the way are the caller's to judge, the last is not
    try:
        _make_private(real, create=create)
    except FileNotFoundError as error:
        raise LedgerMissing(f"{path} does not exist") from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StoreFull(f"{path}: no room on the disk") from error
        raise LedgerError(f"{path} cannot be opened: {os.strerror(error.errno or 0)}") from error
    return apsw.Connection(real, flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW)


def _make_private(real: str, *, create: bool) -> None:
    """The file, 0600 and its name durable, before SQLite writes into it; its journals then take the same mode."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    if create and not os.path.lexists(real):
        os.close(os.open(real, flags | os.O_CREAT, 0o600))
        folder = os.open(os.path.dirname(real), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    os.close(os.open(real, flags))


def _harden(connection: apsw.Connection) -> None:
    """What is in the file is data: its schema can neither run code nor be rewritten by an ordinary statement."""
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 1)
    connection.execute("pragma recursive_triggers = 1")  # else INSERT OR REPLACE deletes without asking the triggers
    connection.execute("pragma secure_delete = 1")  # an erased body is overwritten, not only unlinked
    connection.execute("pragma fullfsync = 1")  # where fsync alone does not reach the disk (macOS)


def _use_wal(connection: apsw.Connection, synchronous: str, deadline: float) -> None:
    mode = None
    while mode is None:  # several processes may open a new file at once, and this switch does not wait for its turn
        try:
            mode = connection.execute("pragma journal_mode = wal").get
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)
    if mode not in ("wal", "memory"):
        raise LedgerError(
            "this file system cannot share a write-ahead log between processes", hint="keep `.dre/` on a local disk"
        )
    connection.execute(f"pragma synchronous = {synchronous}")
