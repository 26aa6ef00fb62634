"""
A verifier written from docs/reference/ledger-format.md alone: it imports nothing but what comes with Python.

    dre events --proofs --json | python independent_reader.py

It prints how many events there are and the newest leaf, or what is wrong, at which position.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterable
from typing import Any

LINES = (
    re.compile(r"dre\.event\.v1"),
    re.compile(r"0|[1-9][0-9]*"),
    re.compile(r"[0-9a-f]{64}"),
    re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    re.compile(r"[!-~]{1,200}"),
    re.compile(r"0|[1-9][0-9]*"),
    re.compile(r"[a-z][a-z0-9_.]{0,79}"),
    re.compile(r"0|[1-9][0-9]*"),
    re.compile(r"[!-~]{1,200}"),
    re.compile(r"[0-9a-f]{64}"),
    re.compile(r"0|[1-9][0-9]*"),
)
KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Wrong(Exception):
    def __init__(self, position: int, what: str) -> None:
        super().__init__(f"position {position}: {what}")
        self.position = position


def verify(lines: Iterable[str]) -> tuple[int, str]:
    """How many events there are, and the newest leaf. Raises Wrong."""
    prev = "0" * 64
    versions: dict[str, int] = {}
    missing: dict[int, str] = {}
    size = 0
    for size, line in enumerate(lines, 1):
        event = json.loads(line)
        position = size - 1
        prev = check_entry(event, position, prev, versions)
        if event["body"] is None:
            missing[position] = event["id"]
            require(event["salt"] is None and event["data"] is None, position, "erased, and yet something is left")
            continue
        body = check_body(event, position)
        if event["type"] in ("body.erased", "evidence.erased"):
            named = body["position"]
            require(missing.get(named) == body["event"], named, "said to be erased, and is not")
            del missing[named]
    for position in missing:
        raise Wrong(position, "its body is missing, and no later event says that it was erased")
    return size, prev


def check_entry(event: dict[str, Any], position: int, prev: str, versions: dict[str, int]) -> str:
    """Steps 1 to 5; returns the leaf."""
    entry = event["entry"]
    require(entry.endswith("\n"), position, "the entry does not end with a line feed")
    fields = entry[:-1].split("\n")
    require(len(fields) == len(LINES), position, "the entry has not eleven lines")
    for number, (field, form) in enumerate(zip(fields, LINES, strict=True), 1):
        require(form.fullmatch(field) is not None, position, f"line {number} of the entry has not its form")
    require(all(int(fields[at]) < 2**63 for at in (1, 5, 7, 10)), position, "a number is too big")
    outside = (event["position"], event["id"], event["stream"], event["version"], event["type"], event["actor"])
    inside = (int(fields[1]), fields[3], fields[4], int(fields[5]), fields[6], fields[8])
    require(inside == outside, position, "the entry says other things than the event")
    require(event["recordedAt"] == int(fields[7]) // 1000, position, "recordedAt is not the entry's")
    require(inside[0] == position, position, "missing, or out of order")
    require(fields[2] == prev, position, "not linked to the event before")
    require(inside[3] == versions.get(fields[4], 0), position, "not the next version of its stream")
    versions[fields[4]] = inside[3] + 1
    return hashlib.sha256(b"\0" + entry.encode("ascii")).hexdigest()


def check_body(event: dict[str, Any], position: int) -> dict[str, Any]:
    """Step 6; returns the body, decoded."""
    require(event["salt"] is not None, position, "a body without its salt")
    body, salt = event["body"].encode(), bytes.fromhex(event["salt"])
    fields = event["entry"].split("\n")
    committed = hashlib.sha256(b"dre.body.v1\0" + salt + body).hexdigest()
    require(len(salt) == 32 and committed == fields[9], position, "salt and body are not what the entry commits to")
    require(len(body) == int(fields[10]) <= 262_144, position, "the body has another length")
    value: Any = json.loads(body)
    require(isinstance(value, dict) and plain(value, 1), position, "the body holds what no body may hold")
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    require(canonical.encode() == body, position, "the body is not in its one form")
    fact = {key: item for key, item in value.items() if key != "meta"}
    require(fact == event["data"], position, "data is not the body without meta")
    return dict(value)


def plain(value: Any, depth: int) -> bool:
    """Only what the subset of JSON allows."""
    if isinstance(value, dict):
        return depth <= 16 and all(KEY.fullmatch(key) and plain(item, depth + 1) for key, item in value.items())
    if isinstance(value, list):
        return depth <= 16 and all(plain(item, depth + 1) for item in value)
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, float):
        return 0 < value < 1 and round(value, 4) == value
    return value is None or isinstance(value, bool) or -(2**53) < value < 2**53


def require(holds: bool, position: int, what: str) -> None:  # noqa: FBT001 - it reads as a sentence
    if not holds:
        raise Wrong(position, what)


if __name__ == "__main__":
    try:
        print(*verify(sys.stdin))
    except Wrong as wrong:
        sys.exit(str(wrong))
