"""Verifier keys, as Go's and every other C2SP implementation reads them."""

from base64 import b64decode
from uuid import UUID

import pytest

from dre.ledger.note import COSIGNATURE, ED25519, verifier_key, verifier_keys

LEDGER = UUID("019b8f3a-5c00-7abc-8def-0123456789ab")


def test_the_key_that_gos_note_package_documents() -> None:
    public = b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]

    assert verifier_key("PeterNeumann", ED25519, public) == (
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    )


def test_a_ledger_names_its_signer_by_origin_and_its_cosigner_for_good() -> None:
    signer, cosigner = verifier_keys(f"dre.local/{LEDGER}/g0", LEDGER, b"\x01" * 32, b"\x02" * 32)

    assert signer.startswith(f"dre.local/{LEDGER}/g0+")
    assert cosigner.startswith(f"dre.local/{LEDGER}/cosigner+")
    assert b64decode(signer.split("+")[2] + "==")[0] == ED25519
    assert b64decode(cosigner.rpartition("+")[2])[0] == COSIGNATURE
    assert verifier_keys(f"dre.local/{LEDGER}/g1", LEDGER, b"\x01" * 32, b"\x02" * 32)[1] == cosigner


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\tb", "a\u00a0b"])
def test_a_name_that_a_note_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        verifier_key(name, ED25519, bytes(32))


def test_a_key_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        verifier_key("a", ED25519, bytes(33))
