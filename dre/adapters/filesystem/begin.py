"""Beginning and accepting: how a `.dre` comes to be this machine's, and what is lost or set aside when it does."""

import os
import time
from typing import Literal
from uuid import UUID

import msgspec

from dre.adapters.filesystem import dot_dre
from dre.adapters.filesystem.dot_dre import DotDre
from dre.adapters.filesystem.state_home import KeptHead, StateHome
from dre.domain.ids import uuid7
from dre.errors import LedgerMissing, WorkspaceRefused

CI_MARKER = "ci-mode"
_LEDGER_FILES = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "evidence", "cache")


class Begun(msgspec.Struct, frozen=True):
    """`made` is False when it was there already. `lost`: the history that this beginning gives up."""

    path: str
    ledger_id: UUID
    made: bool
    lost_ledger: UUID | None = None
    lost: KeptHead | None = None


def begin(directory: str, state: StateHome, *, ci_mode: bool) -> Begun:
    """
    A `.dre` at the top of the work tree. Where the ledger that stood there is gone, a new one begins in its place and
    what was recorded meanwhile waits for it; only here is a loss admitted.

    Raises WorkspaceRefused for a folder that must not be used.
    """
    path = dot_dre.find(directory) or dot_dre.place_for(directory)
    lost_ledger = _gone(path, state)
    try:
        found = dot_dre.inspect(path, state)
    except (LedgerMissing, WorkspaceRefused):
        if os.path.exists(os.path.join(path, "ledger-id")) or os.path.exists(os.path.join(path, "ledger.db")):
            raise
        _check_nothing_waits(path)
        found = None
    if found is not None and found.standing == "unknown":
        raise WorkspaceRefused(f"{path} was not made on this machine", hint="dre trust shows what accepting it means")
    if found is not None and found.is_stand_in:
        begun = Begun(path, renew_stand_in(found, state).ledger_id, made=True)
    elif found is not None and lost_ledger is None:
        begun = Begun(path, found.ledger_id, made=False)
    elif found is not None and lost_ledger != found.ledger_id:
        begun = _admit_loss(Begun(path, found.ledger_id, made=True), lost_ledger, state)
    else:
        begun = _begin_anew(path, lost_ledger, state)
    if ci_mode:
        _touch(os.path.join(path, CI_MARKER))
    return begun


def renew_stand_in(found: DotDre, state: StateHome) -> DotDre:
    """It becomes a ledger of its own, and what waits in its spool belongs to that. Of two who want to, one does it."""
    with state.locked(found.ledger_id):
        if dot_dre.read_id(found.path) == found.ledger_id:
            _renew(found.path, state)
    return dot_dre.inspect(found.path, state)


class Acceptance(msgspec.Struct, frozen=True):
    """
    What `accept` would do. `adopt`: a history from elsewhere becomes known here as it is. `own`: a copy is set aside in
    `set_aside`, and a ledger of its own begins. `none`: nothing to do.
    """

    kind: Literal["none", "adopt", "own"]
    path: str
    ledger_id: UUID
    seen_at: str | None
    set_aside: str | None


def consider(directory: str, state: StateHome) -> Acceptance:
    """Looks, changes nothing. Raises WorkspaceRefused for what cannot be accepted at all, LedgerMissing."""
    path = dot_dre.find(directory) or dot_dre.place_for(directory)
    found = dot_dre.inspect(path, state)
    if found.standing == "unknown":
        return Acceptance("adopt", found.path, found.ledger_id, None, None)
    if found.standing == "copied":
        aside = found.within(f"copied-from-{found.ledger_id}")
        return Acceptance("own", found.path, found.ledger_id, found.seen_at, aside)
    return Acceptance("none", found.path, found.ledger_id, found.seen_at, None)


def accept(acceptance: Acceptance, state: StateHome) -> UUID:
    """Does it; returns the id of the ledger that is recorded to from now on."""
    if acceptance.kind == "adopt":
        state.adopt(acceptance.ledger_id, acceptance.path)
    if acceptance.kind != "own" or acceptance.set_aside is None:
        return acceptance.ledger_id
    os.makedirs(acceptance.set_aside, mode=0o700, exist_ok=True)
    for name in _LEDGER_FILES:
        if os.path.lexists(os.path.join(acceptance.path, name)):
            os.rename(os.path.join(acceptance.path, name), os.path.join(acceptance.set_aside, name))
    return _renew(acceptance.path, state)


def _gone(path: str, state: StateHome) -> UUID | None:
    """
    The ledger that this machine has seen here and that is no longer: the whole folder, or its database. Also one whose
    loss somebody was about to admit, who was killed when the new one had only an id yet.
    """
    if os.path.exists(os.path.join(path, "ledger.db")):
        return None
    ledger_id = dot_dre.read_id(path)
    return ledger_id if ledger_id and state.head(ledger_id) else state.ledger_at(path)


def _begin_anew(path: str, lost_ledger: UUID | None, state: StateHome) -> Begun:
    """The new one first: killed in between, both are known here, and the next `dre init` still finds what is lost."""
    if os.path.lexists(path):
        ledger_id = _renew(path, state)
    else:
        ledger_id = _new_id()
        dot_dre.make(path, ledger_id, state)
    return _admit_loss(Begun(path, ledger_id, made=True), lost_ledger, state)


def _admit_loss(begun: Begun, lost_ledger: UUID | None, state: StateHome) -> Begun:
    if lost_ledger is None:
        return begun
    lost = state.head(lost_ledger)
    state.retire(lost_ledger)
    return msgspec.structs.replace(begun, lost_ledger=lost_ledger, lost=lost)


def _check_nothing_waits(path: str) -> None:
    """Who made the recordings in a folder without an id is not known: they would become this user's history."""
    spools = os.path.join(path, "spool")
    if os.path.isdir(spools) and os.listdir(spools):
        raise WorkspaceRefused(
            f"{spools} holds recordings, but there is no ledger-id that says where they are from",
            hint="find out who made them; delete them, then dre init",
        )


def _renew(path: str, state: StateHome) -> UUID:
    """Another ledger id in the same folder, in one step; what waits in the spool belongs to it from now on."""
    ledger_id = _new_id()
    id_file = os.path.join(path, "ledger-id")
    draft = f"{id_file}.{ledger_id}"
    state.adopt(ledger_id, os.path.realpath(path))
    with os.fdopen(
        os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "wb"
    ) as file:
        file.write(f"{ledger_id}\n".encode())
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, id_file)
    dot_dre.make(path, ledger_id, state)
    return ledger_id


def _new_id() -> UUID:
    return uuid7(time.time_ns() // 1_000_000)


def _touch(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
