"""Operations put straight into history, so that a test says exactly what is in them."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from server.served import Served

from dre.application.execute import new_events
from dre.domain.events import DomainEvent, Text, stream_name
from dre.domain.evidence import EvidenceCollected, EvidenceComplete, EvidenceType, Observation, path_of
from dre.domain.ids import uuid7
from dre.domain.operation import Capture, Git, Host, OperationCompleted, OperationStarted
from dre.domain.workspace import ChangedFile, Changes
from dre.ledger.event_id import derived_id
from dre.ports.event_store import Append, Receipt

SEEN = [Observation("exit status", "seen"), Observation("output", "seen"), Observation("workspace", "seen")]


class Facts:
    """What happens to operations of one workspace."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._sizes: dict[UUID, int] = {}

    async def begin(
        self,
        command: str = "pytest -q",
        *,
        cwd: Text = "/src/shop",
        branch: Text = "main",
        labels: Sequence[tuple[str, str]] = (),
        host: str = "analytical",
        at_ms: int | None = None,
    ) -> UUID:
        at_ms = at_ms or time.time_ns() // 1_000_000
        id = uuid7(at_ms)
        git = Git("/src/shop", "3f" * 20, branch, "4e" * 20, at_ms)
        started = OperationStarted(
            id,
            command,
            [command],
            1,
            len(command),
            cwd,
            at_ms,
            Host(host, "Linux 6.1.0 x86_64", "ada", 1000),
            git,
            Capture("untouched", "pipe", "pipe", "exact"),
            list(labels),
            [],
            None,
            None,
            False,
        )
        await self.append(id, started)
        return id

    async def end(
        self,
        id: UUID,
        *,
        exit_code: int = 0,
        output: bytes = b"",
        report: bytes = b"",
        source: str = "report.xml",
        files: Sequence[ChangedFile] = (),
    ) -> None:
        """Its evidence, its end, and that this was all: then it is judged."""
        changes = Changes("4e" * 20, "5d" * 20 if files else "4e" * 20, tuple(files), dirty=0)
        facts: list[DomainEvent] = []
        if output:
            facts.append(await self._item(id, "programmatic", "output.txt", "output", "text/plain", output))
        if report:
            said: Mapping[str, Any] = {"source": source, "fresh": True}
            facts.append(
                await self._item(id, "programmatic", "report-1.xml", "report", "application/xml", report, said)
            )
        facts.append(
            await self._item(
                id, "structural", "changes.json", "changes", "application/json", msgspec.json.encode(changes)
            )
        )
        outcome = OperationCompleted(
            id, "failed" if exit_code else "succeeded", exit_code, None, time.time_ns() // 1_000_000, 9_000, None, None
        )
        seen = [*SEEN, *([Observation("report", "seen", f"{source}, written in this run")] if report else [])]
        await self.append(id, *facts, outcome, EvidenceComplete(id, len(facts), "none", seen))

    async def run(self, command: str = "pytest -q", *, at_ms: int | None = None, **ended: Any) -> UUID:
        id = await self.begin(command, at_ms=at_ms)
        await self.end(id, **ended)
        await self.judged(id)
        return id

    async def judged(self, id: UUID) -> None:
        """Waits for the verdict."""
        async with asyncio.timeout(30):
            while (await self._served.get(f"/operations/{id}"))["verdict"] is None:  # noqa: ASYNC110 - as anybody asks
                await asyncio.sleep(0.01)

    async def append(self, id: UUID, *events: DomainEvent) -> None:
        engine = self._served.engine
        size = self._sizes.get(id, 0)
        ids = [
            event.id if isinstance(event, EvidenceCollected) else derived_id("facts", f"{id}", size + at)
            for at, event in enumerate(events)
        ]
        appended = Append(engine.actor, new_events(stream_name("default", "operation", id), list(events), ids))
        assert isinstance(await engine.appender.append(appended), Receipt)
        self._sizes[id] = size + len(events)

    async def _item(
        self,
        id: UUID,
        type: EvidenceType,
        name: str,
        kind: str,
        media_type: str,
        content: bytes,
        metadata: Mapping[str, Any] | None = None,
    ) -> EvidenceCollected:
        blob = await self._served.engine.blobs.put([content])
        return EvidenceCollected(
            id=derived_id("item", f"{id} {name}", 0),
            operation_id=id,
            evidence_type=type,
            name=name,
            path=path_of(id, type, name),
            kind=kind,
            media_type=media_type,
            hash=blob.address,
            digest=blob.digest,
            size_bytes=blob.size_bytes,
            stored_bytes=blob.stored_bytes,
            seal=None,
            metadata=dict(metadata or {}),
        )
