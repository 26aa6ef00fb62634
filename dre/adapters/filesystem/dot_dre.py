"""The folder `.dre/`: found, made, and refused when somebody else could have prepared it."""

import contextlib
import os
import stat
import subprocess
from typing import Literal
from uuid import UUID

import msgspec

from dre.adapters.filesystem.state_home import StateHome, ledger_id_from
from dre.errors import LedgerMissing, WorkspaceRefused

NAME = ".dre"
BLOCKED, SETTLED = "blocked", "settled"
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in its place must not hold us up
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
Standing = Literal["here", "moved", "copied", "unknown"]


class DotDre(msgspec.Struct, frozen=True):
    """
    A `.dre` that passed every check. `path` is real and absolute. `standing`: `here` (where it was last seen), `moved`,
    `copied` (the original still stands at `seen_at`), `unknown` (to this machine).
    """

    path: str
    ledger_id: UUID
    standing: Standing
    seen_at: str | None

    def within(self, *names: str) -> str:
        return os.path.join(self.path, *names)

    @property
    def ledger(self) -> str:
        return self.within("ledger.db")

    @property
    def is_stand_in(self) -> bool:
        """
        It has only the id of a ledger that stands elsewhere, and no history. `dre wrap` made it where the ledger was
        last seen, before it was seen where it had been moved to.
        """
        return self.standing == "copied" and not os.path.exists(self.ledger)

    @property
    def spools(self) -> str:
        return self.within("spool")


def find(directory: str) -> str | None:
    """
    The nearest `.dre` of ours up to the top of the git work tree that `directory` is in, or whatever stands at the top.
    The recorder looks in the same way.
    """
    folder = os.path.realpath(directory)
    while True:
        candidate = os.path.join(folder, NAME)
        if _is_owned(candidate):
            return candidate
        if os.path.lexists(os.path.join(folder, ".git")):
            return candidate if os.path.lexists(candidate) else None
        if folder == os.path.dirname(folder):
            return None
        folder = os.path.dirname(folder)


def place_for(directory: str) -> str:
    """Where a new one belongs: the top of the git work tree, else the directory itself."""
    start = folder = os.path.realpath(directory)
    while not os.path.lexists(os.path.join(folder, ".git")):
        if folder == os.path.dirname(folder):
            return os.path.join(start, NAME)
        folder = os.path.dirname(folder)
    return os.path.join(folder, NAME)


