"""One operation whole: the answer first, then why, then what was not seen, its output, evidence and events."""

from collections.abc import Mapping, Sequence

import msgspec
from aiohttp import web

from dre.documentation import telling
from dre.documentation.findings import findings, outputs
from dre.domain.workspace import ChangedFile, Changes
from dre.errors import BlobAltered, BlobMissing, DREError
from dre.ports.event_store import StoredEvent
from dre.projections.operation_detail import OperationDetail
from dre.server.incoming import uuid_in_path
from dre.server.live import LIVE
from dre.server.operations import operation_detail
from dre.server.pages.output import Window, last_lines, safe_lines
from dre.server.pages.rendering import render
from dre.server.pages.standing import standing
from dre.server.running import KEPT_TEXT
from dre.server.workspace import WORKSPACE, Workspace
from dre.verification import intact

_MOST_FILES = 200
_LARGEST_CHANGES = 16 << 20
_LONGEST_BODY = 4000
_CHANGES = msgspec.json.Decoder(Changes)


class OutputSoFar(msgspec.Struct, frozen=True):
    """
    `is_cut`: there was more before these lines. `told`: how many bytes of each output have been told so far. `is_all`:
    nothing will follow while the command runs.
    """

    lines: Sequence[str]
    is_cut: bool
    told: Mapping[str, int]
    is_all: bool


class Changed(msgspec.Struct, frozen=True):
    """Which files the run changed, and how many `more` of them there are. `trouble`: why that cannot be shown."""

    files: Sequence[ChangedFile] = ()
    more: int = 0
    trouble: str | None = None


class _Named(msgspec.Struct):
    name: str = ""
    verifier: str = ""


class Proof(msgspec.Struct, frozen=True):
    """
    An event with what was hashed: the lines of its entry, its salt, its body as far as a page shows it. `of`: which
    item or verifier it is about.
    """

    position: int
    type: str
    of: str
    recorded_at: int
    stream: str
    entry: Sequence[str]
    leaf: str
    salt: str | None
    body: str | None
    body_len: int
    is_cut: bool


_NAMED = msgspec.json.Decoder(_Named)


async def operation(request: web.Request) -> web.Response:
    stood = await standing(request)
    detail = await _detail(request)
    workspace = request.app[WORKSPACE]
    events = await intact.events_of(workspace.store, detail.id, detail.verdict.id if detail.verdict else None)
    sentences, named = telling.not_seen(detail)
    return render(
        request,
        "operation.html",
        stood=stood,
        detail=detail,
        verdict=detail.verdict,
        reasons=telling.reasons(detail),
        findings=await findings(workspace.blobs, detail, most=20),
        not_seen=[*sentences, *([", ".join(named)] if named else [])],
        place=await intact.place(workspace.store, workspace.blobs, workspace.ledger_id, detail, events),
        window=await _output(workspace, detail),
        arriving=_arriving(request, detail),
        no_output=next((one.detail for one in detail.observations if one.subject == "output"), ""),
        changed=await _changed(workspace, detail),
        proofs=[_proof(event) for event in events],
    )


async def _detail(request: web.Request) -> OperationDetail:
    """Raises NotFound, and LedgerAltered, with the event that is wrong, for what cannot be read because of it."""
    id = uuid_in_path(request)
    try:
        return await operation_detail(request, id)
    except DREError:
        workspace = request.app[WORKSPACE]
        await intact.examine(workspace.store, workspace.tables, workspace.blobs, workspace.ledger_id, id)
        raise


async def _output(workspace: Workspace, detail: OperationDetail) -> Window | None:
    """How the output ended; None where there is none."""
    found = outputs(detail)
    return await last_lines(workspace.blobs, found[0]) if found else None


def _arriving(request: web.Request, detail: OperationDetail) -> OutputSoFar:
    """What a running command has printed so far; the script on the page goes on from there."""
    so_far = request.app[LIVE].hearing.so_far(detail.id)
    lines = safe_lines(so_far.text.encode())
    return OutputSoFar(lines, len(so_far.text) >= KEPT_TEXT, so_far.told, so_far.is_all)


async def _changed(workspace: Workspace, detail: OperationDetail) -> Changed | None:
    for item in detail.evidence:
        if item.kind == telling.CHANGES_KIND and not item.erased:
            try:
                changes = _CHANGES.decode(await workspace.blobs.read_all(item.hash, _LARGEST_CHANGES))
            except BlobMissing:
                return Changed(trouble="its bytes are missing")
            except (BlobAltered, msgspec.MsgspecError, UnicodeDecodeError) as error:
                return Changed(trouble=f"it is not what was recorded: {error}")
            return Changed(changes.files[:_MOST_FILES], len(changes.files[_MOST_FILES:]) + changes.more)
    return None


def _proof(stored: StoredEvent) -> Proof:
    entry, body = stored.entry, stored.body
    text = None if body is None else body.decode("utf-8", "surrogateescape")
    return Proof(
        position=entry.position,
        type=entry.type,
        of=_of(body),
        recorded_at=entry.recorded_at_us // 1000,
        stream=entry.stream,
        entry=entry.encode().decode("ascii", "backslashreplace").splitlines(),
        leaf=stored.leaf.hex(),
        salt=None if stored.salt is None else stored.salt.hex(),
        body=None if text is None else text[:_LONGEST_BODY],
        body_len=0 if body is None else len(body),
        is_cut=text is not None and len(text) > _LONGEST_BODY,
    )


def _of(body: bytes | None) -> str:
    try:
        named = _NAMED.decode(body or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError):  # altered: that is said where it is checked
        return ""
    return named.name or named.verifier
