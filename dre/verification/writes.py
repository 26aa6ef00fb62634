"""What a run was expected to write: the globs of `--writes`, held against the files that changed."""

import posixpath
import re
from collections.abc import Sequence
from fnmatch import translate

ANY_DEPTH = "**"


class Expected:
    """
    Globs as in `.gitignore`'s longer form: a path must match as a whole; `*`, `?` and `[…]` stay within one name,
    `**` spans any number of folders, a closing `/` or a plain folder's `/**` means all that lies in it.

    They are relative to the folder where the command was started (`prefix`, from the top of the work tree), those
    with a leading `/` to the top.
    """

    def __init__(self, globs: Sequence[str], prefix: str = "") -> None:
        self._globs = [_segments(glob, prefix) for glob in globs]

    def __contains__(self, path: str) -> bool:
        names = path.split("/")
        return any(_matches(names, segments) for segments in self._globs)


def prefix_of(cwd: bytes, top: bytes) -> str:
    """Where `cwd` lies below `top`; nothing when it does not."""
    if not cwd.startswith(top.rstrip(b"/") + b"/"):
        return ""
    return posixpath.relpath(cwd, top).decode("utf-8", "surrogateescape")


def _segments(glob: str, prefix: str) -> list[re.Pattern[str] | None]:
    """One pattern a name; None for `**`."""
    whole = glob.lstrip("/") if glob.startswith("/") else posixpath.join(_literally(prefix), glob)
    if whole.endswith("/"):
        whole += ANY_DEPTH
    names = posixpath.normpath(whole).split("/")
    return [None if name == ANY_DEPTH else re.compile(translate(name)) for name in names]


def _literally(prefix: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", prefix)


def _matches(names: Sequence[str], segments: Sequence[re.Pattern[str] | None]) -> bool:
    """Every way to spread `**` at once: `reached` holds how many names each prefix of the segments can have eaten."""
    reached = {0}
    for segment in segments:
        if segment is None:
            reached = set(range(min(reached), len(names) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(names) and segment.match(names[at])}
        if not reached:
            return False
    return len(names) in reached
