"""
How verdicts come about by themselves: evidence that is complete asks for a verification, a request is judged.

Both reactions append under ids that follow from their cause, so two processes that follow the same history never
judge twice, and one that was killed comes to the same events again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from uuid import UUID

from dre.application.execute import Appender, execute, read_stream
from dre.application.follow import Follower, Handled
from dre.domain.events import DomainEvent, Door, Recorded, stream_id, stream_name
from dre.domain.evidence import EvidenceComplete
from dre.domain.ledger import DEFAULT_PROJECT
from dre.domain.verification import Modality, VerificationComplete, VerificationJudged, VerificationRequested
from dre.errors import CommandRefused, DREError
from dre.ledger.event_id import derived_id
from dre.ports.blob_store import BlobStore
from dre.ports.event_store import EventStore
from dre.ports.table_store import Row
from dre.verification import consensus
from dre.verification.case import Case, case_of
from dre.verification.programmatic import PROGRAMMATIC
from dre.verification.structural import STRUCTURAL
from dre.verification.verifier import Verifier, ask, judged

VERIFIERS = (PROGRAMMATIC, STRUCTURAL)
POLICY = "default/1"
MODALITIES: tuple[Modality, ...] = ("programmatic", "structural")


class VerificationTrigger:
    """`evidence.complete` leads to one `verification.requested`, whose event id is the verification's."""

    name = "verification-trigger"
    version = 1
    row: type[Row] | None = None

    def __init__(self, store: EventStore, appender: Appender, actor: str) -> None:
        self._store, self._appender, self._actor = store, appender, actor

    async def handle(self, events: Sequence[Recorded]) -> Handled:
        causes = {event.id: derived_id(self.name, str(event.id), 0) for event in events if _is_complete(event)}
        done = await self._store.find(list(causes.values())) if causes else {}
        return await _one_by_one(events, {id for id, wanted in causes.items() if wanted not in done}, self._ask)

    async def _ask(self, cause: Recorded) -> None:
        if isinstance(complete := cause.event, EvidenceComplete):
            project, _, _ = stream_id(cause.stream)
            id = derived_id(self.name, str(cause.id), 0)
            await request(
                self._store,
                self._appender,
                actor=self._actor,
                id=id,
                operation_id=complete.operation_id,
                project=project,
                cause=cause.id,
            )


class Judging:
    """`verification.requested` leads to one `verification.judged` a verifier, and `verification.complete`."""

    name = "verification"
    version = 1
    row: type[Row] | None = None

    def __init__(
        self,
        store: EventStore,
        appender: Appender,
        blobs: BlobStore,
        actor: str,
        verifiers: Sequence[Verifier] = VERIFIERS,
    ) -> None:
        self._store, self._appender, self._blobs, self._actor = store, appender, blobs, actor
        self._verifiers = verifiers

    async def handle(self, events: Sequence[Recorded]) -> Handled:
        causes = {event.id: _complete_id(event.id) for event in events if _is_request(event)}
        done = await self._store.find(list(causes.values())) if causes else {}
        return await _one_by_one(events, {id for id, wanted in causes.items() if wanted not in done}, self.judge)

    async def judge(self, requested: Recorded) -> None:
        """All verdicts and the consensus in one append; what an earlier try has recorded stands as it is."""
        asked = requested.event
        if not isinstance(asked, VerificationRequested):
            return
        project, _, _ = stream_id(requested.stream)
        operation = stream_name(project, "operation", asked.operation_id)
        case = case_of(asked.operation_id, await read_stream(self._store, operation))
        verdicts = await self._verdicts(asked, requested.id, case)

        def decide(known: list[Recorded]) -> list[tuple[UUID, DomainEvent]]:
            if any(isinstance(event.event, VerificationComplete) for event in known):
                return []
            standing = {
                event.event.verifier: event.event for event in known if isinstance(event.event, VerificationJudged)
            }
            new = [verdict for verdict in verdicts if verdict.verifier not in standing]
            complete = consensus.conclude(asked, case, [*standing.values(), *new])
            return [*((verdict.id, verdict) for verdict in new), (_complete_id(requested.id), complete)]

        try:
            await execute(
                self._store,
                self._appender,
                actor=self._actor,
                stream=requested.stream,
                decide=decide,
                causation=requested.id,
            )
        except CommandRefused:
            # Somebody else judged in this moment and saw something else (a blob that came back): theirs stands.
            if decide(await read_stream(self._store, requested.stream)):
                raise

    async def _verdicts(self, asked: VerificationRequested, cause: UUID, case: Case) -> list[VerificationJudged]:
        verifiers = [verifier for verifier in self._verifiers if verifier.modality in asked.modalities]
        opinions = await asyncio.gather(*(ask(verifier, case, self._blobs) for verifier in verifiers))
        return [
            judged(asked, derived_id(self.name, f"{cause} {verifier.name}", 0), verifier, opinion)
            for verifier, opinion in zip(verifiers, opinions, strict=True)
        ]


