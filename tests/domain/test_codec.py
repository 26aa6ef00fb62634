"""Facts survive the way into bytes and back, today's and yesterday's."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
import rfc8785
from eventsourcing.domain import DomainEventProtocol
from hypothesis import given
from hypothesis import strategies as st

from dre.domain import codec
from dre.domain.configuration import ConfigurationChanged
from dre.domain.events import Bytes, DomainEvent, ErasedEvent, Meta, Recorded, UnknownEvent, raw, text
from dre.domain.evidence import EvidenceComplete, Observation
from dre.domain.verification import VerificationComplete, VerificationJudged
from dre.errors import BodyRefused
from dre.ledger.entry import Entry

GOLDEN = Path(__file__).parent / "golden"
A = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def golden_files() -> list[Path]:
    return sorted(GOLDEN.glob("*.json"))


@pytest.mark.parametrize("path", golden_files(), ids=lambda path: path.stem)
def test_stored_bodies_of_every_schema_number_stay_readable(path: Path) -> None:
    tag, _, schema = path.stem.rpartition(".")
    body = path.read_bytes().rstrip(b"\n")

    event, meta = codec.decode(tag, body)

    assert meta.schema == int(schema)
    assert isinstance(event, codec.EVENT_TYPES[tag])
    if meta.schema == event.schema:
        assert codec.encode(event, meta.causation) == body


def test_every_event_has_a_golden_file_for_each_schema_number() -> None:
    wanted = {f"{tag}.{schema}" for tag, event in codec.EVENT_TYPES.items() for schema in range(1, event.schema + 1)}
    assert {path.stem for path in golden_files()} == wanted


def test_an_older_schema_number_is_read_in_todays_form() -> None:
    """Schema 0 of configuration.changed called the key `name` and knew no scope."""
    body = b'{"key":"x","meta":{"schema":0},"name":"evidence.retention","previous":null,"value":"1d"}'

    def upcast(fields: dict[str, Any]) -> dict[str, Any]:
        return fields | {"key": fields["name"], "scope": "workspace"}

    event, meta = codec.decode("configuration.changed", body, {("configuration.changed", 0): upcast})

    assert event == ConfigurationChanged("evidence.retention", "1d", None, "workspace")
    assert meta.schema == 0


def test_an_older_schema_number_that_nothing_can_read_is_named() -> None:
    with pytest.raises(BodyRefused, match=r"configuration\.changed has schema 0"):
        codec.decode("configuration.changed", b'{"meta":{"schema":0}}')


def test_a_newer_schema_number_is_refused_rather_than_guessed() -> None:
    with pytest.raises(BodyRefused, match="knows up to 1"):
        codec.decode("configuration.changed", b'{"meta":{"schema":9}}')


def test_a_kind_of_fact_that_only_a_newer_dre_knows_is_kept() -> None:
    event, _ = codec.decode("weather.changed", b'{"meta":{"schema":3},"rain":true}')
    assert event == UnknownEvent()


def test_unknown_fields_of_stored_events_are_ignored() -> None:
    body = json.loads((GOLDEN / "evidence.complete.1.json").read_bytes()) | {"later": [1, 2]}
    event, _ = codec.decode("evidence.complete", json.dumps(body).encode())
    assert isinstance(event, EvidenceComplete)


def test_an_erased_body_is_an_erased_event_in_its_place() -> None:
    entry = Entry(7, bytes(32), A, "default/operation-a", 2, "evidence.collected", 1_700_000_000_123_456, "x", b"", 9)

    found = codec.recorded(entry, None)

    assert (found.position, found.version, found.recorded_at) == (7, 2, 1_700_000_000_123)
    assert found.event == ErasedEvent()


def test_ratios_are_written_in_the_one_form_on_which_all_encoders_agree() -> None:
    event = VerificationJudged(A, A, A, "programmatic", "programmatic/1", "passed", None, 1.0, False, [], [], [])
    assert json.loads(codec.encode(event))["coverage"] == 1
    assert b'"coverage":1,' in codec.encode(event)
    assert b'"coverage":0.6875' in codec.encode(msgspec.structs.replace(event, coverage=0.68749999))


def test_what_a_body_cannot_hold_is_refused() -> None:
    with pytest.raises(BodyRefused):
        codec.encode(ConfigurationChanged("a", "nul \0", None, "user"))
    with pytest.raises(BodyRefused):
        codec.encode(ConfigurationChanged("a", 2**60, None, "user"))
    with pytest.raises(BodyRefused):
        codec.encode(ConfigurationChanged("a", "x" * 300_000, None, "user"))


def test_a_fact_in_its_place_keeps_the_eventsourcing_protocol() -> None:
    recorded = Recorded(0, A, "default/operation-a", 4, "x", 0, "a", UnknownEvent(), Meta())
    assert isinstance(recorded, DomainEventProtocol)
    assert (recorded.originator_id, recorded.originator_version) == ("default/operation-a", 4)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
OBSERVATION = st.builds(Observation, TEXT, st.sampled_from(("seen", "partial", "stale", "not observed")), TEXT)
RATIO = st.floats(0, 1).map(lambda value: round(value, 4))


@given(
    st.one_of(
        st.builds(EvidenceComplete, st.uuids(), st.integers(0, 2**53 - 1), st.just("none"), st.lists(OBSERVATION)),
        st.builds(
            VerificationComplete,
            coverage=RATIO,
            confidence=st.none() | RATIO,
            pool_micro=st.integers(-(2**53) + 1, 2**53 - 1),
            terms=st.just([]),
            reasons=st.lists(TEXT),
            not_observed=st.lists(TEXT),
            summary=TEXT,
            model=TEXT,
        ),
        st.builds(ConfigurationChanged, TEXT, st.none() | TEXT | st.booleans(), st.none(), st.just("user")),
    ),
    st.none() | st.uuids(),
)
def test_every_fact_survives_the_round_trip_in_canonical_bytes(event: DomainEvent, causation: UUID | None) -> None:
    body = codec.encode(event, causation)

    again, meta = codec.decode(event.type, body)

    assert again == event
    assert meta.causation == causation
    assert rfc8785.dumps(json.loads(body)) == body


@given(st.binary(max_size=60))
def test_bytes_become_text_where_they_are_text_and_come_back_exactly(given_bytes: bytes) -> None:
    found = text(given_bytes)
    assert raw(found) == given_bytes
    assert isinstance(found, Bytes) or "\0" not in found