def make(path: str, ledger_id: UUID, state: StateHome) -> None:
    """A new, empty one that this machine knows. Also fills in what a half-made one lacks."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    os.makedirs(os.path.join(path, "spool"), mode=0o700, exist_ok=True)
    state.adopt(ledger_id, os.path.realpath(path))
    for name, content in ((".gitignore", b"*\n"), ("ledger-id", f"{ledger_id}\n".encode())):
        try:
            fd = os.open(os.path.join(path, name), _NEW, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def mark_blocked(path: str, *, blocked: bool) -> None:
    """For the recorder, which does not read histories: whether what it records here has to wait."""
    marker = os.path.join(path, BLOCKED)
    with contextlib.suppress(OSError):  # a mark is a courtesy: who cannot leave it still reads
        if blocked:
            os.close(os.open(marker, _NEW, 0o600))
        else:
            os.unlink(marker)


def write_settled(folder: int, ledger_id: UUID, size: int) -> None:
    """
    How long the history in this folder is, for the recorder. On the disk when this returns; nothing is done where it
    says so already. `folder` was opened with the history: an older copy put in its place meanwhile is not touched.
    The caller holds the ledger's lock.
    """
    content = f"{ledger_id} {size}\n".encode()
    if _content(folder, SETTLED) == content:
        return
    draft = f"{SETTLED}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft, dir_fd=folder)
    with os.fdopen(os.open(draft, _NEW, 0o600, dir_fd=folder), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(draft, SETTLED, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def inspect(path: str, state: StateHome) -> DotDre:
    """
    Every check but the history's own. Raises WorkspaceRefused with the reason and what to do, LedgerMissing when
    nothing is there.
    """
    _check_folder(path)
    _check_links(path)
    _check_untracked(path)
    ledger_id = _ledger_id(path)
    real = os.path.realpath(path)
    seen_at = state.path(ledger_id)
    return DotDre(real, ledger_id, _standing(real, ledger_id, seen_at, state), seen_at)


def _standing(path: str, ledger_id: UUID, seen_at: str | None, state: StateHome) -> Standing:
    if seen_at is None:
        return "unknown"
    if seen_at == path:
        return "here"
    if not state.knows(ledger_id) or read_id(seen_at) != ledger_id:
        return "moved"
    # The same id in both places. The ledger is where the history is; where it is in both, or in none, it has not moved.
    return "moved" if not _has_history(seen_at) and _has_history(path) else "copied"


def _has_history(path: str) -> bool:
    return os.path.exists(os.path.join(path, "ledger.db"))


def _check_folder(path: str) -> None:
    try:
        fd = os.open(path, FOLDER)
    except FileNotFoundError:
        raise LedgerMissing(
            f"there is no {NAME} here: nothing was recorded yet", hint="dre wrap COMMAND, or dre init"
        ) from None
    except NotADirectoryError:
        raise WorkspaceRefused(
            f"{path} is a symbolic link or no folder: it is not followed", hint="replace it by a folder of your own"
        ) from None
    except OSError as error:
        raise WorkspaceRefused(f"{path} cannot be opened: {error.strerror}", hint="check who owns it") from None
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    if found.st_uid != os.geteuid():
        raise WorkspaceRefused(
            f"{path} belongs to user {found.st_uid}, not to you", hint="record in a work tree of your own"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise WorkspaceRefused(
            f"{path} has mode {stat.S_IMODE(found.st_mode):04o}: others could have changed it",
            hint=f"look at what it holds, then chmod 700 {path}",
        )


def _check_links(path: str) -> None:
    """One level into the folders that are opened by name."""
    for folder in (path, *(os.path.join(path, name) for name in ("spool", "cache", "evidence"))):
        if not os.path.isdir(folder):
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    raise WorkspaceRefused(
                        f"{entry.path} is a symbolic link; a {NAME} holds none", hint="find out who made it; remove it"
                    )


def _check_untracked(path: str) -> None:
    """What came with a clone was prepared by its author."""
    top = os.path.dirname(path)
    if not os.path.lexists(os.path.join(top, ".git")) and not _in_work_tree(top):
        return
    asked = ["git", "-c", "core.fsmonitor=false", "-C", top, "ls-files", "-z", "--", NAME]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(asked, capture_output=True, check=False, env=environment, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return  # without git nothing can have come by git
    if answer.returncode == 0 and answer.stdout:
        first = os.fsdecode(answer.stdout.split(b"\0")[0])
        raise WorkspaceRefused(
            f"git tracks {os.path.join(top, first)}: this {NAME} came with the repository and is not used",
            hint=f"git rm -r --cached {NAME}, look at what it holds, then dre trust",
        )


def _in_work_tree(folder: str) -> bool:
    while not os.path.lexists(os.path.join(folder, ".git")):
        if folder == os.path.dirname(folder):
            return False
        folder = os.path.dirname(folder)
    return True


def _ledger_id(path: str) -> UUID:
    found = read_id(path)
    if found is None:
        raise WorkspaceRefused(
            f"{os.path.join(path, 'ledger-id')} is missing or holds no ledger id",
            hint="dre init makes a new one, and says what is there already",
        )
    return found


def _content(folder: int, name: str) -> bytes:
    try:
        fd = os.open(name, _READ, dir_fd=folder)
    except FileNotFoundError:
        return b""
    try:
        return os.read(fd, 128)
    finally:
        os.close(fd)


def _is_owned(path: str) -> bool:
    try:
        return os.lstat(path).st_uid == os.geteuid()
    except OSError:
        return False


def read_id(path: str) -> UUID | None:
    try:
        fd = os.open(os.path.join(path, "ledger-id"), _READ)
    except OSError:
        return None
    try:
        is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        return ledger_id_from(os.read(fd, 64).decode(errors="replace").strip()) if is_file else None
    finally:
        os.close(fd)
