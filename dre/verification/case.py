"""The case: all that the ledger holds of one operation, as its judges see it."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from dre.domain.events import ErasedEvent, Recorded
from dre.domain.evidence import EvidenceCollected, EvidenceComplete, EvidenceErased, LateOutput, Observation
from dre.domain.operation import OperationCompleted, OperationInterrupted, OperationStarted


class Erasure(msgspec.Struct, frozen=True):
    """An item whose payload was destroyed on purpose. `item`: its event's id; `name` as far as it is still known."""

    item: UUID
    name: str
    reason: str = ""
    by: str = ""


class Case(msgspec.Struct, frozen=True):
    """
    `started` and `ended` are None where their bodies were erased, or nothing is recorded.

    `items`: what can still be looked at; `erased`: what no longer can.
    """

    operation_id: UUID
    started: OperationStarted | None = None
    ended: OperationCompleted | OperationInterrupted | None = None
    items: tuple[EvidenceCollected, ...] = ()
    erased: tuple[Erasure, ...] = ()
    observations: tuple[Observation, ...] = ()
    late_output: LateOutput = "none"

    @property
    def has_end(self) -> bool:
        """Whether the recorder saw the run through."""
        return isinstance(self.ended, OperationCompleted)

    def of_kind(self, kind: str) -> list[EvidenceCollected]:
        return [item for item in self.items if item.kind == kind]

    def observed(self, subject: str, *states: str) -> list[Observation]:
        return [seen for seen in self.observations if seen.subject == subject and seen.state in states]


def case_of(operation_id: UUID, events: Sequence[Recorded]) -> Case:
    """From the events of the operation's own stream."""
    facts = [recorded.event for recorded in events]
    complete = next((fact for fact in facts if isinstance(fact, EvidenceComplete)), None)
    erased = _erasures(events)
    gone = {erasure.item for erasure in erased}
    return Case(
        operation_id,
        next((fact for fact in facts if isinstance(fact, OperationStarted)), None),
        next((fact for fact in facts if isinstance(fact, OperationCompleted | OperationInterrupted)), None),
        tuple(fact for fact in facts if isinstance(fact, EvidenceCollected) and fact.id not in gone),
        tuple(erased),
        tuple(complete.observations) if complete else (),
        complete.late_output if complete else "none",
    )


def _erasures(events: Sequence[Recorded]) -> list[Erasure]:
    """Those that were announced, and items whose body is gone without a word in this stream."""
    names = {fact.id: fact.name for fact in (event.event for event in events) if isinstance(fact, EvidenceCollected)}
    found: dict[UUID, Erasure] = {
        recorded.id: Erasure(recorded.id, f"the item of event {recorded.position}")
        for recorded in events
        if recorded.type == EvidenceCollected.type and isinstance(recorded.event, ErasedEvent)
    }
    for recorded in events:
        if isinstance(fact := recorded.event, EvidenceErased):
            name = names.get(fact.event, f"the item of event {fact.position}")
            found[fact.event] = Erasure(fact.event, name, fact.reason, fact.by)
    return list(found.values())
