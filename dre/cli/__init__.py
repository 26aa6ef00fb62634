"""The command line: `dre wrap` goes straight to the recorder, everything else is imported only when it runs."""

import sys

_BEFORE_ANY_COMMAND = {
    "-C": 2,
    "--quiet": 1,
    "--no-color": 1,
}  # options that wrap knows too, and how many words each is


def main() -> None:
    words = sys.argv[1:]
    at = 0
    while at < len(words) and words[at] in _BEFORE_ANY_COMMAND:
        at += _BEFORE_ANY_COMMAND[words[at]]
    if words[at : at + 1] == ["wrap"]:
        from dre.shim import recorder

        recorder.main(words[:at] + words[at + 1 :])
    from dre.cli import commands

    commands.main()
