"""The words after `dre wrap`: what is asked of the recorder, and then the command itself."""

import os

_FLAGS = ("--wait", "--verify", "--gate", "--strict", "--no-workspace", "--quiet", "--no-color")
_VALUED = ("-C", "--timeout", "--label", "--writes", "--id-file")
_UNITS = {"s": 1, "m": 60, "h": 3600}
_DIGITS = frozenset("0123456789.")
_LONGEST_S = 366 * 24 * 3600


class NotUnderstood(Exception):
    """What was asked for makes no sense, so nothing is run."""


class HelpWanted(Exception):
    """The caller asks what may be asked."""


class Options:
    """Everything has its final type here; the command's words stay bytes, whatever they are."""

    def __init__(self, words: list[str]) -> None:
        self.workspace, self.strict, self.quiet, self.color = True, False, False, True
        self.then = ""  # how to wait for ingest: "", "wait", "verify" or "gate"
        self.timeout_us = 0
        self.labels: list[bytes] = []
        self.writes: list[bytes] = []
        self.id_file: bytes | None = None
        self.folders: list[bytes] = []  # where to go first, one after the other
        self.argv = [os.fsencode(word) for word in self._take_options(words)]
        if not self.argv:
            raise NotUnderstood("no command to run (dre wrap [OPTIONS] COMMAND [ARGS...])")

    def _take_options(self, words: list[str]) -> list[str]:
        """Up to the first word that is no option; returns the rest."""
        at = 0
        while at < len(words) and words[at].startswith("-") and words[at] != "-":
            name, with_value, value = words[at].partition("=")
            at += 1
            if name == "--" and not with_value:
                break
            if name in _VALUED:
                if not with_value:
                    if at == len(words):
                        raise NotUnderstood(f"{name} needs a value")
                    value, at = words[at], at + 1
                self._take_value(name, value)
            elif with_value and name in _FLAGS:
                raise NotUnderstood(f"{name} takes no value")
            else:
                self._take_flag(words[at - 1])
        return words[at:]

    def _take_flag(self, name: str) -> None:
        if name in ("-h", "--help"):
            raise HelpWanted
        if name not in _FLAGS:
            raise NotUnderstood(f"there is no option {name} (a command whose name begins with - goes after --)")
        if name in ("--wait", "--verify", "--gate"):  # each does what those before it do
            self.then = max(self.then, name[2:], key=("", "wait", "verify", "gate").index)
        elif name == "--no-workspace":
            self.workspace = False
        elif name == "--no-color":
            self.color = False
        elif name == "--strict":
            self.strict = True
        else:
            self.quiet = True

    def _take_value(self, name: str, value: str) -> None:
        if not value:
            raise NotUnderstood(f"{name} needs a value")
        if name == "--timeout":
            self.timeout_us = _length_of_time(value)
        elif name == "-C":
            self.folders.append(os.fsencode(value))
        elif name == "--writes":
            self.writes.append(os.fsencode(value))
        elif name == "--id-file":
            self.id_file = os.fsencode(value)
        elif value.find("=") < 1:
            raise NotUnderstood(f'--label: "{value}" is not NAME=VALUE')
        else:
            self.labels.append(os.fsencode(value))


def _length_of_time(text: str) -> int:
    """In microseconds: 90, 90s, 1.5m, 1h."""
    number, unit = (text[:-1], _UNITS[text[-1]]) if text[-1] in _UNITS else (text, 1)
    if not _DIGITS.issuperset(number) or number.count(".") > 1 or number in ("", "."):
        raise NotUnderstood(f'--timeout: "{text}" is not a length of time (try 90, 90s, 5m, 1h)')
    seconds = float(number) * unit
    if not 0 < seconds <= _LONGEST_S:
        raise NotUnderstood(f'--timeout: "{text}" is not between a moment and a year')
    return max(1, round(seconds * 1_000_000))
