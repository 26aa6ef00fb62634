"""Where recordings live: the `.dre/` of a place, and whether it is ours and known here, before a byte is written."""

import os
import stat

from dre.shim.descriptors import private
from dre.shim.ids import is_id, new_id

NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in its place must not hold us up
_LONGEST_ID, _LONGEST_LINE = 64, 512


class Untrusted(Exception):
    """A `.dre/` that must not be written to; says why and what to do."""


class Home:
    """
    A `.dre/` that is ours alone and known to this machine.

    Known means that its `ledger-id` names a folder in the state home. Whoever makes the one makes the other, so
    a `.dre/` that came with somebody else's files is recognised as not from here.
    """

    def __init__(self, cwd: bytes) -> None:
        self.path = find(cwd)
        self._state = state_home()
        self.made = _make_folder(None, self.path)
        self.fd = open_folder(None, self.path)
        _make_folder(self.fd, b"spool")
        self.spools = open_folder(self.fd, b"spool", os.path.join(self.path, b"spool"))
        self._refuse_links()
        self.ledger = self._read_id() or self._settle()
        self._check_known()

    @property
    def ci(self) -> bool:
        return self._holds("ci-mode")

    @property
    def lost(self) -> bool:
        """This machine has seen a history here, and it is gone. Recordings wait until somebody decides."""
        folder = self._folder(self.ledger)
        if self._holds("ledger.db") or not os.path.lexists(os.path.join(folder, b"head")):
            return False
        place = _place(folder)  # elsewhere: it was moved from here, and only its name is left
        return place in (b"", self.path) or not os.path.lexists(os.path.join(place, b"ledger.db"))

    @property
    def blocked(self) -> bool:
        """Whoever read the history last found it older than what was seen, or a copy; or the folder itself is one."""
        return self._holds("blocked") or (self._holds("ledger.db") and (self._is_copy() or self._is_older()))

    def _is_copy(self) -> bool:
        """The same ledger still stands where this machine saw it last."""
        place = _place(self._folder(self.ledger))
        if place in (b"", self.path) or not os.path.lexists(os.path.join(place, b"ledger.db")):
            return False
        return _read(os.path.join(place, b"ledger-id")).strip() == self.ledger.encode()

    def _is_older(self) -> bool:
        """
        Whether this machine knows of more events than the folder speaks of. The inside is written first, so it is read
        last: only in an older copy is it behind.
        """
        kept = _read(os.path.join(self._folder(self.ledger), b"head")).rstrip(b"}").rpartition(b'"settled":')[2]
        if not kept.isdigit() or kept == b"0":
            return False  # nobody has closed it yet (a server has it open), or a DRE that kept no such number
        ledger, _, size = _read("settled", self.fd).strip().partition(b" ")
        return ledger != self.ledger.encode() or not size.isdigit() or int(size) < int(kept)

    def _holds(self, name: str) -> bool:
        try:
            os.lstat(name, dir_fd=self.fd)
        except OSError:
            return False
        return True

    def _refuse_links(self) -> None:
        with os.scandir(self.fd) as entries:
            for entry in entries:
                if entry.is_symlink():
                    raise Untrusted(f"{self._shown}/{entry.name} is a symbolic link")

    def _folder(self, ledger: str) -> bytes:
        return os.path.join(self._state, ledger.encode())

    def _read_id(self) -> str:
        try:
            fd = os.open("ledger-id", _FILE, dir_fd=self.fd)
            with open(fd, "rb") as file:
                text = file.read(_LONGEST_ID).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise Untrusted(f"{self._shown}/ledger-id: {os.strerror(error.errno or 0)}") from None
        if not is_id(text):
            raise Untrusted(f"{self._shown}/ledger-id is not an id")
        return text

    def _settle(self) -> str:
        """
        Gives a new `.dre/` its id. Others may be doing the same this moment, and any of us may be killed:
        the state folder comes first and the id appears whole or not at all, so an id is never seen unknown.
        """
        if not self._is_bare():
            ledger = self._read_id()  # somebody was faster, and has begun to record
            if not ledger:
                raise Untrusted(f"{self._shown} has no ledger-id (dre doctor says more)")
            return ledger
        _write_new(self.fd, ".gitignore", b"*\n")
        seen_before = vanished(self._state, self.path)
        ledger = seen_before or new_id()
        if not seen_before:
            os.mkdir(self._folder(ledger), 0o700)
            folder = open_folder(None, self._folder(ledger))
            _write_new(folder, "path", self.path)
            os.close(folder)
        draft = f".ledger-id.{new_id()}"
        _write_new(self.fd, draft, ledger.encode() + b"\n")
        try:
            os.link(draft, "ledger-id", src_dir_fd=self.fd, dst_dir_fd=self.fd, follow_symlinks=False)
        except FileExistsError:
            if not seen_before:
                os.unlink(os.path.join(self._folder(ledger), b"path"))
                os.rmdir(self._folder(ledger))
            ledger = self._read_id()
        finally:
            os.unlink(draft, dir_fd=self.fd)
        os.fsync(self.fd)
        return ledger

    def _is_bare(self) -> bool:
        """As whoever made it left it, killed or at work; a recording in it would become our history unseen."""
        names = {name for name in os.listdir(self.fd) if not _is_draft(name)}
        return names <= {".gitignore", "spool"} and not os.listdir(self.spools)

    def _check_known(self) -> None:
        try:
            os.close(open_folder(None, self._folder(self.ledger)))
        except FileNotFoundError:
            raise Untrusted(f"{self._shown} is not known to this machine (dre trust accepts it)") from None

    @property
    def _shown(self) -> str:
        return os.fsdecode(self.path)


