"""Histories for the tests of projections: what happens to operations, settings and accounts, in any order."""

from collections.abc import Sequence
from uuid import UUID

from hypothesis import strategies as st

from dre.application.execute import new_events
from dre.domain.account import AccountRegistered
from dre.domain.configuration import ConfigurationChanged
from dre.domain.events import DomainEvent
from dre.domain.evidence import EvidenceCollected, EvidenceComplete, EvidenceErased, path_of
from dre.domain.operation import Capture, Git, Host, OperationCompleted, OperationInterrupted, OperationStarted, Outcome
from dre.domain.verification import VerificationComplete, VerificationJudged, VerificationRequested
from dre.ledger.event_id import derived_id
from dre.ports.event_store import Append, EventStore, Receipt

ACTOR = "local-0b1f2a3c-4d5e-4f60-8172-8394a5b6c7d8"
USER = UUID("0b1f2a3c-4d5e-4f60-8172-8394a5b6c7d8")
DIGEST = "ab" * 32
HOST = Host("analytical", "Linux 6.1.0 x86_64", "ada", 1000)
CAPTURE = Capture("untouched", "pipe", "pipe", "exact")


def operation(number: int) -> UUID:
    return UUID(int=number << 80 | 7 << 76 | 2 << 62 | number)


def started(number: int, command: str = "pytest -q") -> OperationStarted:
    git = Git("/src/shop", "3f" * 20, "main", None, 1_700_000_000_000)
    return OperationStarted(
        operation(number),
        command,
        [*command.split()],
        2,
        9,
        "/src/shop",
        1_700_000_000_000 + number,
        HOST,
        git,
        CAPTURE,
        [],
        [],
        None,
        None,
        False,
    )


def completed(number: int, exit_code: int = 0) -> OperationCompleted:
    outcome: Outcome = "failed" if exit_code else "succeeded"
    return OperationCompleted(operation(number), outcome, exit_code, None, 1_700_000_009_000, 9_000_000, None, None)


def interrupted(number: int) -> OperationInterrupted:
    return OperationInterrupted(operation(number), "the recorder was killed", 1_700_000_001_000, None, None, None, None)


def item(number: int, index: int) -> EvidenceCollected:
    name, id = f"output-{index}.txt", derived_id("item", str(number), index)
    path = path_of(operation(number), "programmatic", name)
    return EvidenceCollected(
        id, operation(number), "programmatic", name, path, "output", "text/plain", DIGEST, DIGEST, 9, 9, None, {"n": 1}
    )


def judged(number: int) -> VerificationJudged:
    return VerificationJudged(
        derived_id("judged", str(number), 0),
        operation(number + 1000),
        operation(number),
        "programmatic",
        "programmatic/1",
        "abstained",
        None,
        0.0,
        False,
        ["nothing was seen"],
        [],
        [],
    )


def concluded(number: int, result: str) -> VerificationComplete:
    return VerificationComplete(
        operation(number + 1000),
        operation(number),
        result,  # type: ignore[arg-type]  # one of three words, drawn by the test
        None,
        None,
        0.5,
        False,
        [],
        "uncalibrated/1",
        0,
        [],
        "summary",
        ["why"],
        ["network"],
    )


NUMBERS = st.integers(0, 3)
FACTS = st.one_of(
    st.builds(started, NUMBERS),
    st.builds(completed, NUMBERS, st.integers(0, 2)),
    st.builds(interrupted, NUMBERS),
    st.builds(item, NUMBERS, st.integers(0, 2)),
    NUMBERS.map(lambda n: EvidenceComplete(operation(n), 1, "none", [])),
    NUMBERS.map(lambda n: EvidenceErased(1, derived_id("item", str(n), 0), operation(n), "retention", ACTOR)),
    NUMBERS.map(lambda n: VerificationRequested(operation(n + 1000), operation(n), "default", ["programmatic"])),
    st.builds(judged, NUMBERS),
    st.builds(concluded, NUMBERS, st.sampled_from(("passed", "failed", "inconclusive"))),
    st.builds(
        ConfigurationChanged,
        st.sampled_from(("evidence.retention", "reports.globs")),
        st.none() | st.text("abc", max_size=3),
        st.none(),
        st.just("workspace"),
    ),
    st.just(AccountRegistered(USER, ACTOR, "local", "ada", "analytical", 1_700_000_000_000)),
)
"""Any fact, also where it makes no sense: what is stored happened, and a fold must cope."""


async def record(store: EventStore, events: Sequence[DomainEvent]) -> None:
    """Appends them, each to the stream it belongs to."""
    size = (await store.head()).size
    appends = [
        Append(ACTOR, new_events(_stream(event), [event], [_id(event, size + index)]))
        for index, event in enumerate(events)
    ]
    assert all(isinstance(answer, Receipt) for answer in await store.append(appends))


def _stream(event: DomainEvent) -> str:
    kind = event.type.partition(".")[0]
    return f"default/{'operation' if kind == 'evidence' else kind}-1"


def _id(event: DomainEvent, position: int) -> UUID:
    return derived_id(event.type, str(position), 0)
