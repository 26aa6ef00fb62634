"""Key files: private, made once, and refused when anybody else could have had them."""

import asyncio
import os
import stat
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from dre.adapters.keyfile import COSIGNER, SIGNER, load, load_or_make, public_keys
from dre.errors import KeyRefused
from dre.ledger.note import verifier_keys

LEDGER = UUID("019b8f3a-5c00-7abc-8def-0123456789ab")


def test_two_keys_are_made_once(tmp_path: Path) -> None:
    first = public_keys(str(tmp_path))

    assert public_keys(str(tmp_path)) == first
    assert len(set(first)) == 2
    assert all(len(key) == 32 for key in first)
    assert sorted(os.listdir(tmp_path)) == [COSIGNER, SIGNER]


def test_key_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        public_keys(str(tmp_path))
    finally:
        os.umask(before)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in (SIGNER, COSIGNER)} == {0o600}


def test_a_key_file_is_plain_pkcs8_that_every_tool_reads(tmp_path: Path) -> None:
    public, _ = public_keys(str(tmp_path))

    key = serialization.load_pem_private_key((tmp_path / SIGNER).read_bytes(), None)

    assert isinstance(key, ed25519.Ed25519PrivateKey)
    assert key.public_key().public_bytes_raw() == public


def test_what_the_ledger_names_verifies_what_the_key_signs(tmp_path: Path) -> None:
    keys = verifier_keys(f"dre.local/{LEDGER}/g0", LEDGER, *public_keys(str(tmp_path)))

    for text, name in zip(keys, (SIGNER, COSIGNER), strict=True):
        public = ed25519.Ed25519PublicKey.from_public_bytes(b64decode(text.split("+", 2)[2])[1:])
        public.verify(load(str(tmp_path / name)).sign(b"checkpoint"), b"checkpoint")


async def test_of_many_that_make_a_key_at_once_all_get_the_same(tmp_path: Path) -> None:
    made = await asyncio.gather(*(asyncio.to_thread(public_keys, str(tmp_path)) for _ in range(16)))

    assert len(set(made)) == 1
    assert sorted(os.listdir(tmp_path)) == [COSIGNER, SIGNER]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602])
def test_a_key_that_others_could_have_read_or_changed_is_refused(tmp_path: Path, mode: int) -> None:
    public_keys(str(tmp_path))
    (tmp_path / SIGNER).chmod(mode)

    with pytest.raises(KeyRefused, match=f"{mode:04o}") as refused:
        public_keys(str(tmp_path))
    assert refused.value.hint


def test_another_users_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    public_keys(str(tmp_path))
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)  # as whom the test cannot become without privilege

    with pytest.raises(KeyRefused, match=f"belongs to user {owner}"):
        load(str(tmp_path / SIGNER))


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    public_keys(str(tmp_path / "elsewhere"))
    (tmp_path / SIGNER).symlink_to(tmp_path / "elsewhere" / SIGNER)

    with pytest.raises(KeyRefused, match="symbolic link"):
        load_or_make(str(tmp_path / SIGNER))


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / SIGNER).symlink_to(tmp_path / "target")

    with pytest.raises(KeyRefused):
        load_or_make(str(tmp_path / SIGNER))
    assert not (tmp_path / "target").exists()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / SIGNER, 0o600)

    with pytest.raises(KeyRefused, match="not a file"):
        load(str(tmp_path / SIGNER))


def test_a_missing_key_is_refused_where_none_may_be_made(tmp_path: Path) -> None:
    with pytest.raises(KeyRefused, match="cannot be opened"):
        load(str(tmp_path / SIGNER))


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a key",
        b"\xff" * 5000,
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(ed25519.Ed25519PrivateKey.generate(), b"secret"),
        pem(ed25519.Ed25519PrivateKey.generate())[:-40],
    ],
    ids=["empty", "text", "noise", "another kind", "with a password", "cut"],
)
def test_a_file_that_holds_no_such_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SIGNER).write_bytes(content)
    (tmp_path / SIGNER).chmod(0o600)

    with pytest.raises(KeyRefused):
        load_or_make(str(tmp_path / SIGNER))
    assert (tmp_path / SIGNER).read_bytes() == content


def test_importing_the_room_loads_no_cryptography() -> None:
    asked = "import sys, dre.adapters.keyfile; print('cryptography' in sys.modules)"

    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True, text=True)

    assert said.stdout == "False\n"
