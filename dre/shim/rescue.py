"""Rescue: a recording that was deleted or replaced while its command ran, written again from what is still held."""

import os

from dre.shim.home import Home
from dre.shim.spool import Spool

ASIDE = b".replaced-"


def rescue(spool: Spool, needles: bytes) -> None:
    """
    The files live as long as their descriptors, whatever became of their names. Raises OSError, and Untrusted where
    something else has taken the place of the `.dre/`.
    """
    home = _home_of(spool)
    if os.path.lexists(spool.path):  # not ours: of no use to a reader, but somebody may want to know what it is
        os.rename(spool.path, os.path.join(spool.root, b"spool", ASIDE + spool.id.encode()))
    spool.write_again(home, needles)


def _home_of(spool: Spool) -> Home:
    try:
        if os.path.samestat(os.stat(os.path.join(spool.root, b"spool")), os.fstat(spool.home.spools)):
            return spool.home
    except FileNotFoundError:
        pass
    try:
        os.mkdir(spool.root, 0o700)  # else one further up would be taken for it
    except FileExistsError:
        pass
    return Home(os.path.dirname(spool.root))
