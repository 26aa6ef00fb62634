"""The spool: one directory per operation, written so that a cut at any moment leaves something true."""

import errno
import fcntl
import os
import struct

from dre.shim.descriptors import private
from dre.shim.home import NEW_FILE, Home
from dre.shim.ids import new_id
from dre.shim.journal import END, EXIT, OUTPUT, Journal, copy_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

RESCUED = "rescued"  # a mark: it was deleted or replaced while the command ran, and written again
NOWHERE = -1  # no descriptor: the first write to it is the trouble that ends the keeping
_OUTPUT = struct.Struct("<BI")
_END = struct.Struct("<QQ")


class Recording:
    """
    Output bytes and the frames that place them. What did not fit is counted, never guessed.

    No trouble with the disk is an error here: the command goes on, and `trouble` says what was the matter.
    """

    def __init__(self, journal: Journal, raw: int) -> None:
        self.journal, self.raw = journal, raw
        self.kept = self.lost = 0
        self.on_trouble: "Callable[[], None] | None" = None  # called once, at the first
        self._trouble = 0

    @property
    def trouble(self) -> int:
        """The errno of the first failure; 0 while all is well."""
        return self._trouble or self.journal.trouble

    def output(self, number: int, data: memoryview) -> None:
        kept = 0 if self.trouble else self._write(data)
        self._place(number, kept, len(data))

    def copy(self, number: int, source: int, start: int, length: int) -> None:
        """A written range of a regular file, taken by the kernel; the file stays as it is."""
        kept = 0
        while kept < length and not self.trouble:
            try:
                sent = os.sendfile(self.raw, source, start + kept, length - kept)
            except OSError as error:
                self._trouble = error.errno or 0
                break
            if not sent:
                break  # it is shorter by now
            kept += sent
        self._place(number, kept, length)

    def exit(self, report: bytes) -> None:
        self.journal.write(EXIT, report)

    def end(self) -> None:
        """The order is the promise: an `end`, where a power cut leaves one, vouches for output that is on the disk."""
        os.fsync(self.raw)
        self.journal.write(END, _END.pack(self.kept, self.lost))
        self.journal.close_tail()
        os.fsync(self.journal.fd)

    def go_on_in(self, journal: int, raw: int) -> None:
        """In other files, with all that was written so far."""
        copy_file(self.raw, raw, os.fstat(self.raw).st_size)
        self.raw = raw
        self.journal.go_on_in(journal)

    def _place(self, number: int, kept: int, length: int) -> None:
        """Kept is what has a frame: of bytes without one nobody could tell whose they were."""
        if kept:
            self.journal.write(OUTPUT, _OUTPUT.pack(number, kept))
            kept = 0 if self.journal.trouble else kept
        self.kept += kept
        self.lost += length - kept
        if self.trouble and self.on_trouble:
            self.on_trouble()
            self.on_trouble = None

    def _write(self, data: memoryview) -> int:
        kept = 0
        try:
            while kept < len(data):
                kept += os.write(self.raw, data[kept:])
        except OSError as error:
            self._trouble = error.errno or 0  # for good: what is kept is one piece from the front
        return kept


class Spool:
    """`.dre/spool/<operation id>/`, reached through directory descriptors, so no link can lead elsewhere."""

    def __init__(self, home: Home) -> None:
        self.id = new_id()
        self.path = os.path.join(home.path, b"spool", self.id.encode())
        self.root = home.path
        self.home = home
        self._make()
        try:
            self._live()
            self.recording = Recording(Journal(self._new("journal")), self._new("out.raw"))
            self.must_be_well()
        except BaseException:
            self.discard()
            raise

    def stands(self) -> bool:
        """Whether everything is still there under its name: a command of this user's may delete or exchange it."""
        held = (("journal", self.recording.journal.fd), ("out.raw", self.recording.raw))
        try:
            os.stat("needles", dir_fd=self.fd)
            return os.path.samestat(os.stat(self.path), os.fstat(self.fd)) and all(
                os.path.samestat(os.stat(name, dir_fd=self.fd), os.fstat(fd)) for name, fd in held
            )
        except OSError:
            return False

    def write_again(self, home: Home, needles: bytes) -> None:
        """In a new directory of the same name, marked from its first moment on; what was recorded is copied there."""
        self.home = home
        self._make()
        self._live()
        os.close(self._new(RESCUED))
        self.keep_needles(needles)
        self.recording.go_on_in(self._new("journal"), self._new("out.raw"))
        os.fsync(home.spools)

    def keep_needles(self, needles: bytes) -> None:
        """Always written, also empty: without it nobody could tell that there was nothing to redact."""
        fd = self._new("needles")
        kept = os.write(fd, needles)
        os.fsync(fd)
        os.close(fd)
        if kept < len(needles):
            # A full disk or a limit takes a part without a word; the secrets behind it would be told.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def must_be_well(self) -> None:
        """While nothing was started, trouble is a reason to record nothing at all."""
        if self.recording.trouble:
            raise OSError(self.recording.trouble, os.strerror(self.recording.trouble))

    def settle(self) -> None:
        """Before the fork: a machine that dies now still knows that this command was about to run."""
        self.must_be_well()
        os.fsync(self.recording.journal.fd)
        os.fsync(self.fd)
        os.fsync(self.home.spools)

    def late(self) -> Recording:
        """Where there is no room for it, one that keeps nothing: the copying must go on."""
        try:
            return Recording(Journal(self._new("late.journal")), self._new("late.raw"))
        except OSError:
            return Recording(Journal(NOWHERE), NOWHERE)

    def close(self) -> None:
        self.recording.end()
        os.fsync(self.fd)

    def discard(self) -> None:
        """Nothing was run under this recording: it leaves no trace."""
        _remove(self.path)

    def _make(self) -> None:
        os.mkdir(self.id, 0o700, dir_fd=self.home.spools)
        self.fd = private(os.open(self.id, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.home.spools))

    def _live(self) -> None:
        self.alive = self._new("alive")  # first of all files: a spool without it was cut before anything ran
        fcntl.flock(self.alive, fcntl.LOCK_EX)  # of the open file: held until shim, keeper and drainer have gone

    def _new(self, name: str) -> int:
        return private(os.open(name, NEW_FILE, 0o600, dir_fd=self.fd))


def _remove(folder: bytes) -> None:
    try:
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.path)
            else:
                os.unlink(entry.path)
        os.rmdir(folder)
    except OSError:
        pass  # an ingest finds out by itself that nothing was run here
