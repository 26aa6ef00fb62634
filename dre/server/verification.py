"""`/verification`: ask for a verdict, see whether it is there, read it whole."""

import contextlib
import time
from typing import Literal
from uuid import UUID

import msgspec
from aiohttp import web

from dre.application.execute import read_stream
from dre.domain.events import Recorded, stream_name
from dre.domain.ids import uuid7
from dre.domain.ledger import DEFAULT_PROJECT
from dre.domain.verification import VerificationComplete, VerificationRequested
from dre.errors import CommandRefused, Conflict, NotFound
from dre.ledger.event_id import derived_id
from dre.projections.operation_detail import Verdict, read_verdict
from dre.server import answers
from dre.server.incoming import decode, door, idempotency_key, read_body, uuid_in_path
from dre.server.operations import operation_detail
from dre.server.routes import PREFIX, Route, api
from dre.server.workspace import WORKSPACE
from dre.verification import follower


class Ask(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Which operation is to be judged anew."""

    operation_id: UUID


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """`state`: `requested` until the consensus is recorded. `result` and `position` are null until then."""

    id: UUID
    operation_id: UUID
    state: Literal["requested", "complete"]
    result: str | None
    position: int | None


class Report(msgspec.Struct, frozen=True, rename="camel"):
    """The consensus, and what each verifier said."""

    operation_id: UUID
    verdict: Verdict


async def ask(request: web.Request) -> web.Response:
    wanted = decode(await read_body(request), Ask)
    workspace = request.app[WORKSPACE]
    if workspace.blocked is not None:
        raise workspace.blocked
    detail = await operation_detail(request, wanted.operation_id)
    key = idempotency_key(request)
    id = derived_id(workspace.actor, f"verification {key}", 0) if key else uuid7(time.time_ns() // 1_000_000)
    with contextlib.suppress(CommandRefused):  # somebody was faster with this key: what for is seen below
        await follower.request(
            workspace.store,
            workspace.appender,
            actor=workspace.actor,
            id=id,
            operation_id=detail.id,
            door=door(request),
        )
    status_now = await _status(request, id)
    if status_now.operation_id != detail.id:
        raise Conflict("this idempotency key stands for a verification of another operation")
    answer = answers.as_json(request, status_now, status=202)
    answer.headers["Location"] = f"{PREFIX}/verification/status/{id}"
    return answer


async def status(request: web.Request) -> web.Response:
    return answers.as_json(request, await _status(request, uuid_in_path(request)))


async def report(request: web.Request) -> web.Response:
    found = await _status(request, uuid_in_path(request))
    verdict = await read_verdict(request.app[WORKSPACE].store, found.operation_id, found.id)
    if verdict is None:
        raise NotFound(f"verification {found.id} is not complete yet", hint=f"{PREFIX}/verification/status/{found.id}")
    return answers.as_json(request, Report(found.operation_id, verdict))


async def _status(request: web.Request, id: UUID) -> Status:
    events = await read_stream(request.app[WORKSPACE].store, stream_name(DEFAULT_PROJECT, "verification", id))
    operation_id = _operation(events)
    if operation_id is None:
        raise NotFound(f"there is no verification {id}")
    for recorded in events:
        if isinstance(complete := recorded.event, VerificationComplete):
            return Status(id, operation_id, "complete", complete.result, recorded.position)
    return Status(id, operation_id, "requested", None, None)


def _operation(events: list[Recorded]) -> UUID | None:
    return next((one.event.operation_id for one in events if isinstance(one.event, VerificationRequested)), None)


ROUTES: tuple[Route, ...] = (
    api(
        "POST",
        "/verification",
        ask,
        "Ask for a new verdict on an operation",
        body=Ask,
        answers={202: Status},
        headers=("Idempotency-Key",),
        refuses=(404, 409, 507),
    ),
    api("GET", "/verification/status/{id}", status, "Whether a verdict is there", answers={200: Status}),
    api("GET", "/verification/report/{id}", report, "A verdict, whole", answers={200: Report}),
)