def followers(store: EventStore, appender: Appender, blobs: BlobStore, actor: str) -> list[Follower]:
    """Both reactions, in the order in which one leads to the other."""
    return [VerificationTrigger(store, appender, actor), Judging(store, appender, blobs, actor)]


def is_outdated(judged_by: Iterable[str], verifiers: Sequence[Verifier] = VERIFIERS) -> bool:
    """Whether a verdict came from other verifiers, or other versions of them, than would judge today."""
    return set(judged_by) != {verifier.name for verifier in verifiers if verifier.modality in MODALITIES}


async def judge_again(
    store: EventStore,
    appender: Appender,
    blobs: BlobStore,
    *,
    actor: str,
    operation_id: UUID,
    verifiers: Sequence[Verifier] = VERIFIERS,
    project: str = DEFAULT_PROJECT,
) -> UUID:
    """
    A new verification of the same operation by today's verifiers; its id, once it is complete.

    The same verifiers judge an operation anew only once: asked again, they point to what they said.
    """
    id = derived_id("verification-again", " ".join([str(operation_id), *(verifier.name for verifier in verifiers)]), 0)
    await request(store, appender, actor=actor, id=id, operation_id=operation_id, project=project)
    [requested, *_] = await read_stream(store, stream_name(project, "verification", id))
    await Judging(store, appender, blobs, actor, verifiers).judge(requested)
    return id


async def request(
    store: EventStore,
    appender: Appender,
    *,
    actor: str,
    id: UUID,
    operation_id: UUID,
    project: str = DEFAULT_PROJECT,
    cause: UUID | None = None,
    door: Door | None = None,
) -> None:
    """`verification.requested`, unless it is there: its event id is the verification's."""
    requested = VerificationRequested(id, operation_id, POLICY, list(MODALITIES))
    await execute(
        store,
        appender,
        actor=actor,
        stream=stream_name(project, "verification", id),
        decide=lambda known: [] if known else [(id, requested)],
        causation=cause,
        door=door,
    )


def _complete_id(request: UUID) -> UUID:
    return derived_id(Judging.name, str(request), 0)


def _is_complete(recorded: Recorded) -> bool:
    return isinstance(recorded.event, EvidenceComplete)


def _is_request(recorded: Recorded) -> bool:
    return isinstance(recorded.event, VerificationRequested)


async def _one_by_one(
    events: Sequence[Recorded], open_causes: set[UUID], react: Callable[[Recorded], Awaitable[None]]
) -> Handled:
    """What cannot be appended now (a full disk, a busy store) stops the follower there; the next one tries again."""
    for count, event in enumerate(events):
        if event.id not in open_causes:
            continue
        try:
            await react(event)
        except DREError as error:
            return Handled(count, error=f"{error.code}: {error.message}")
    return Handled(len(events))
