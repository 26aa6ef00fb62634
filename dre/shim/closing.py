"""The closing line: on a terminal, and there alone, one dim line says that it was captured and where to look."""

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

DIM, PLAIN = "\x1b[2m", "\x1b[0m"
TIMED_OUT = errno.ETIMEDOUT


def line(shown_id: str, status: int, failure: int, elapsed_ns: int, *, color: bool) -> bytes:
    outcome = _outcome(status, failure)
    dot = "·" if _speaks_utf8() else "-"
    text = f"dre  captured {shown_id}  {outcome} {_length(elapsed_ns)}  {dot}  dre show {shown_id}"
    if color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in (None, "", "dumb"):
        text = DIM + text + PLAIN
    return text.encode() + b"\n"


def unfinished(tail: bytes) -> bool:
    """Whether the terminal's last line still waits for its end; unknown behind an escape sequence, so no."""
    last = tail.rpartition(b"\n")[2].strip(b"\r")
    return bool(last) and b"\x1b" not in last


def _outcome(status: int, failure: int) -> str:
    if failure == TIMED_OUT:
        return "timed out after"
    if status < 0:
        return "interrupted after"
    if os.WIFSIGNALED(status):
        return f"ended by {_name(os.WTERMSIG(status))} after"
    code = os.WEXITSTATUS(status)
    return f"failed (exit {code}) in" if code else "succeeded in"


def _name(signo: int) -> str:
    for name, value in vars(_signal).items():
        if value == signo and name.startswith("SIG") and name[3] != "_":
            return name
    return f"signal {signo}"


def _length(elapsed_ns: int) -> str:
    milliseconds = elapsed_ns // 1_000_000
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = milliseconds // 60_000
    if minutes < 60:
        return f"{minutes} min {milliseconds // 1000 % 60} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _speaks_utf8() -> bool:
    """As the caller set it: in the C locale Python writes LC_CTYPE=C.UTF-8 into its own environment (PEP 538)."""
    with open("/proc/self/environ", "rb") as environment:
        given = dict(item.partition(b"=")[::2] for item in environment.read().split(b"\0"))
    for name in (b"LC_ALL", b"LC_CTYPE", b"LANG"):
        if given.get(name):
            return b"UTF-8" in given[name].upper().replace(b"UTF8", b"UTF-8")
    return False
