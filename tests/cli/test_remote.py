"""`dre events --server`: what a server says is printed as if it lay here, and what keeps it from that is said."""

import contextlib
import datetime as dt
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.shop import LIMIT_S, PYTHON, Shop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@contextlib.contextmanager
def serving(shop: Shop) -> Iterator[str]:
    process = subprocess.Popen([*PYTHON, "serve", "--port", "0"], cwd=shop.folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0


@pytest.fixture
def elsewhere(tmp_path: Path) -> Shop:
    """A folder without a workspace."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return Shop(folder)


def test_it_prints_what_the_local_command_prints(shop: Shop, elsewhere: Shop) -> None:
    shop.record("true")
    local = shop.dre("events", "--json", "--proofs"), shop.dre("events"), shop.dre("events", "--proofs")
    with serving(shop) as base:
        token = ["--server", base, "--token-file", str(shop.folder / ".dre" / "token")]
        remote = [elsewhere.dre("events", *words, *token).out for words in (["--json", "--proofs"], [], ["--proofs"])]
        last = len(local[0].json_lines()) - 2
        assert len(elsewhere.dre("events", "--after", str(last), *token).out.splitlines()) == 1
        assert shop.dre("events", "--server", base).out == local[1].out  # the token lies here
        beyond = [elsewhere.dre("events", "--after", "9999", *words, *token) for words in ([], ["--follow"])]
        assert [(answer.status, answer.out) for answer in beyond] == [(0, ""), (1, "")]
        assert beyond[0].err == f"dre: after 9999: this history ends at position {last + 1}\n"
        assert f"this history holds events 0 to {last + 1}" in beyond[1].err
        for here in (["--server"], ["--server", "."], ["--server", "--after", "-1"], ["-C", ".git", "--server"]):
            assert shop.dre("events", *here).out == local[1].out, here
    assert remote == [answer.out for answer in local]


def test_it_follows_across_a_server_that_is_started_anew_with_another_token(shop: Shop) -> None:
    shop.dre("init")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    words = ["serve", "--port", port]
    with open(shop.folder.parent / "told", "wb") as told:
        first = start(shop, words)
        following = subprocess.Popen(
            [*PYTHON, "events", "--follow", "--proofs", "--json", "--server", f"http://127.0.0.1:{port}"],
            cwd=shop.folder,
            stdout=told,
        )
        try:
            shop.record("true")
            wait_for(shop, "verification.complete", 1)
            end(first)
            shop.record("true")
            second = start(shop, words)
            wait_for(shop, "verification.complete", 2)
        finally:
            end(following, signal.SIGINT)
            end(second)
    assert (shop.folder.parent / "told").read_text() == shop.dre("events", "--proofs", "--json").out


def test_it_finds_the_server_of_the_workspace_again_where_it_listens_elsewhere(shop: Shop) -> None:
    shop.dre("init")
    with open(shop.folder.parent / "told", "wb") as told:
        first = start(shop, ["serve", "--port", "0"])
        following = subprocess.Popen(
            [*PYTHON, "events", "--follow", "--json", "--server"], cwd=shop.folder, stdout=told
        )
        try:
            wait_for(shop, "account.registered", 1)
            end(first)
            second = start(shop, ["serve", "--port", "0"])
            shop.record("true")
            wait_for(shop, "verification.complete", 1)
        finally:
            end(following, signal.SIGINT)
            end(second)
    assert (shop.folder.parent / "told").read_text() == shop.dre("events", "--json").out


@pytest.mark.parametrize("more", [[], ["--follow"]])
def test_where_no_server_of_the_workspace_runs_it_says_so(shop: Shop, elsewhere: Shop, more: list[str]) -> None:
    nowhere = elsewhere.dre("events", *more, "--server")
    shop.dre("init")
    none = shop.dre("events", *more, "--server")
    with serving(shop) as base:
        strange = shop.dre("events", *more, "--server", XDG_STATE_HOME=str(elsewhere.folder / "state"))
        said = (shop.folder / ".dre" / "serving").read_bytes()
    ended = shop.dre("events", *more, "--server")
    (shop.folder / ".dre" / "serving").write_bytes(said)  # as one leaves it that was killed
    killed = shop.dre("events", *more, "--server")

    for answer in (none, ended):
        assert f"no server runs for {shop.folder / '.dre'}" in answer.err
        assert "dre serve" in answer.err
    assert "was not made on this machine" in strange.err
    assert f"the server of {shop.folder / '.dre'} does not run any more" in killed.err
    assert "dre serve starts another" in killed.err
    for answer in (nowhere, none, strange, ended, killed):
        assert (answer.status, answer.out, len(answer.err.splitlines())) == (3, "", 2), answer.err
        assert "unexpected" not in answer.err
    assert base not in none.err


def start(shop: Shop, words: list[str]) -> "subprocess.Popen[str]":
    process = subprocess.Popen([*PYTHON, *words], cwd=shop.folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http")
    return process


def end(process: "subprocess.Popen[str] | subprocess.Popen[bytes]", number: int = signal.SIGTERM) -> None:
    os.kill(process.pid, number)
    process.communicate(timeout=LIMIT_S)


def wait_for(shop: Shop, type: str, count: int) -> None:
    until = time.monotonic() + LIMIT_S
    while (shop.folder.parent / "told").read_text().count(f'"{type}"') < count:
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("more", [[], ["--follow"]])
def test_what_keeps_it_from_a_server_is_said(shop: Shop, elsewhere: Shop, more: list[str]) -> None:
    shop.dre("init")
    wrong = elsewhere.folder / "wrong"
    wrong.write_text("x" * 43)
    with serving(shop) as base:
        refused = elsewhere.dre("events", *more, "--server", base, "--token-file", str(wrong))
        nameless = elsewhere.dre("events", *more, "--server", base)
        missing = elsewhere.dre("events", *more, "--server", base, "--token-file", "nothing")
        other = elsewhere.dre("events", *more, "--server", base.replace("127.0.0.1", "127.0.0.2"), "--token-file", "x")
    gone = elsewhere.dre("events", *more, "--server", base, "--token-file", str(wrong))
    for nonsense in ("nonsense", "http://[::1", "http://127.0.0.1:99999", "http://127.0.0.1:x", "http://[nonsense]:1"):
        garbled = elsewhere.dre("events", *more, "--server", nonsense, "--token-file", str(wrong))
        assert (garbled.status, f"--server {nonsense}: no address" in garbled.err) == (2, True), garbled.err
        assert len(garbled.err.splitlines()) == 2
    for unfit in ("/?x", "?", "/#x", "#"):
        garbled = elsewhere.dre("events", *more, "--server", base + unfit, "--token-file", str(wrong))
        assert (garbled.status, f"--server {base}{unfit}: no address" in garbled.err) == (2, True), garbled.err
    for secret in ("http://me:hunter2@127.0.0.1:1", "http://me:hunter2@a/b@127.0.0.1:1", "me:hunter2@127.0.0.1:1"):
        garbled = elsewhere.dre("events", *more, "--server", secret, "--token-file", str(wrong))
        assert (garbled.status, "--server 127.0.0.1:1: no address" in garbled.err) == (2, True), garbled.err
        assert "hunter2" not in garbled.err
    alone = elsewhere.dre("events", *more, "--token-file", str(wrong))

    assert (refused.status, "the token is not this server's" in refused.err) == (3, True), refused.err
    assert (nameless.status, "--token-file" in nameless.err) == (2, True), nameless.err
    assert (missing.status, "nothing" in missing.err) == (3, True), missing.err
    assert other.status == 3, other.err
    assert (gone.status, f"{base}: Connection refused" in gone.err) == (3, True), gone.err
    assert alone.status == 2, alone.err
    for answer in (refused, nameless, missing, other, gone, alone):
        assert (answer.out, "unexpected" in answer.err, len(answer.err.splitlines())) == ("", False, 2)


@pytest.mark.parametrize("more", [[], ["--follow"]])
@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"SSH-2.0-OpenSSH_9\r\n", b""])
def test_what_is_no_dre_server_is_told_apart(elsewhere: Shop, more: list[str], answer: bytes) -> None:
    (elsewhere.folder / "token").write_text("x" * 43)
    with answering(answer) as place:
        base = f"http://{place}"
        found = elsewhere.dre("events", *more, "--server", base, "--token-file", "token")
    assert (found.status, base in found.err, "unexpected" in found.err) == (3, True, False), found.err


@pytest.mark.parametrize("more", [[], ["--follow"]])
def test_why_there_is_no_tls_with_a_server_is_said(elsewhere: Shop, more: list[str], tmp_path: Path) -> None:
    (elsewhere.folder / "token").write_text("x" * 43)
    with answering(b"", self_signed(tmp_path)) as stranger, answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as plain:
        for place, why in ((stranger, "certificate"), (plain, "TLS")):
            found = elsewhere.dre("events", *more, "--server", f"https://{place}", "--token-file", "token")
            said = f"https://{place}: TLS: " in found.err
            assert (found.status, said, why in found.err) == (3, True, True), found.err
            assert "not permitted" not in found.err


@contextlib.contextmanager
def answering(answer: bytes, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Says this to whatever is said to it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    answer_one(listening.accept()[0])

        def answer_one(connection: socket.socket) -> None:
            with contextlib.suppress(ssl.SSLError), connection:
                spoken = connection if tls is None else tls.wrap_socket(connection, server_side=True)
                with spoken:
                    spoken.recv(65536)
                    spoken.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dre.example.org")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem, traditional = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    both = folder / "stranger.pem"
    secret = key.private_bytes(pem, traditional, serialization.NoEncryption())
    both.write_bytes(certificate.public_bytes(pem) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context
