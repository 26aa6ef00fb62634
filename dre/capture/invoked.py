"""Invoked: what a command evidently goes through, read from its own words: shells, runners, `python -m`."""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

MOST = 16
_DEEPEST = 4
_LONGEST_SCRIPT = 16 << 10
_SHELLS = frozenset((b"sh", b"bash", b"dash", b"ash", b"zsh", b"ksh", b"mksh"))
_PYTHON = re.compile(rb"python(\d(\.\d+)?)?")
_ASSIGNMENT = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*\+?=")
_BEFORE_A_COMMAND = frozenset(
    (b"if", b"then", b"else", b"elif", b"do", b"while", b"until", b"!", b"{", b"exec", b"time")
)
# What a shell does itself, and words behind which no command stands.
_NOT_A_FILE = frozenset(
    b". : [ [[ alias bg break builtin case cd command continue declare done echo esac eval exit export false fg fi for "
    b"function getopts hash in jobs kill let local popd printf pushd pwd read readonly return select set shift shopt "
    b"source test times trap true type typeset ulimit umask unalias unset wait }".split()
)
Runner = Literal["", "node", "python"]
_Words = Sequence[bytes]


class _Run(msgspec.Struct, frozen=True):
    """How a runner is told what to run: which words come first, and which options take no value."""

    first: tuple[bytes, ...]
    of: Runner
    flags: frozenset[bytes]


_QUIET = (b"-q", b"--quiet", b"-v", b"--verbose", b"-s", b"--silent", b"--")
_UV = frozenset(
    (*_QUIET, b"--frozen", b"--locked", b"--no-sync", b"--offline", b"--active", b"--all-extras", b"--no-dev")
)
_NPX = frozenset((*_QUIET, b"-y", b"--yes", b"--no", b"--no-install", b"--offline"))
_RUNNERS: dict[bytes, _Run] = {
    b"npx": _Run((), "node", _NPX),
    b"bunx": _Run((), "node", _NPX),
    b"npm": _Run((b"exec",), "node", _NPX),
    b"pnpm": _Run((b"exec",), "node", _NPX),
    b"yarn": _Run((b"exec",), "node", _NPX),
    b"uv": _Run((b"run",), "python", _UV),
    b"poetry": _Run((b"run",), "python", frozenset(_QUIET)),
    b"pdm": _Run((b"run",), "python", frozenset(_QUIET)),
    b"pipenv": _Run((b"run",), "python", frozenset(_QUIET)),
    b"env": _Run((), "", frozenset((b"-", b"-i", b"-v", b"--ignore-environment", b"--"))),
    b"nohup": _Run((), "", frozenset((b"--",))),
    b"setsid": _Run((), "", frozenset((b"-w", b"--wait", b"-c", b"-f", b"--"))),
    b"time": _Run((), "", frozenset((b"-p", b"-v", b"--"))),
}


class Invoked(msgspec.Struct, frozen=True):
    """A word that names a program, or with `module` what that Python runs. `by`: who looks in places of its own."""

    word: bytes
    by: Runner = ""
    module: bytes = b""


def invoked(argv: _Words) -> list[Invoked]:
    """The command's own word, then as far as the words are plain; a shell's variables, say, are not."""
    found: dict[Invoked, None] = {}
    for one in _follow(argv, "", _DEEPEST):
        found.setdefault(one)
        if len(found) == MOST:
            break
    return list(found)


def _follow(words: _Words, by: Runner, deeper: int) -> Iterator[Invoked]:
    if not words:
        return
    yield Invoked(words[0], by)
    name = os.path.basename(words[0])
    if _PYTHON.fullmatch(name) and (module := _module(words)):
        yield Invoked(words[0], by, module)
    if deeper:
        for inner, inner_by in _inside(name, words):
            yield from _follow(inner, inner_by or by, deeper - 1)


def _inside(name: bytes, words: _Words) -> Iterator[tuple[_Words, Runner]]:
    if name in _SHELLS:
        yield from ((command, "") for command in _commands(_script(words)))
    elif name in _RUNNERS:
        run = _RUNNERS[name]
        if tuple(words[1 : 1 + len(run.first)]) == run.first:
            yield _behind(words[1 + len(run.first) :], run.flags), run.of


def _behind(words: _Words, flags: frozenset[bytes]) -> _Words:
    """From the first word that is neither option nor assignment; nothing behind an option that may take a value."""
    for at, word in enumerate(words):
        if word.startswith(b"-") and word not in flags and not (word.startswith(b"--") and b"=" in word):
            return ()
        if not word.startswith(b"-") and not _ASSIGNMENT.match(word):
            return words[at:]
    return ()


def _module(words: _Words) -> bytes:
    """Behind `-m`, alone or at the end of other letters; nothing where a script or `-c` comes first."""
    rest = iter(words[1:])
    for word in rest:
        if not word.startswith(b"-") or word.startswith(b"--") or word == b"-":
            return b""
        for at in range(1, len(word)):
            letter, value = word[at : at + 1], word[at + 1 :]
            if letter == b"m":
                return value or next(rest, b"")
            if letter == b"c":
                return b""
            if letter in (b"W", b"X"):
                if not value:
                    next(rest, None)
                break
    return b""


def _script(words: _Words) -> bytes:
    """What stands behind a shell's `-c`."""
    rest, asked = iter(words[1:]), False
    for word in rest:
        if word[:1] not in (b"-", b"+") or word in (b"-", b"--"):
            return (word if word not in (b"-", b"--") else next(rest, b"")) if asked else b""
        asked = asked or (word.startswith(b"-") and not word.startswith(b"--") and b"c" in word)
        if word.endswith(b"o") and not word.startswith(b"--"):  # `-euo pipefail`
            next(rest, None)
    return b""


def _commands(script: bytes) -> Iterator[_Words]:
    """Its simple commands, line by line, up to where reading it would take a shell."""
    if len(script) > _LONGEST_SCRIPT:
        return
    for line in script.replace(b"\\\n", b" ").split(b"\n"):
        lexer = shlex.shlex(os.fsdecode(line), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            tokens = [os.fsencode(token) for token in lexer]
        except ValueError:  # a quotation that goes on in the next line
            return
        yield from _simple(tokens)
        if b"<<" in line:  # what follows is text
            return


def _simple(tokens: _Words) -> Iterator[_Words]:
    command: list[bytes] = []
    redirected = False
    for token in (*tokens, b";"):
        if not token.strip(b"();<>|&"):
            redirected = bool(token.strip(b"();|&"))
            if not redirected:
                yield from _plain(command)
                command = []
        elif redirected:
            redirected = False  # the name of a file
        else:
            command.append(token)


def _plain(command: _Words) -> Iterator[_Words]:
    """Without what may stand before it; nothing for what the shell does itself, or makes up as it goes."""
    at = 0
    while at < len(command) and (command[at] in _BEFORE_A_COMMAND or _ASSIGNMENT.match(command[at])):
        at += 1
    rest = command[at:]
    if rest and rest[0] not in _NOT_A_FILE and not any(sign in rest[0] for sign in (b"$", b"`", b"*", b"?")):
        yield rest
