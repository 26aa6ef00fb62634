"""The surroundings of a run: machine, limits, variables, and which tools the command was. Nothing of it is run."""

import os
from collections.abc import Iterable

import msgspec

from dre.capture.fitting import cut_string
from dre.capture.recording import Recording
from dre.capture.redaction import Redactor, replacement
from dre.capture.tools import Tool, find_tools
from dre.domain.events import Text, raw
from dre.shim.secrets import looks_secret

_TOLD = 500
_LIMITS = {0: "cpu", 1: "fsize", 2: "data", 3: "stack", 4: "core", 5: "rss", 6: "nproc", 7: "nofile", 9: "as"}


class Limit(msgspec.Struct, frozen=True):
    """-1 is none."""

    name: str
    soft: int
    hard: int


class Environment(msgspec.Struct, frozen=True, rename="camel"):
    """`environment/environment.json`. Variables are pairs, and only those that are listed as harmless."""

    host: str
    system: str
    boot: str
    uid: int
    umask: str
    limits: tuple[Limit, ...]
    variables: tuple[tuple[Text, Text], ...]
    tools: tuple[Tool, ...]
    git_version: str | None


def observe(recording: Recording, redactor: Redactor, git_version: str | None) -> Environment:
    start, variables = recording.start, dict(recording.environment)
    return Environment(
        host=redactor.words(start.host),
        system=redactor.words(start.system),
        boot=start.boot,
        uid=start.uid,
        umask=start.umask,
        limits=tuple(Limit(_LIMITS.get(which, str(which)), soft, hard) for which, soft, hard in start.limits),
        variables=tuple(
            (redactor.text(os.fsencode(name)), _value(name, value, redactor)) for name, value in recording.environment
        ),
        tools=tuple(find_tools(start.argv, start.cwd, variables, redactor)),
        git_version=git_version,
    )


def told_tools(tools: Iterable[Tool]) -> str:
    """For the metadata of the item: `pytest 8.4.1, python 3.12.4`; a name alone where no file says its version."""
    named = ((os.path.basename(raw(tool.name)).decode("utf-8", "replace"), tool.version) for tool in tools)
    return cut_string(
        ", ".join(dict.fromkeys(f"{name} {version}" if version else name for name, version in named)), _TOLD
    )


def _value(name: str, value: bytes, redactor: Redactor) -> Text:
    """The recorder keeps no such name; if one came here all the same, its value goes no further."""
    if looks_secret(os.fsencode(name)):
        return replacement("name").decode()
    return redactor.text(value)
