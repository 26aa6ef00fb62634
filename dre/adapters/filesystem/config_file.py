"""A configuration file with one value changed: whole or not at all, and yours alone to read."""

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

from dre.errors import ConfigurationError, StoreBusy, StoreFull

FILE_NAME = "config.json"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PATIENCE_S, _RETRY_S = 10.0, 0.01
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """
    Of two who change a file at once, the second sees what the first has written. Makes the folder.

    Raises StoreBusy when somebody else is not done within ten seconds.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(fd, folder)
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def prepared(folder: str, name: str, value: Any) -> Iterator[None]:
    """
    The file with `name` set to `value` (None: taken out) lies ready on the disk while the caller records the change,
    and takes its place when that went well.
    """
    with replaced(folder, _changed(_read(os.path.join(folder, FILE_NAME)), name, value)):
        yield


@contextlib.contextmanager
def replaced(folder: str, tree: Mapping[str, Any]) -> Iterator[None]:
    """The same for a file as a whole. Raises StoreFull, and ConfigurationError where it cannot be written."""
    path = os.path.join(folder, FILE_NAME)
    fresh = f"{path}.{uuid4()}"
    try:
        with _trouble_named(path):
            _check_place(path)
            _write(fresh, json.dumps(tree, indent=2, ensure_ascii=False) + "\n")
        yield
        with _trouble_named(path):
            os.replace(fresh, path)
            _sync(folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)


def _lock(fd: int, folder: str) -> None:
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise StoreBusy(f"{folder}: another process held it for too long", hint="try again") from None
            time.sleep(_RETRY_S)
        else:
            return


@contextlib.contextmanager
def _trouble_named(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StoreFull(f"{path}: no room on the disk") from error
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


def _check_place(path: str) -> None:
    """Before the change is recorded: a file takes any other file's place, a link's too, but never a folder's."""
    if os.path.isdir(path) and not os.path.islink(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _read(path: str) -> dict[str, Any]:
    """It was found to be right when the settings were read."""
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except FileNotFoundError:
        return {}


def _changed(tree: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    section, _, field = name.partition(".")
    fields = {key: kept for key, kept in tree.get(section, {}).items() if key != field}
    if value is not None:
        fields[field] = value
    return {**{key: kept for key, kept in tree.items() if key != section}, **({section: fields} if fields else {})}


def _write(path: str, text: str) -> None:
    with os.fdopen(os.open(path, _NEW, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
