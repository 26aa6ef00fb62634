"""
The state home: what this machine knows of its ledgers, kept where no repository reaches.

`$XDG_STATE_HOME/dre/` holds `actor` and, for each ledger, a folder named by its id with `path` (where its `.dre` was
last seen), `head` (the newest head seen) and the keys. It tells a moved, a copied, an older and a deleted ledger apart.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import msgspec

from dre.errors import WorkspaceRefused

_ACTOR = re.compile(r"local-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n?")


class KeptHead(msgspec.Struct, frozen=True):
    """
    The newest head seen: `size` events, the last of which has this leaf (hex). `settled`: how many of them `.dre/` is
    known to speak of itself, which is what the recorder compares.
    """

    size: int
    leaf: str
    settled: int = 0


class StateHome:
    """`root`: usually `~/.local/state/dre`. Made with mode 0700 when it is first written to."""

    def __init__(self, root: str) -> None:
        self.root = root

    def folder(self, ledger_id: UUID) -> str:
        return os.path.join(self.root, str(ledger_id))

    def knows(self, ledger_id: UUID) -> bool:
        return os.path.isdir(self.folder(ledger_id))

    def adopt(self, ledger_id: UUID, path: str) -> None:
        """From now on this machine knows the ledger, at this path."""
        for folder in (self.root, self.folder(ledger_id)):  # one by one: parents that are made on the way stay open
            os.makedirs(folder, mode=0o700, exist_ok=True)
        self._replace(os.path.join(self.folder(ledger_id), "path"), os.fsencode(path), durable=True)

    def path(self, ledger_id: UUID) -> str | None:
        """Where the ledger was last seen."""
        kept = _read(os.path.join(self.folder(ledger_id), "path"))
        return os.fsdecode(kept) if kept else None

    def head(self, ledger_id: UUID) -> KeptHead | None:
        kept = _read(os.path.join(self.folder(ledger_id), "head"))
        if not kept:
            return None
        try:
            return msgspec.json.decode(kept, type=KeptHead)
        except msgspec.DecodeError as error:
            where = os.path.join(self.folder(ledger_id), "head")
            raise WorkspaceRefused(
                f"{where} cannot be read: {error}",
                hint="compare `dre ledger verify` with what you know, then delete the file",
            ) from error

    def remember(self, ledger_id: UUID, head: KeptHead) -> None:
        """
        Keeps the newer of both. Not flushed to the disk at once: after a power cut it may be older than the ledger,
        which is no alarm, never newer.
        """
        with contextlib.suppress(OSError), self.locked(ledger_id):
            kept = self.head(ledger_id)
            if kept is None or kept.size < head.size:
                self._keep(ledger_id, KeptHead(head.size, head.leaf, kept.settled if kept else 0))

    def settle(self, ledger_id: UUID, size: int, inside: Callable[[], None]) -> None:
        """
        Keeps that `.dre/` itself says so many events; `inside` makes it say so and has it on the disk when it returns.
        Only then is it kept here: whatever stops in between leaves the inside ahead, which is no alarm. Behind is it
        only in an older copy.
        """
        with contextlib.suppress(OSError), self.locked(ledger_id):
            kept = self.head(ledger_id)
            if kept is not None and kept.settled <= size <= kept.size:  # else somebody was faster, with more
                inside()
                if kept.settled < size:
                    self._keep(ledger_id, msgspec.structs.replace(kept, settled=size))

    def retire(self, ledger_id: UUID) -> None:
        """The ledger is gone and its loss was admitted: what was kept of it stays, its place becomes free."""
        folder = self.folder(ledger_id)
        with contextlib.suppress(FileNotFoundError):
            os.replace(os.path.join(folder, "path"), os.path.join(folder, "path.retired"))

    def ledger_at(self, path: str) -> UUID | None:
        """The newest ledger that was last seen at this path and has a history; ids begin with their time."""
        for name in sorted(os.listdir(self.root), reverse=True) if os.path.isdir(self.root) else ():
            ledger_id = ledger_id_from(name)
            if ledger_id and self.path(ledger_id) == path and self.head(ledger_id):
                return ledger_id
        return None

    def actor(self) -> str:
        """Who acts on this machine, as entries name it: made once, at random."""
        where = os.path.join(self.root, "actor")
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        if not os.path.exists(where):
            fresh = f"{where}.{uuid4()}"
            _write_new(fresh, f"local-{uuid4()}\n".encode(), durable=True)
            with contextlib.suppress(FileExistsError):
                os.link(fresh, where)  # of two at once one wins, and both then read the winner's
            os.unlink(fresh)
        actor = (_read(where) or b"").decode(errors="replace")
        if not _ACTOR.fullmatch(actor):
            raise WorkspaceRefused(f"{where} does not hold an actor id (local-<uuid>)", hint="restore it or delete it")
        return actor.strip()

    @contextlib.contextmanager
    def locked(self, ledger_id: UUID) -> Iterator[None]:
        fd = os.open(os.path.join(self.folder(ledger_id), "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _keep(self, ledger_id: UUID, head: KeptHead) -> None:
        self._replace(os.path.join(self.folder(ledger_id), "head"), msgspec.json.encode(head), durable=False)

    def _replace(self, path: str, content: bytes, *, durable: bool) -> None:
        fresh = f"{path}.{uuid4()}"
        _write_new(fresh, content, durable=durable)
        os.replace(fresh, path)


def ledger_id_from(text: str) -> UUID | None:
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None


def _write_new(path: str, content: bytes, *, durable: bool) -> None:
    """Durable before it is given its real name: a power cut would leave that name on an empty file."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def _read(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read(4096)
