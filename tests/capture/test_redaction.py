"""No form of a known secret survives, wherever the stream is cut; tokens that nobody knew are recognised."""

import base64
import html
import json
import re
import struct
import urllib.parse
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dre.capture import needles
from dre.capture.redaction import HELD_BACK_BYTES, Redactor, Tally, told
from dre.errors import ConfigurationError

SECRET = b"s3cr3t/Va+lue?with\"quotes' & <more>"
KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\n" * 8
KEY += b"-----END OPENSSH PRIVATE KEY-----"

ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda value: value,
    "base64": base64.b64encode,
    "base64 behind one byte": lambda value: base64.b64encode(b"u" + value),
    "base64 behind two bytes": lambda value: base64.b64encode(b"u:" + value + b"."),
    "urlsafe base64": base64.urlsafe_b64encode,
    "base64 twice": lambda value: base64.b64encode(base64.b64encode(value)),
    "base64 twice, shifted": lambda value: base64.b64encode(b"x" + base64.b64encode(b"yz" + value)),
    "hex": lambda value: value.hex().encode(),
    "upper hex": lambda value: value.hex().upper().encode(),
    "url": lambda value: urllib.parse.quote(value, safe="").encode(),
    "url path": lambda value: urllib.parse.quote(value).encode(),
    "form": lambda value: urllib.parse.quote_plus(value).encode(),
    "json": lambda value: json.dumps(value.decode()).encode()[1:-1],
    "json with slashes": lambda value: json.dumps(value.decode()).replace("/", "\\/").encode()[1:-1],
    "html": lambda value: html.escape(value.decode()).encode(),
    "xml text": lambda value: html.escape(value.decode(), quote=False).encode(),
    "repr": lambda value: repr(value.decode()).encode()[1:-1],
    "shell": lambda value: value.replace(b"'", b"'\\''"),
    "reversed": lambda value: value[::-1],
}


def streamed(redactor: Redactor, data: bytes, cut: int) -> bytes:
    return b"".join(redactor.stream((data[at : at + cut] for at in range(0, len(data), cut)), Tally()))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_known_value_is_replaced_in_every_encoding(encoding: str) -> None:
    printed = ENCODINGS[encoding](SECRET)

    redacted = Redactor([SECRET]).redact(b"before [" + printed + b"] after")

    left, hits = re.subn(rb"\[redacted:known-value[a-z0-9-]*\]", b"", redacted)
    assert hits == 1
    assert len(left) <= len(b"before [] after") + 2 * 8  # characters of an encoding that depend on the neighbours too
    assert printed[8:-8] not in redacted


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("offset", range(-70, 5, 3))
def test_no_position_of_a_block_s_end_lets_it_through(encoding: str, offset: int) -> None:
    printed = ENCODINGS[encoding](SECRET)
    block = 256
    data = b"." * (block + HELD_BACK_BYTES + offset) + printed + b"." * (2 * HELD_BACK_BYTES)

    for cut in (1 << 20, 4096, 61):
        redacted = streamed(Redactor([SECRET], block=block), data, cut)
        assert b"[redacted:known-value" in redacted
        assert printed[8:-8] not in redacted


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([SECRET, b"0123456789abcdef"])), max_size=12),
    cut=st.integers(1, 50),
    block=st.integers(1, 200),
)
def test_how_the_stream_is_cut_changes_nothing(parts: list[bytes], cut: int, block: int) -> None:
    data = b"".join(parts)
    values = [SECRET, b"0123456789abcdef"]

    whole = Redactor(values).redact(data)

    assert streamed(Redactor(values, block=block), data, cut) == whole
    assert not any(value in whole for value in values)


def test_overlapping_secrets_leave_no_end_behind() -> None:
    redactor = Redactor([b"abcdefgh", b"efghijkl", b"ijklmnop"])

    assert redactor.redact(b"<abcdefghijklmnop>") == b"<[redacted:known-value]>"
    assert redactor.redact(b"<abcdefghabcdefgh>") == b"<[redacted:known-value][redacted:known-value]>"


def test_of_two_that_begin_together_the_longer_goes() -> None:
    assert Redactor([b"hunter22", b"hunter22-and-more"]).redact(b"hunter22-and-more") == b"[redacted:known-value]"


def test_lines_of_a_long_secret_go_one_by_one() -> None:
    body = [b"first line of it", b"second line of it"]
    redacted = Redactor([b"\n".join(body)]).redact(b"+" + body[0] + b"\n+" + body[1] + b"\n")

    assert redacted == b"+[redacted:known-value-line]\n+[redacted:known-value-line]\n"


def test_a_very_long_secret_is_found_as_a_whole() -> None:
    secret = bytes(range(33, 127)) * 300

    assert Redactor([secret]).redact(b"a" + secret + b"b") == b"a[redacted:known-value]b"


def test_bytes_that_are_no_text_are_kept_and_searched() -> None:
    secret = b"\xff\xfe\x00binary\x80secret"

    assert Redactor([secret]).redact(b"\x80\x00" + secret + b"\xc3") == b"\x80\x00[redacted:known-value]\xc3"


