"""The command line: `dre wrap` goes straight to the recorder, everything else is imported only when it runs."""

import os
import sys

_BEFORE_ANY_COMMAND = {
    "-C": 2,
    "--quiet": 1,
    "--no-color": 1,
}  # options that wrap knows too, and how many words each is

_CUT_OFF = (EOFError, ValueError, TypeError)  # what Python says of bytecode that ends too early


def main() -> None:
    _forget_the_callers_modules()
    words = sys.argv[1:]
    at = 0
    while at < len(words) and words[at] in _BEFORE_ANY_COMMAND:
        at += _BEFORE_ANY_COMMAND[words[at]]
    if words[at : at + 1] == ["wrap"]:
        try:
            from dre.shim import recorder
        except _CUT_OFF:
            _forget_bytecode()
            from dre.shim import recorder

        recorder.main(words[:at] + words[at + 1 :])
    from dre.cli import commands

    commands.main()


def _forget_bytecode() -> None:
    """A full disk cut it off. It is a cache: deleted, it is made anew, and where that is not allowed it is not read."""
    import contextlib

    for folder, _, names in os.walk(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))):
        for name in names if folder.endswith("__pycache__") else ():
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))
    sys.pycache_prefix = os.devnull


def _forget_the_callers_modules() -> None:
    """
    PYTHONPATH is meant for the command. With a work tree's own `src` in front, a module of the same name there would
    run in our place: by accident, or because whoever wrote the repository wanted that.
    """
    given = os.environ.get("PYTHONPATH")
    if given:
        ours = {
            os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
            os.path.dirname(os.__file__),
        }
        foreign = {os.path.abspath(entry) for entry in given.split(os.pathsep)} - ours
        sys.path[:] = [entry for entry in sys.path if entry not in foreign or entry.endswith("-packages")]
