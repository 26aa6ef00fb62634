"""`.dre/serving`: which server has this workspace, as it says itself, locked as long as it lives; empty without one."""

import fcntl
import json
import os

import msgspec

NAME = "serving"
_LARGEST = 4096
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in its place must not hold us up


class Running(msgspec.Struct, frozen=True):
    """A server that was killed leaves this behind, and nothing that is held."""

    pid: int
    url: str


def write(fd: int, running: Running | None) -> None:
    os.ftruncate(fd, 0)
    if running is not None:
        os.pwrite(
            fd, json.dumps(msgspec.to_builtins(running)).encode(), 0
        )  # spaced: scripts pick the address out of it


def read(fd: int) -> Running | None:
    """None also while a server is just starting."""
    try:
        return msgspec.json.decode(os.pread(fd, _LARGEST, 0), type=Running)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError):
        return None


def read_in(dot_dre: str) -> Running | None:
    try:
        fd = os.open(os.path.join(dot_dre, NAME), _READ)
    except OSError:
        return None
    try:
        return read(fd)
    finally:
        os.close(fd)


def is_held(dot_dre: str) -> bool:
    """Whether a server lives, answering or not. Its process's number would not tell: it may be another's by now."""
    try:
        fd = os.open(os.path.join(dot_dre, NAME), _READ)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
