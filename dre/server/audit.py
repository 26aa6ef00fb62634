"""`/audit`: who did what to which entity, from where."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from aiohttp import web

from dre.ports.table_store import Query
from dre.projections.audit_trail import AuditRow
from dre.server import answers, paging
from dre.server.incoming import parameters
from dre.server.live import LIVE
from dre.server.paging import Cursor, EventType, Limit, Moment, Page, Position
from dre.server.routes import Route, api
from dre.server.workspace import WORKSPACE

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Which(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`since` and `until` bound `createdAt`."""

    limit: Limit = 100
    cursor: Cursor | None = None
    entity_type: Name | None = None
    entity_id: Name | None = None
    action: EventType | None = None
    user_id: UUID | None = None
    since: Moment | None = None
    until: Moment | None = None


class After(msgspec.Struct, frozen=True):
    position: Position
    id: UUID


class AuditEntry(msgspec.Struct, frozen=True, rename="camel"):
    """One event as an auditor asks for it. `changes`: what was changed, where that is the event itself."""

    id: UUID
    entity_type: str
    action: str
    entity_id: str
    user_id: UUID
    changes: dict[str, Any] | None
    ip_address: str | None
    user_agent: str | None
    created_at: int
    position: int


async def list_audit(request: web.Request) -> web.Response:
    which = parameters(request, Which)
    after = paging.place(which.cursor, After)
    await request.app[LIVE].settled()
    asked = {name: getattr(which, name) for name in ("entity_type", "entity_id", "action", "user_id")}
    rows = await request.app[WORKSPACE].tables.query(
        AuditRow,
        Query(
            where={name: value for name, value in asked.items() if value is not None},
            ranges={"created_at": (which.since, which.until)},
            order_by="position",
            after=(after.position, after.id) if after else None,
            limit=which.limit + 1,
        ),
    )
    return answers.as_json(request, paging.page(rows, which.limit, _entry, lambda row: After(row.position, row.id)))


def _entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(**{name: getattr(row, name) for name in AuditEntry.__struct_fields__})


ROUTES: tuple[Route, ...] = (
    api("GET", "/audit", list_audit, "The audit trail, oldest first", takes=Which, answers={200: Page[AuditEntry]}),
)