TOKENS = {
    "github-token": b"ghp_" + b"a1B2" * 9,
    "gitlab-token": b"glpat-" + b"aB3_" * 5,
    "aws-key-id": b"AKIAIOSFODNN7EXAMPLE",
    "sk-key": b"sk-proj-" + b"aB3" * 10,
    "stripe-key": b"sk_live_" + b"aB3x" * 6,
    "slack-token": b"xoxb-123456789012-abcdefABCDEF",
    "google-key": b"AIza" + b"Sy0-_" * 7,
    "npm-token": b"npm_" + b"aB3x" * 9,
    "jwt": b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "private-key": KEY,
}


@pytest.mark.parametrize("rule", TOKENS)
@pytest.mark.parametrize("around", [(b"token: ", b"\n"), (b'"', b'"'), (b"", b"")])
def test_tokens_of_known_services_are_replaced(rule: str, around: tuple[bytes, bytes]) -> None:
    before, after = around

    assert Redactor().redact(before + TOKENS[rule] + after) == before + b"[redacted:" + rule.encode() + b"]" + after


@pytest.mark.parametrize("rule", TOKENS)
@pytest.mark.parametrize("offset", range(-400, 8, 37))
def test_tokens_are_found_across_blocks(rule: str, offset: int) -> None:
    data = b"." * (300 + HELD_BACK_BYTES + offset) + b" " + TOKENS[rule] + b" " + b"." * 2 * HELD_BACK_BYTES

    redacted = streamed(Redactor(block=300), data, 4096)

    assert redacted.count(b"[redacted:" + rule.encode() + b"]") == 1
    assert TOKENS[rule][8:-1] not in redacted


def test_the_password_in_an_address_and_a_header_go_and_the_rest_stays() -> None:
    redactor = Redactor()

    assert (
        redactor.redact(b"git@ https://me:hunter2x@example.org/a.git")
        == b"git@ https://me:[redacted:url-password]@example.org/a.git"
    )
    assert (
        redactor.redact(b"Authorization: Bearer abcdefgh12345678\n")
        == b"Authorization: Bearer [redacted:authorization]\n"
    )


def test_a_token_longer_than_all_that_is_held_back_goes_whole() -> None:
    token = b"eyJhbGciOiJIUzI1NiJ9.eyJz" + b"a1B2" * HELD_BACK_BYTES + b".dozjgNryP4J3jVmNHl0w5N"

    assert streamed(Redactor(block=1000), b"x " + token + b" y", 4096) == b"x [redacted:jwt] y"


def test_a_key_without_an_end_goes_as_far_as_it_can_be_one() -> None:
    cut = KEY[: KEY.index(b"-----END")]

    assert Redactor().redact(cut + b"\n!! that was all") == b"[redacted:private-key]!! that was all"


HONEST = (
    b"task-list risk-based-decision-making-in-teams sk-learn-contrib-something-else",
    b"tests/test_eyJ.py::test_akia PASSED",
    b"https://example.org:8080/path?x=1 ssh://git@example.org/repo",
    b"glpat-is-the-prefix-of-gitlab-tokens",
    b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    b"2026-01-02T03:04:05.678Z INFO [main] o.e.Server - started in 1234 ms",
    b"0123456789abcdef0123456789abcdef01234567",
)


@pytest.mark.parametrize("text", HONEST)
def test_honest_output_is_left_as_it_is(text: bytes) -> None:
    assert Redactor([SECRET]).redact(text) == text


def test_hits_are_counted_by_rule_and_nothing_else_is_told() -> None:
    tally = Tally()
    Redactor([SECRET]).redact(SECRET + b" " + SECRET + b" " + TOKENS["jwt"], tally)

    assert told(tally) == "jwt 1, known-value 2"


def test_a_pattern_of_the_user_s_is_used_and_a_broken_one_is_named() -> None:
    assert Redactor(patterns=["ACME-[0-9A-F]{8}"]).redact(b"id ACME-0123ABCD.") == b"id [redacted:configured]."
    with pytest.raises(ConfigurationError, match=r"ACME-\["):
        Redactor(patterns=["ACME-["])


def packed(*values: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def test_needles_are_read_as_the_recorder_packs_them() -> None:
    assert needles.unpack(packed(b"one", b"\0two\xff")) == [b"one", b"\0two\xff"]
    assert needles.unpack(b"") == []


@pytest.mark.parametrize("broken", [b"\x01", b"\x05\0\0\0abc", b"\0\0\0\0", packed(b"abc") + b"\x09\0"])
def test_broken_needles_are_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match="it ends within"):
        needles.unpack(broken)


def blocks() -> Iterator[bytes]:
    for _ in range(64):
        yield b"x" * (1 << 20)


def test_a_long_stream_is_handed_out_while_it_is_read() -> None:
    source = blocks()
    pieces = Redactor([SECRET]).stream(source, Tally())

    next(pieces)

    assert sum(1 for _ in source) > 50  # most of it was still to come
