"""The ledger's tables in SQLite: rows that are inserted and stay, and one head row that moves."""

import apsw

from dre.adapters.sqlite.connection import transaction
from dre.errors import LedgerAltered, LedgerNewer
from dre.ledger.entry import GENESIS

FORMAT = 1
APPLICATION_ID = 0x44524531  # "DRE1", for file(1) and for us

_TABLES = """
create table head (
    id integer primary key check (id = 1),
    generation integer not null,
    size integer not null,
    prev blob not null
) strict;
create table event (
    position integer primary key,
    id blob not null unique,
    stream text not null,
    version integer not null,
    type text not null,
    recorded_at_us integer not null,
    actor text not null,
    commitment blob not null,
    body_len integer not null,
    leaf blob not null,
    unique (stream, version)
) strict;
create table body (
    position integer primary key,
    salt blob not null,
    body blob not null
) strict;
"""

_GUARDS = {
    "event_update": "before update on event",
    "event_delete": "before delete on event",
    "body_update": "before update on body",
    "body_insert": "before insert on body when exists (select 1 from body where position = new.position)",
    "head_delete": "before delete on head",
    "head_back": "before update on head when new.size < old.size",
}
"""A seat belt: who owns the file can take it off. Deleting a body is how it is erased."""


def make_schema(connection: apsw.Connection) -> None:
    """The tables, made by whoever is first. Raises LedgerNewer, and LedgerAltered for what is no ledger."""
    found = _format(connection)
    if found == 0:
        with transaction(connection):
            if _format(connection) == 0:  # nobody else was faster
                _make(connection)
        found = _format(connection)
    if found > FORMAT:
        raise LedgerNewer(
            f"this ledger has format {found}; this DRE reads formats up to {FORMAT}",
            hint="use the DRE that wrote it, or a newer one",
        )
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise LedgerAltered("this SQLite file is not a ledger")


def _make(connection: apsw.Connection) -> None:
    if connection.execute("select 1 from sqlite_schema").get is not None:
        raise LedgerAltered("this SQLite file is not a ledger: it holds tables, and no format number")
    connection.execute(_TABLES)
    for name, moment in _GUARDS.items():
        connection.execute(
            f"create trigger {name} {moment} begin select raise(abort, 'the ledger is append-only'); end"
        )
    connection.execute("insert into head values (1, 0, 0, ?)", (GENESIS,))
    connection.execute(f"pragma application_id = {APPLICATION_ID}")
    connection.execute(f"pragma user_version = {FORMAT}")


def _format(connection: apsw.Connection) -> int:
    return _pragma(connection, "user_version")


def _pragma(connection: apsw.Connection, name: str) -> int:
    return int(connection.execute(f"pragma {name}").get)
