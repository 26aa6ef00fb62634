"""A server that is asked instead of the workspace here: where it is, and which token it wants to be shown."""

import os
from collections.abc import Callable
from urllib.parse import urlsplit

from dre.adapters.filesystem import dot_dre, serving_file
from dre.cli.asked import Asked
from dre.client import Client
from dre.composition import find_workspace
from dre.errors import ServerUnreachable, UsageError

HERE = "."
"""In place of an address: the server of the workspace here."""

_LONGEST_TOKEN = 4096
_NOT_PLACES = frozenset("?#@")
"""A question, a place on a page, who asks: the client adds paths and questions of its own, and shows the token."""


def client(asked: Asked, url: str, token_file: str | None) -> Client:
    """
    Raises UsageError for an address that is none, or where no file is named and none lies here; of the server here
    ServerUnreachable where there is none, and what a `.dre/` is refused for.
    """
    if url == HERE:
        serving = _serving_here(asked)
        serving()
        return Client(serving, _reading(token_file) if token_file is not None else _reading_here(asked))
    if not _is_address(url):
        shown = url.rpartition("@")[2]  # what stands before it may be a password, and whoever is told may write it down
        raise UsageError(
            f"--server {shown}: no address of a server",
            hint="the first line that dre serve prints; --server alone asks the server of the workspace here",
        )
    return Client(url, _reading(token_file) if token_file is not None else _reading_here(asked))


def _is_address(url: str) -> bool:
    try:
        place = urlsplit(url)
        is_one = place.scheme in ("http", "https") and bool(place.hostname) and place.port != 0
    except ValueError:  # brackets that are not closed, a port that is none
        return False
    return is_one and place.path in ("", "/") and not set(url) & _NOT_PLACES


def _serving_here(asked: Asked) -> Callable[[], str]:
    """Looked up for each connection: a server that is started anew may have another port. Of our own `.dre/` alone."""
    path = find_workspace(asked.directory, os.environ).path

    def look() -> str:
        found = serving_file.read_in(path)
        if found is None:
            raise ServerUnreachable(f"no server runs for {path}", hint="dre serve starts one")
        if not serving_file.is_held(path):
            raise ServerUnreachable(
                f"the server of {path} does not run any more, and was not ended in order",
                hint="dre serve starts another",
            )
        return found.url

    return look


def _reading_here(asked: Asked) -> Callable[[], str]:
    found = dot_dre.find(asked.directory)
    if found is None:
        raise UsageError("no .dre here to read the token from", hint="--token-file PATH says where it lies")
    return _reading(os.path.join(found, "token"), os.O_NOFOLLOW)


def _reading(path: str, flags: int = 0) -> Callable[[], str]:
    """Read for each connection: a server that is started anew has a new one."""

    def read() -> str:
        try:
            with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags), "rb") as file:
                token = file.read(_LONGEST_TOKEN).strip()
        except OSError as error:
            raise ServerUnreachable(
                f"the token cannot be read: {path}: {error.strerror}",
                hint="dre serve writes it while it runs; --token-file PATH names another",
            ) from None
        if not (token.isascii() and token.decode("ascii", "replace").isprintable()) or not token or b" " in token:
            raise UsageError(f"{path} holds no token")
        return token.decode()

    return read
