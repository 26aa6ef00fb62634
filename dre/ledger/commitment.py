"""The commitment: what an entry says of its body, binding while the salt lives and hiding once it is destroyed."""

from hashlib import sha256

SALT_BYTES = 32
_TAG = b"dre.body.v1\x00"


def commitment(salt: bytes, body: bytes) -> bytes:
    if len(salt) != SALT_BYTES:  # of fixed size, so that no salt and body can be cut elsewhere
        raise ValueError(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
    return sha256(_TAG + salt + body).digest()
