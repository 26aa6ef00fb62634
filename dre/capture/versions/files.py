"""Files read on the way to a version: regular ones, cut where they are long, and no more of them than are worth it."""

import itertools
import os
import time

import msgspec

from dre.capture import regular

MOST_FILES = 1500
MOST_BYTES = 16 << 20
MOST_NAMES = 20_000
PATIENCE_S = 2.0
_LONGEST_VERSION = 80


class Said(msgspec.Struct, frozen=True):
    """A version, and the file that says it."""

    version: str
    path: bytes


class Files:
    """One recording's budget. What it does not allow is as if it were not there: a version is worth no delay."""

    def __init__(self, most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES) -> None:
        self._files, self._bytes = most_files, most_bytes
        self._until = time.monotonic() + PATIENCE_S

    def read(self, path: bytes, most: int = 1 << 20) -> bytes:
        """The front of it; nothing of what is no regular file, or cannot be read."""
        if self._files <= 0 or self._bytes <= 0 or time.monotonic() > self._until:
            return b""
        self._files -= 1
        try:
            content, _ = regular.read(path, min(most, self._bytes))
        except (OSError, ValueError):
            return b""
        self._bytes -= len(content)
        return content

    def names(self, folder: bytes) -> list[bytes]:
        """What it holds, in one order for everybody."""
        try:
            with os.scandir(folder) as entries:
                return sorted(entry.name for entry in itertools.islice(entries, MOST_NAMES))
        except (OSError, ValueError):
            return []


def said(version: bytes, path: bytes) -> Said | None:
    """None for what is no version: empty, more than a word or two, or not text."""
    try:
        text = version.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    return Said(text, path) if text.isprintable() and 0 < len(text) <= _LONGEST_VERSION else None
