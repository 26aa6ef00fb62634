"""The workspace before and after a run: which files it changed, as `structural/changes.json` holds it."""

from typing import Literal

import msgspec

from dre.domain.events import Text

ChangeStatus = Literal["added", "modified", "deleted", "type changed"]
Syntax = Literal["parses", "broken", "unknown", "not checked"]


class ChangedFile(msgspec.Struct, frozen=True, rename="camel"):
    """
    One file that is not after the run what it was before; `path` is relative to the top of the work tree.

    `mode` is git's (`100644`), that of the file as it is now, or was when it is gone. `digest`: SHA-256 (hex) of the
    content; it and `size_bytes` are null for what was deleted or could not be read.
    `syntax`: `not checked` is a kind of file nobody here can parse, `unknown` one that could not be read or is too
    large; `syntax_detail` and `line` then say why, or where it breaks. `conflict_marker`: the line of the first one.
    """

    path: Text
    status: ChangeStatus
    mode: str
    old_path: Text | None = None
    size_bytes: int | None = None
    digest: str | None = None
    syntax: Syntax = "not checked"
    syntax_detail: str = ""
    line: int | None = None
    conflict_marker: int | None = None


class Changes(msgspec.Struct, frozen=True, rename="camel"):
    """
    What differs between two trees. A tree is null when it was not observed: then nothing is known of changes.

    `dirty`: how many files differed from the commit before the run; null without a commit.
    `more`: how many changed files stand beyond the cap and are not listed. `clean_filters`: the repository has some,
    so the trees hold what they made of the files.
    """

    tree_before: str | None
    tree_after: str | None
    files: tuple[ChangedFile, ...] = ()
    more: int = 0
    clean_filters: bool = False
    dirty: int | None = None
