"""Which operation is meant: an id, a short id, `last`, or `-` for the one before it."""

from collections.abc import Sequence
from uuid import UUID

from dre.documentation import words
from dre.domain.ids import SHORT_LENGTH, short, typed_short
from dre.errors import AmbiguousId, NotFound, UsageError
from dre.ports.table_store import TableStore
from dre.projections.operations import OperationRow, ending_in, newest

LAST, BEFORE_LAST = "last", "-"
LONGEST = 12
_NAMED = 10
_BACK = {LAST: 0, BEFORE_LAST: 1}


async def find_operation(typed: str, tables: TableStore, *, now_ms: int) -> UUID:
    """Raises NotFound, AmbiguousId (naming those it fits), UsageError for what can be no id."""
    if typed in _BACK:
        return await _back(_BACK[typed], tables)
    if (id := _full(typed)) is not None:
        if id not in await tables.rows(OperationRow, [id]):
            raise NotFound(f"there is no operation {typed}", hint="dre log shows the newest")
        return id
    end = typed_short(typed)
    if end is None:
        raise UsageError(
            f'"{typed}" is no id of an operation',
            hint=f"{LAST}, {BEFORE_LAST} (the one before), a full id, or {SHORT_LENGTH} to {LONGEST} characters of its "
            "short form, as dre log shows them",
        )
    found = await ending_in(tables, end, _NAMED + 1)
    if not found:
        raise NotFound(f"there is no operation {typed}", hint="dre log shows the newest")
    if len(found) > 1:
        raise AmbiguousId(f"{typed} fits {_several(found)}", hint=_candidates(found[:_NAMED], now_ms))
    return found[0].id


def short_ids(ids: Sequence[UUID]) -> dict[UUID, str]:
    """As short as they can be and still differ from each other."""
    alike: dict[str, set[UUID]] = {}
    for id in ids:
        alike.setdefault(short(id), set()).add(id)
    return {id: short(id, _length(group)) for group in alike.values() for id in group}


async def _back(steps: int, tables: TableStore) -> UUID:
    rows = await newest(tables, limit=steps + 1)
    if not rows:
        raise NotFound("nothing was recorded here yet", hint="dre wrap COMMAND")
    if len(rows) <= steps:
        raise NotFound("there is only one operation", hint="dre show last")
    return rows[steps].id


def _full(typed: str) -> UUID | None:
    if len(typed) not in (32, 36):
        return None
    try:
        id = UUID(typed)
    except ValueError:
        return None
    return id if typed.lower() in (str(id), id.hex) else None


def _several(found: Sequence[OperationRow]) -> str:
    return f"{len(found)} operations" if len(found) <= _NAMED else f"more than {_NAMED} operations"


def _candidates(found: Sequence[OperationRow], now_ms: int) -> str:
    ids = short_ids([row.id for row in found])
    named = [f"{ids[row.id]} ({row.command[:40]}, {words.clock(row.started_at, now_ms)})" for row in found]
    return "type more of it: " + ", ".join(named)


def _length(alike: set[UUID]) -> int:
    """How many characters tell them apart."""
    lengths = range(SHORT_LENGTH, LONGEST)
    return next((length for length in lengths if len({short(id, length) for id in alike}) == len(alike)), LONGEST)
