"""A run without a record: the command matters more than its recording, unless the caller said otherwise."""

import errno
import os

from dre.shim import command, voice
from dre.shim.ingest import INCONCLUSIVE
from dre.shim.options import Options
from dre.shim.signals import undo_python

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn
else:
    import _signal

REFUSED = 125


def run_unrecorded(options: Options, reason: Exception) -> "NoReturn":
    voice.say(b"not recorded: " + in_words(reason))
    if options.strict:
        os._exit(REFUSED)
    if options.then == "gate":
        _wait_for_it(options)
    _become(options)


def _become(options: Options) -> "NoReturn":
    undo_python()
    try:
        command.execute(options.argv)
    except OSError as error:
        os._exit(command.explain(options.argv, error.errno or errno.EINVAL))


def _wait_for_it(options: Options) -> None:
    """A gate must not open for what nobody saw. Returns only when there is no second process to be had."""
    try:
        pid = os.fork()
    except OSError:
        return
    if pid == 0:
        _become(options)
    for signo in (_signal.SIGINT, _signal.SIGQUIT):  # keys are for the command, as in system(3)
        _signal.signal(signo, _signal.SIG_IGN)
    status = os.waitpid(pid, 0)[1]
    if status == 0:
        os._exit(INCONCLUSIVE)
    command.end_as(status)


def in_words(reason: Exception) -> bytes:
    if isinstance(reason, OSError) and reason.strerror:
        place = reason.filename if isinstance(reason.filename, bytes) else os.fsencode(str(reason.filename or ""))
        return (place + b": " if place else b"") + reason.strerror.encode()
    return os.fsencode(str(reason)) or type(reason).__name__.encode()