def find(cwd: bytes) -> bytes:
    """The nearest `.dre` of ours up to the top level of the work tree, else a new one there, else here."""
    folder = cwd
    while True:
        candidate = os.path.join(folder, b".dre")
        if _is_owned(candidate) or os.path.lexists(os.path.join(folder, b".git")):
            return candidate
        parent = os.path.dirname(folder)
        if parent == folder:
            return os.path.join(cwd, b".dre")
        folder = parent


def state_home() -> bytes:
    """`$XDG_STATE_HOME/dre`, made when it is not there."""
    place = os.environb.get(b"XDG_STATE_HOME", b"")
    if not place.startswith(b"/"):  # the specification: a relative path is to be ignored
        place = os.path.join(os.path.expanduser(b"~"), b".local/state")
    if not place.startswith(b"/"):
        raise Untrusted("there is no home folder (HOME or XDG_STATE_HOME names one)")
    path = os.path.join(place, b"dre")
    if not os.path.isdir(path):
        os.makedirs(place, 0o700, exist_ok=True)
        _make_folder(None, path)
    os.close(open_folder(None, path))
    return path


def gone(cwd: bytes) -> bytes:
    """The `.dre` that would be made anew, where this machine has seen one with a history; empty where there is none."""
    path = find(cwd)
    return path if not os.path.lexists(path) and vanished(state_home(), path) else b""


def vanished(state: bytes, path: bytes) -> str:
    """The id of the ledger whose history this machine has seen at `path`; empty when there never was one."""
    for name in sorted(os.listdir(state), reverse=True):  # ids begin with their time: the newest counts
        folder = os.path.join(state, name)
        if is_id(os.fsdecode(name)) and os.path.lexists(os.path.join(folder, b"head")) and _place(folder) == path:
            return os.fsdecode(name)
    return ""


def _place(folder: bytes) -> bytes:
    """Where a ledger was last seen; empty when it was given up."""
    try:
        with open(os.path.join(folder, b"path"), "rb") as kept:
            return kept.read()
    except FileNotFoundError:
        return b""


def _read(name: bytes | str, folder: int | None = None) -> bytes:
    """A line that we or ingest wrote; empty when it is not there."""
    try:
        fd = os.open(name, _FILE, dir_fd=folder)
    except OSError:
        return b""
    try:
        return os.read(fd, _LONGEST_LINE)
    except OSError:
        return b""
    finally:
        os.close(fd)


def open_folder(parent: int | None, name: bytes, shown: bytes = b"") -> int:
    """A folder that nobody but us can look into, held by its descriptor: what was checked is what is used."""
    text = os.fsdecode(shown or name)
    try:
        fd = private(os.open(name, _FOLDER, dir_fd=parent))
    except NotADirectoryError:
        raise Untrusted(f"{text} is a symbolic link or a file, not a folder") from None
    found = os.fstat(fd)
    if found.st_uid != os.geteuid():
        raise Untrusted(f"{text} belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise Untrusted(f"{text} is open to other users (chmod 700 closes it)")
    return fd


def _make_folder(parent: int | None, name: bytes) -> bool:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return False
    return True


def _write_new(folder: int, name: str, content: bytes) -> None:
    try:
        fd = os.open(name, NEW_FILE, 0o600, dir_fd=folder)
    except FileExistsError:
        return  # somebody was faster with the same content
    os.write(fd, content)
    os.fsync(fd)
    os.close(fd)


def _is_draft(name: str) -> bool:
    return name.startswith(".ledger-id.")


def _is_owned(path: bytes) -> bool:
    """Ours, whatever it is: a link of ours is found here, and refused when it is opened."""
    try:
        return os.lstat(path).st_uid == os.geteuid()
    except OSError:
        return False
