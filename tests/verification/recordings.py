"""Recordings of runs as capture leaves them: events, and blobs in a real store. No spool is needed to be judged."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import msgspec

from dre.adapters.filesystem.blob_store import FileBlobStore
from dre.application.execute import Appender, new_events
from dre.domain.events import DomainEvent, Meta, Recorded, Text
from dre.domain.evidence import (
    EvidenceCollected,
    EvidenceComplete,
    EvidenceErased,
    EvidenceType,
    LateOutput,
    Observation,
    path_of,
)
from dre.domain.operation import Capture, Git, Host, OperationCompleted, OperationInterrupted, OperationStarted, Outcome
from dre.domain.verification import VerificationComplete, VerificationJudged, VerificationRequested
from dre.domain.workspace import ChangedFile, Changes
from dre.ledger.event_id import derived_id, operation_event_id
from dre.ports.event_store import Append, Receipt
from dre.verification.case import Case, case_of
from dre.verification.consensus import conclude
from dre.verification.follower import MODALITIES, VERIFIERS
from dre.verification.verifier import ask, judged

ACTOR = "local-0b1f2a3c-4d5e-4f60-8172-8394a5b6c7d8"
STARTED_AT = 1_763_726_580_000
SEEN_AT = 43_387_000
"""12:03:07 UTC."""
TOP = "/src/shop"
BEFORE, AFTER = "1a" * 20, "2b" * 20


def operation(number: int) -> UUID:
    return UUID(int=number << 80 | 7 << 76 | 2 << 62 | number)


def junit(*cases: str, **totals: int) -> bytes:
    attributes = "".join(f' {name}="{value}"' for name, value in totals.items())
    return f'<testsuites><testsuite name="pytest"{attributes}>{"".join(cases)}</testsuite></testsuites>'.encode()


def a_test(name: str = "test_total", inside: str = "", classname: str = "tests.test_cart") -> str:
    return f'<testcase classname="{classname}" name="{name}">{inside}</testcase>'


def passing(count: int) -> list[str]:
    return [a_test(f"test_{number}") for number in range(count)]


def skipped(count: int) -> list[str]:
    return [a_test(f"test_later_{number}", "<skipped/>") for number in range(count)]


def failing(count: int) -> list[str]:
    return [a_test(f"test_bad_{number}", '<failure message="assert 41 == 42"/>') for number in range(count)]


def changed(path: Text, **fields: object) -> ChangedFile:
    return msgspec.convert(
        {"path": path, "status": "modified", "mode": "100644", "syntax": "parses"} | fields, ChangedFile
    )


class Recording:
    """One run: what it leaves is put in the blob store at once, its events are made when asked for."""

    def __init__(self, blobs: FileBlobStore, number: int = 1) -> None:
        self.blobs = blobs
        self.id = operation(number)
        self.writes: list[str] = []
        self.cwd: Text = TOP
        self.timeout_us: int | None = None
        self.end: OperationCompleted | OperationInterrupted = self._completed(0, None, timed_out=False)
        self.items: list[EvidenceCollected] = []
        self.erased: list[EvidenceErased] = []
        self.observations: list[Observation] = []
        self.late_output: LateOutput = "none"

    async def collect(
        self, kind: str, name: str, payload: bytes, type: EvidenceType = "programmatic", **metadata: str | bool
    ) -> EvidenceCollected:
        blob = await self.blobs.put([payload])
        item = EvidenceCollected(
            id=operation_event_id(self.id, len(self.items) + 1),
            operation_id=self.id,
            evidence_type=type,
            name=name,
            path=path_of(self.id, type, name),
            kind=kind,
            media_type="application/octet-stream",
            hash=blob.address,
            digest=blob.digest,
            size_bytes=blob.size_bytes,
            stored_bytes=blob.stored_bytes,
            seal=None,
            metadata={**metadata},
        )
        self.items.append(item)
        return item

    async def report(self, xml: bytes, source: str = "report.xml", *, fresh: bool = True) -> EvidenceCollected:
        return await self.collect("report", f"report-{len(self.items)}.xml", xml, source=source, fresh=fresh)

    async def output(self, text: bytes = b"two lines\nof output\n") -> EvidenceCollected:
        return await self.collect("output", "output.txt", text)

    async def changes(self, *files: ChangedFile, **fields: object) -> EvidenceCollected:
        trees = {"treeBefore": BEFORE, "treeAfter": AFTER if files else BEFORE}
        changes = msgspec.convert({**trees, "files": [msgspec.to_builtins(file) for file in files], **fields}, Changes)
        return await self.collect("changes", "changes.json", msgspec.json.encode(changes), "structural")

    def observe(self, subject: str, state: str, detail: str = "") -> None:
        self.observations.append(msgspec.convert({"subject": subject, "state": state, "detail": detail}, Observation))

    def ends(self, exit_code: int | None = None, signal: str | None = None, *, timed_out: bool = False) -> None:
        self.end = self._completed(exit_code, signal, timed_out=timed_out)

    def is_interrupted(self, exit_code: int | None = None, signal: str | None = None) -> None:
        self.end = OperationInterrupted(self.id, "the recorder was killed", SEEN_AT, exit_code, signal, None, None)

    def erase(self, item: EvidenceCollected, reason: str = "held a secret") -> None:
        self.erased.append(EvidenceErased(self.items.index(item) + 1, item.id, self.id, reason, ACTOR))

    def damage(self, item: EvidenceCollected) -> None:
        """One bit of the stored object."""
        file = self._file(item)
        stored = bytearray(file.read_bytes())
        stored[len(stored) // 2] ^= 1
        file.chmod(0o600)
        file.write_bytes(stored)

    def lose(self, item: EvidenceCollected) -> None:
        self._file(item).unlink()

    def facts(self) -> list[DomainEvent]:
        complete = EvidenceComplete(self.id, len(self.items), self.late_output, self.observations)
        return [self._started(), *self.items, self.end, complete, *self.erased]

    def case(self) -> Case:
        return case_of(self.id, [_in_place(index, fact) for index, fact in enumerate(self.facts())])

    async def record(self, appender: Appender) -> None:
        """Into the ledger, as ingest does."""
        stream, facts = f"default/operation-{self.id}", self.facts()
        ids = [operation_event_id(self.id, index) for index in range(len(facts))]
        answer = await appender.append(Append(ACTOR, new_events(stream, facts, ids), {stream: 0}))
        assert isinstance(answer, Receipt)

    async def verdicts(self) -> list[VerificationJudged]:
        case = self.case()
        return [
            judged(
                request(self.id), derived_id("test", verifier.name, 0), verifier, await ask(verifier, case, self.blobs)
            )
            for verifier in VERIFIERS
        ]

    async def verdict(self) -> VerificationComplete:
        return conclude(request(self.id), self.case(), await self.verdicts())

    def _file(self, item: EvidenceCollected) -> Path:
        return Path(self.blobs.folder) / item.hash[:2] / item.hash[2:]

    def _started(self) -> OperationStarted:
        return OperationStarted(
            id=self.id,
            command="pytest -q",
            argv=["pytest", "-q"],
            argv_words=2,
            argv_bytes=10,
            cwd=self.cwd,
            timestamp=STARTED_AT,
            host=Host("analytical", "Linux 6.1.0 x86_64", "ada", 1000),
            git=Git(TOP, "3f" * 20, "main", BEFORE, STARTED_AT),
            capture=Capture("untouched", "pipe", "pipe", "exact"),
            labels=[],
            writes=self.writes,
            timeout_us=self.timeout_us,
            parent=None,
            ci=False,
        )

    def _completed(self, exit_code: int | None, signal: str | None, *, timed_out: bool) -> OperationCompleted:
        outcome: Outcome = (
            "timed_out" if timed_out else "signaled" if signal else "failed" if exit_code else "succeeded"
        )
        return OperationCompleted(self.id, outcome, exit_code, signal, STARTED_AT + 9000, 9_000_000, None, AFTER)


def request(operation_id: UUID, modalities: Sequence[str] = MODALITIES) -> VerificationRequested:
    fields = {"id": derived_id("test", str(operation_id), 0), "operationId": operation_id, "policy": "default/1"}
    return msgspec.convert({**fields, "modalities": list(modalities)}, VerificationRequested)


def _in_place(index: int, fact: DomainEvent) -> Recorded:
    stream = "default/operation"
    return Recorded(index, operation_event_id(operation(1), index), stream, index, fact.type, 0, ACTOR, fact, Meta(1))
