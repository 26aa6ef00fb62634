"""Verifier keys as C2SP signed notes write them: a name, a key id that binds it, and the public key."""

from base64 import b64encode
from hashlib import sha256
from uuid import UUID

ED25519 = 0x01
COSIGNATURE = 0x04
PUBLIC_KEY_BYTES = 32


def key_id(name: str, type: int, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + bytes([type]) + public).digest()[:4]


def verifier_key(name: str, type: int, public: bytes) -> str:
    """`<name>+<key id>+<key>`: all that a stranger needs to check this key's signatures."""
    if not name or "+" in name or any(character.isspace() for character in name):
        raise ValueError(f"{name!r} cannot name a key: it must hold neither spaces nor a plus sign")
    if len(public) != PUBLIC_KEY_BYTES:
        raise ValueError(f"an Ed25519 public key has {PUBLIC_KEY_BYTES} bytes, not {len(public)}")
    return f"{name}+{key_id(name, type, public).hex()}+{b64encode(bytes([type]) + public).decode()}"


def verifier_keys(origin: str, ledger_id: UUID, signer: bytes, cosigner: bytes) -> list[str]:
    """
    What `ledger.created` holds: the signer's key, named by the origin, and the cosigner's,
    whose name stays when a generation ends.
    """
    name = origin.partition("/")[0]
    return [
        verifier_key(origin, ED25519, signer),
        verifier_key(f"{name}/{ledger_id}/cosigner", COSIGNATURE, cosigner),
    ]
