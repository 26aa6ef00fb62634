"""
The frozen vectors: by the code, and by a second implementation that shares nothing with it.

`ledger.created` of every ledger names this file's digest. It never changes; what is added goes into another file.
"""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import rfc8785
import zstandard

from dre.errors import BlobAltered, BodyRefused
from dre.ledger import FORMAT_DIGEST
from dre.ledger.blob import BlobHeader, unpack
from dre.ledger.body import check_body
from dre.ledger.commitment import commitment
from dre.ledger.entry import Entry, decode
from dre.ledger.event_id import derived_id, operation_event_id

FILE = Path(__file__).parent.parent / "vectors" / "format-v1.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_bytes())


def body_of(vector: dict[str, Any]) -> bytes:
    if "hex" in vector:
        return bytes.fromhex(vector["hex"])
    if "text" in vector:
        return str(vector["text"]).encode()
    return (vector["before"] + vector["fill"] * vector["times"] + vector["after"]).encode()  # type: ignore[no-any-return]


def entry_of(vector: dict[str, Any]) -> Entry:
    return Entry(
        position=vector["position"],
        prev=bytes.fromhex(vector["prev"]),
        event_id=UUID(vector["eventId"]),
        stream=vector["stream"],
        version=vector["version"],
        type=vector["type"],
        recorded_at_us=vector["recordedAtUs"],
        actor=vector["actor"],
        commitment=bytes.fromhex(vector["commitment"]),
        body_len=vector["bodyLen"],
    )


def whys(vectors: list[dict[str, Any]]) -> list[str]:
    return [vector["why"] for vector in vectors]


VALID, REFUSED = VECTORS["bodies"]["valid"], VECTORS["bodies"]["refused"]
ENTRIES = VECTORS["entries"]["chain"] + VECTORS["entries"]["edges"]


def test_the_code_names_these_vectors() -> None:
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == FORMAT_DIGEST


@pytest.mark.parametrize("vector", VALID, ids=whys(VALID))
def test_a_body_that_every_encoder_writes_alike_is_accepted(vector: dict[str, Any]) -> None:
    body = body_of(vector)

    check_body(body)

    assert rfc8785.dumps(json.loads(body)) == body
    assert json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == body


@pytest.mark.parametrize("vector", REFUSED, ids=whys(REFUSED))
def test_a_body_outside_the_format_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(BodyRefused):
        check_body(body_of(vector))


def test_commitments() -> None:
    for vector in VECTORS["commitments"]:
        salt, body = bytes.fromhex(vector["salt"]), vector["body"].encode()
        assert commitment(salt, body).hex() == vector["commitment"]
        assert hashlib.sha256(b"dre.body.v1\0" + salt + body).hexdigest() == vector["commitment"]


@pytest.mark.parametrize("vector", ENTRIES)
def test_entries_and_leaves(vector: dict[str, Any]) -> None:
    entry = entry_of(vector)

    assert entry.encode().decode() == vector["entry"]
    assert entry.leaf().hex() == vector["leaf"]
    assert decode(vector["entry"].encode()) == entry


@pytest.mark.parametrize("vector", ENTRIES)
def test_entries_and_leaves_by_hand(vector: dict[str, Any]) -> None:
    names = ("position", "prev", "eventId", "stream", "version", "type", "recordedAtUs", "actor", "commitment")
    lines = ["dre.event.v1", *(str(vector[name]) for name in names), str(vector["bodyLen"])]

    assert "".join(f"{line}\n" for line in lines) == vector["entry"]
    assert hashlib.sha256(b"\0" + vector["entry"].encode()).hexdigest() == vector["leaf"]


def test_the_chain_of_the_vectors_holds() -> None:
    prev = "0" * 64
    for position, vector in enumerate(VECTORS["entries"]["chain"]):
        assert (vector["position"], vector["prev"]) == (position, prev)
        preimage = b"dre.body.v1\0" + bytes.fromhex(vector["salt"]) + vector["body"].encode()
        assert hashlib.sha256(preimage).hexdigest() == vector["commitment"]
        assert len(vector["body"].encode()) == vector["bodyLen"]
        prev = vector["leaf"]


@pytest.mark.parametrize("vector", VECTORS["entries"]["refused"], ids=whys(VECTORS["entries"]["refused"]))
def test_what_is_no_entry_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of its kinds: bad ASCII, hex, UUID, number
        decode(vector["text"].encode())


def uuid8_by_hand(text: str) -> str:
    digits = list(hashlib.sha256(text.encode()).hexdigest()[:32])
    digits[12] = "8"
    digits[16] = "89ab"[int(digits[16], 16) % 4]
    flat = "".join(digits)
    return "-".join((flat[:8], flat[8:12], flat[12:16], flat[16:20], flat[20:]))


def test_derived_event_ids() -> None:
    for vector in VECTORS["eventIds"]["derived"]:
        name, key, index = vector["name"], vector["key"], vector["index"]
        assert str(derived_id(name, key, index)) == vector["id"]
        assert uuid8_by_hand(f"dre.event-id.v1\0{name}\0{key}\0{index}") == vector["id"]
        assert UUID(vector["id"]).version == 8


def test_ids_of_an_operations_events() -> None:
    for vector in VECTORS["eventIds"]["operation"]:
        operation, index = vector["operationId"], vector["index"]
        assert str(operation_event_id(UUID(operation), index)) == vector["id"]
        assert uuid8_by_hand(f"dre.event-id.v1\0{operation}\0{index}") == vector["id"]


def test_what_an_id_derives_from_holds_no_separator() -> None:
    with pytest.raises(ValueError, match="NUL"):
        derived_id("a\0b", "c", 0)
    with pytest.raises(ValueError, match="NUL"):
        derived_id("a", "b\0c", 0)


@pytest.mark.parametrize("vector", VECTORS["blobs"]["headers"])
def test_blob_headers(vector: dict[str, Any]) -> None:
    numbers = (vector["compression"], vector["sizeBytes"], vector["payloadBytes"], vector["cipher"])
    header = BlobHeader(*numbers, bytes.fromhex(vector["keyId"]))

    assert header.pack().hex() == vector["header"]
    assert unpack(bytes.fromhex(vector["header"])) == header
    by_hand = b"DREB" + bytes([1, vector["compression"], vector["cipher"], 0]) + bytes.fromhex(vector["keyId"])
    assert (by_hand + struct.pack(">QQ", vector["sizeBytes"], vector["payloadBytes"])).hex() == vector["header"]


@pytest.mark.parametrize("vector", VECTORS["blobs"]["refused"], ids=whys(VECTORS["blobs"]["refused"]))
def test_what_is_no_blob_header_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(BlobAltered):
        unpack(bytes.fromhex(vector["header"]))


@pytest.mark.parametrize("vector", VECTORS["blobs"]["objects"])
def test_stored_objects(vector: dict[str, Any]) -> None:
    stored, plaintext = bytes.fromhex(vector["object"]), bytes.fromhex(vector["plaintext"])

    header = unpack(stored[:40])

    payload = stored[40:]
    assert (header.size_bytes, header.payload_bytes) == (len(plaintext), len(payload))
    assert (
        zstandard.ZstdDecompressor().decompressobj().decompress(payload) if header.compression else payload
    ) == plaintext
    assert hashlib.sha256(stored).hexdigest() == vector["address"]
    assert hashlib.sha256(plaintext).hexdigest() == vector["digest"]
