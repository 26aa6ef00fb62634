"""The command line: `dre wrap` goes straight to the recorder, everything else is imported only when it runs."""

import sys


def main() -> None:
    words = sys.argv[1:]
    folders = 0  # how many words `-C DIR` takes up in front
    while len(words) > folders + 1 and words[folders] == "-C":
        folders += 2
    if words[folders : folders + 1] == ["wrap"]:
        _enter(words[1:folders:2])
        from dre.shim import recorder

        recorder.main(words[folders + 1 :])
    from dre.cli import commands

    commands.main()


def _enter(folders: list[str]) -> None:
    import os

    for folder in folders:
        try:
            os.chdir(os.fsencode(folder))
        except OSError as error:
            sys.stderr.write(f"dre: -C {folder}: {error.strerror}\n")
            sys.exit(2)
