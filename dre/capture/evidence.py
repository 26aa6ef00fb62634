"""Evidence: what is collected from one recording, item by item, redacted on its way into the blob store."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from uuid import UUID

import msgspec

from dre.capture import observed
from dre.capture.environment import observe, told_tools
from dre.capture.facts import Described, ended_wall_ns
from dre.capture.output import Output
from dre.capture.recording import Late, Recording
from dre.capture.redaction import Redactor, Tally, told
from dre.capture.reports import Report, Run, find_reports, sentences, unchanged
from dre.capture.spool import LATE_OUTPUT, OUTPUT, Spool, read_pieces
from dre.capture.workspace import Later, Seen, look
from dre.domain.evidence import EvidenceCollected, EvidenceType, Observation, path_of
from dre.ports.blob_store import Blob, BlobStore

Metadata = dict[str, str | int | bool | None]
_JSON = msgspec.json.Encoder(order="sorted")


class Item(msgspec.Struct, frozen=True):
    """
    On its way to be evidence. `chunks` is read once, and `tally` knows then what was redacted; `still_good` is asked
    at the end of that, and nothing is stored of an item for which it is False.
    """

    evidence_type: EvidenceType
    name: str
    kind: str
    media_type: str
    chunks: Iterable[bytes]
    tally: Tally
    metadata: Metadata = {}
    still_good: Callable[[], bool] = lambda: True


class Kept(msgspec.Struct, frozen=True):
    """An item whose bytes are durable."""

    item: Item
    blob: Blob

    def collected(self, id: UUID, operation_id: UUID) -> EvidenceCollected:
        item, blob = self.item, self.blob
        hits: Metadata = {"redacted": item.tally.total(), "redactedRules": told(item.tally)} if item.tally else {}
        return EvidenceCollected(
            id=id,
            operation_id=operation_id,
            evidence_type=item.evidence_type,
            name=item.name,
            path=path_of(operation_id, item.evidence_type, item.name),
            kind=item.kind,
            media_type=item.media_type,
            hash=blob.address,
            digest=blob.digest,
            size_bytes=blob.size_bytes,
            stored_bytes=blob.stored_bytes,
            seal=None,
            metadata=item.metadata | hits,
        )


class Gathered(msgspec.Struct, frozen=True):
    items: tuple[Item, ...]
    observations: tuple[Observation, ...]
    tree_after: str | None
    close: Callable[[], None]


def gather(
    spool: Spool,
    recording: Recording,
    described: Described,
    late: Late,
    redactor: Redactor,
    later: Later | None,
    globs: Sequence[str],
    *,
    alone: bool,
) -> Gathered:
    """
    Looks at everything; what is large is read when the item is. `alone`: no other recording ran in this work tree at
    the same time. `close` afterwards.
    """
    seen = look(spool, recording, redactor, later)
    reports, said = _reports(recording, globs, alone=alone)
    environment = observe(recording, redactor, seen.git_version)
    tools: Metadata = {"tools": told_tools(environment.tools)} if environment.tools else {}
    items = [
        *_output(spool, recording, redactor),
        *late_output(spool, late, redactor),
        *(_report(number, report, redactor) for number, report in enumerate(reports, 1)),
        *_changes(seen),
        _document("environment", "environment.json", "environment", environment, tools),
    ]
    if described.whole_argv is not None:
        items.append(_document("environment", "argv.json", "argv", described.whole_argv))
    observations = [*observed.of_run(recording), *seen.observations, *described.observations, *said]

    def close() -> None:
        for report in reports:
            os.close(report.fd)

    return Gathered(tuple(items), tuple(_redacted(redactor, one) for one in observations), seen.tree_after, close)


async def keep(blobs: BlobStore, items: Sequence[Item]) -> tuple[list[Kept], list[Observation]]:
    """Each durable before anything speaks of it."""
    kept: list[Kept] = []
    reports: list[str] = []
    changed: list[str] = []
    for item in items:
        source = item.metadata.get("source")
        try:
            blob = await blobs.put(_while_good(item))
        except _Stale:
            changed.append(str(source))
            continue
        if source is not None:
            reports.append(str(source))
        kept.append(Kept(item, blob))
    seen = sentences(reports, ", written in this run")
    lost = sentences(changed, " changed while it was read: not used")
    said = [Observation("report", "seen", told) for told in seen]
    return kept, said + [Observation("report", "partial", told) for told in lost]


class _Stale(Exception):
    """It is not what it was when it was found."""


def _while_good(item: Item) -> Iterator[bytes]:
    """Ends in an error where it is not: a store that has no end of it names nothing."""
    yield from item.chunks
    if not item.still_good():
        raise _Stale


def late_output(spool: Spool, late: Late, redactor: Redactor) -> Iterator[Item]:
    """Nothing while somebody still writes it."""
    if late.state in ("complete", "lost") and late.pieces.total:
        output = Output(spool, LATE_OUTPUT, late.pieces, redactor)
        metadata: Metadata = {"complete": late.state == "complete", "bytesNotKept": late.lost}
        yield Item(
            "programmatic", "late-output.txt", "late_output", "text/plain", output.chunks(), output.tally, metadata
        )


def _output(spool: Spool, recording: Recording, redactor: Redactor) -> Iterator[Item]:
    if not recording.kept:
        return
    output = Output(spool, OUTPUT, recording.pieces, redactor)
    metadata: Metadata = {"bytesCaptured": recording.kept, "bytesNotKept": recording.lost}
    yield Item("programmatic", "output.txt", "output", "text/plain", output.chunks(), output.tally, metadata)
    yield Item("programmatic", "timing.json", "timing", "application/json", output.timing(), Tally())


def _reports(recording: Recording, globs: Sequence[str], *, alone: bool) -> tuple[list[Report], list[Observation]]:
    start, before = recording.start, recording.before
    run = Run(start.wall_ns + recording.ready_ns, ended_wall_ns(recording))
    return find_reports(start.argv, globs, start.cwd, before.top if before else None, run, alone=alone)


def _report(number: int, report: Report, redactor: Redactor) -> Item:
    tally = Tally()
    return Item(
        "programmatic",
        f"report-{number}.xml",
        "report",
        "application/xml",
        redactor.stream(read_pieces(report.fd, report.size_bytes), tally),
        tally,
        {"source": redactor.words(report.source), "fresh": True},
        lambda: unchanged(report),
    )


def _changes(seen: Seen) -> Iterator[Item]:
    if seen.changes is not None:
        counts: Metadata = {"files": len(seen.changes.files) + seen.changes.more, "dirtyBefore": seen.changes.dirty}
        yield _document("structural", "changes.json", "changes", seen.changes, counts)
    if seen.patch:
        yield Item("structural", "changes.diff", "diff", "text/x-diff", (seen.patch,), seen.tally)


def _document(
    evidence_type: EvidenceType, name: str, kind: str, document: object, metadata: Metadata | None = None
) -> Item:
    return Item(evidence_type, name, kind, "application/json", (_JSON.encode(document),), Tally(), metadata or {})


def _redacted(redactor: Redactor, one: Observation) -> Observation:
    return Observation(one.subject, one.state, redactor.words(one.detail.encode("utf-8", "replace")))
