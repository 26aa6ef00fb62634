"""A configuration file with one value changed: whole or not at all, and yours alone to read."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

FILE_NAME = "config.json"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Of two who change a file at once, the second sees what the first has written. Makes the folder."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
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
    """The same for a file as a whole."""
    path = os.path.join(folder, FILE_NAME)
    fresh = f"{path}.{uuid4()}"
    try:
        _write(fresh, json.dumps(tree, indent=2, ensure_ascii=False) + "\n")
        yield
        os.replace(fresh, path)
        _sync(folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)


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
