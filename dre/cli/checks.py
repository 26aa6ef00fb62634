"""What `dre doctor` looks at: one small function a check; what one trips over is its own finding and stops no other."""

import asyncio
import http.client
import os
import shutil
import stat
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, closing, suppress
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from dre.adapters.filesystem import dot_dre, serving_file
from dre.capture.journal import read_recording, this_boot
from dre.capture.recording import NothingRan
from dre.capture.spool import Spools
from dre.cli.asked import Asked
from dre.cli.named_blobs import NamedBlobs
from dre.cli.opened import opened
from dre.composition import Engine, compare_tables, read_settings, state_home
from dre.documentation import words
from dre.domain.ids import short
from dre.errors import DREError, LedgerAltered, LedgerMissing, SpoolRefused
from dre.ledger.audit import Trail

PATIENCE_S = 2.0
"""A doctor does not keep anybody waiting; `dre ledger verify` reads everything."""
_LITTLE_ROOM, _NO_ROOM = 1 << 30, 64 << 20
_GIT_PATIENCE_S = 10
_MOST_COMPARED = 20_000
_LARGEST_HEALTH = 4096
_REBUILD = "dre projections rebuild makes them anew"
_HISTORY_FIRST = "mend the history first: made anew from it, they would say what it says now"


class Finding(msgspec.Struct, frozen=True):
    """`state`: `ok`, `note` (worth knowing) or `FAIL` (needed, and broken). `hint`: what to do."""

    state: Literal["ok", "note", "FAIL"]
    what: str
    text: str
    hint: str | None = None


class _Health(msgspec.Struct):
    status: Literal["ok", "degraded", "down"]


_STATES: Mapping[str, Literal["ok", "note", "FAIL"]] = {"ok": "ok", "degraded": "note", "down": "FAIL"}


async def examine(asked: Asked) -> list[Finding]:
    found = [*_configuration(asked), *_state(), *await _git(asked), *_room(asked), *_tracing()]
    quiet = Asked(asked.directory, asked.now_ms)
    quiet.quiet = True  # what it would say beside the answer is the answer here
    try:
        async with opened(quiet, caught_up=False) as engine:
            found[:0] = [finding async for finding in _workspace(engine)]
    except LedgerMissing as error:
        found.insert(0, Finding("note", "recording", error.message, error.hint))
    except DREError as error:
        found.insert(0, Finding("FAIL", "recording", error.message, error.hint))
    return found


async def _workspace(engine: Engine) -> AsyncIterator[Finding]:
    named = NamedBlobs()
    history = await _history(engine, named)
    sound = engine.blocked is None and all(finding.state != "FAIL" for finding in history)
    for finding in (
        *await _recording(engine),
        *history,
        await _evidence(engine, named),
        *await _tables(engine, _REBUILD if sound else _HISTORY_FIRST),
        *_spool(engine),
        await asyncio.to_thread(_server, engine.dot_dre.path),
    ):
        yield finding


async def _recording(engine: Engine) -> list[Finding]:
    events = (await engine.store.head()).size
    if engine.blocked is not None:
        return [Finding("FAIL", "recording", engine.blocked.message, engine.blocked.hint)]
    size = words.size(await asyncio.to_thread(_size, engine.dot_dre.path))
    notes = [Finding("note", "recording", note) for note in engine.notes]
    return [Finding("ok", "recording", f"{engine.dot_dre.path}, {words.counted(events, 'event')}, {size}"), *notes]


async def _history(engine: Engine, named: NamedBlobs) -> list[Finding]:
    """As far as two seconds go; which blobs it names is noted on the way."""
    began = time.monotonic()
    trail, head = Trail(), await engine.store.head()
    wrong = []
    try:
        async with aclosing(engine.store.read(-1, head.size)) as pages:  # type: ignore[type-var]  # an async generator
            async for page in pages:
                wrong += [finding for stored in page for finding in trail.follow(stored)]
                named.note(page)
                if time.monotonic() - began > PATIENCE_S:
                    break
    except LedgerAltered as error:
        return [_altered(error.position, error.message)]
    if not wrong and trail.size >= head.size:
        wrong = trail.close(head)
    if wrong:
        return [_altered(wrong[0].position, wrong[0].detail)]
    if head.size == 0:
        return [Finding("note", "history", "there is none: nothing could be verified")]
    took = words.length(int((time.monotonic() - began) * 1e6))
    whole = trail.size >= head.size
    text = f"verified {trail.size:,} of {head.size:,} in {took}"
    return [Finding("ok" if whole else "note", "history", text, None if whole else "dre ledger verify reads all of it")]


async def _evidence(engine: Engine, named: NamedBlobs) -> Finding:
    """Whether it is there: reading it again takes as long as there is much of it."""
    if not named.sizes:
        return Finding("ok", "evidence", "the history names none")
    looked_at, wrong = await named.compare(engine.blobs, PATIENCE_S)
    if wrong:
        more = f"; and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
        return Finding("FAIL", "evidence", wrong[0] + more, "dre ledger verify; then restore what is wrong from a copy")
    if looked_at < len(named.sizes):
        text = f"{looked_at:,} of {words.counted(len(named.sizes), 'blob')} there, as long as recorded"
        return Finding("note", "evidence", text, "dre ledger verify reads all of it")
    text = f"{words.counted(looked_at, 'blob')} there, as long as recorded; not read again (dre ledger verify)"
    return Finding("ok", "evidence", text)


async def _tables(engine: Engine, mend: str) -> list[Finding]:
    try:
        parked = await engine.following.catch_up()
    except DREError as error:
        return [Finding("FAIL", "tables", error.message, error.hint or mend)]
    size = (await engine.store.head()).size
    if not parked:
        return [await _compared(engine, size, mend)]
    return [
        Finding("FAIL", f"tables {stuck.name}", f"stuck at event {stuck.position}: {stuck.error}", "dre ledger verify")
        for stuck in parked
    ]


async def _compared(engine: Engine, size: int, mend: str) -> Finding:
    """Tables are a cache that anybody with a hand on the file could edit; history is asked again."""
    if size > _MOST_COMPARED:
        text = f"up to event {size - 1:,}; not held against so long a history"
        return Finding("note", "tables", text, mend)
    if altered := await compare_tables(engine):
        text = f"{', '.join(altered)}: not what history says"
        return Finding("FAIL", "tables", text, mend)
    return Finding("ok", "tables", f"up to event {size - 1}, as history makes them")


def _server(dot_dre: str) -> Finding:
    """What the server of this workspace says of itself; one that was killed has left its address behind."""
    running = serving_file.read_in(dot_dre)
    if running is None:
        return Finding("ok", "server", "none runs for this workspace")
    where = f"{running.url} (process {running.pid})"
    state = _health(running.url)
    if state is not None:
        hint = None if state == "ok" else f"{running.url}/api/v1/health/detailed names the part that is not well"
        return Finding(_STATES[state], "server", f"{where} says that it is {state}", hint)
    if serving_file.is_held(dot_dre):
        return Finding("FAIL", "server", f"{where} does not answer", f"end process {running.pid}; then dre serve")
    return Finding("note", "server", f"{where} is gone, and was not ended in order", "dre serve starts another")


def _health(url: str) -> str | None:
    """None where nobody answers as a DRE server does."""
    place = urlsplit(url)
    try:
        asking = http.client.HTTPConnection(place.hostname or "", place.port, timeout=PATIENCE_S)
        with closing(asking):
            asking.request("GET", "/api/v1/health")
            return msgspec.json.decode(asking.getresponse().read(_LARGEST_HEALTH), type=_Health).status
    except (OSError, http.client.HTTPException, ValueError, msgspec.MsgspecError):
        return None


def _spool(engine: Engine) -> list[Finding]:
    if not os.path.isdir(engine.dot_dre.spools):
        return [Finding("ok", "spool", "empty")]
    found: list[Finding] = []
    waiting = 0
    with closing(Spools(engine.dot_dre.spools)) as spools:
        for id in spools.ids():
            try:
                spool = spools.open(id)
                if spool is None:
                    continue
                with closing(spool), suppress(NothingRan):
                    read_recording(spool, this_boot())
                    waiting += 1
            except SpoolRefused as error:
                found.append(Finding("FAIL", f"spool {short(id)}", error.message, error.hint))
    said = f"{words.counted(waiting, 'recording')} waiting or still running" if waiting else "nothing waits"
    return [*found, Finding("ok", "spool", said)]


def _configuration(asked: Asked) -> list[Finding]:
    try:
        settings = read_settings(asked.directory, os.environ)
    except DREError as error:
        return [Finding("FAIL", "configuration", error.message, error.hint or "dre config validate")]
    given = [f"{name} ({source})" for name, source in settings.sources.items() if source != "default"]
    return [Finding("ok", "configuration", ", ".join(given) or "defaults")]


def _state() -> list[Finding]:
    """Where this machine remembers what it has seen."""
    home = state_home(os.environ)
    try:
        found = os.stat(home)
    except FileNotFoundError:
        return [Finding("note", "memory", f"{home} is not there yet: nothing was ever recorded from this account")]
    except OSError as error:
        return [Finding("FAIL", "memory", f"{home}: {error.strerror}", "check who owns it")]
    if found.st_uid != os.geteuid():
        return [Finding("FAIL", "memory", f"{home} belongs to user {found.st_uid}", "it has to be yours")]
    if stat.S_IMODE(found.st_mode) & 0o077:
        return [Finding("FAIL", "memory", f"{home} is open to others", f"chmod 700 {home}")]
    if not os.access(home, os.W_OK):
        return [Finding("FAIL", "memory", f"{home} cannot be written", "a head that is not kept protects nothing")]
    return [Finding("ok", "memory", home)]


async def _git(asked: Asked) -> list[Finding]:
    if shutil.which("git") is None:
        return [Finding("note", "git", "not installed: the work tree is not seen", "install git")]
    began = time.monotonic()
    version = await _asked_git(asked.directory, "version")
    tree = await _asked_git(asked.directory, "rev-parse", "--is-inside-work-tree")
    if tree != "true":
        return [Finding("note", "git", f"{_short_version(version)}; no work tree here: changes are not seen")]
    took = words.length(int((time.monotonic() - began) * 1e6))
    missing = dot_dre.find(asked.directory) is None
    return [Finding("ok", "git", f"{_short_version(version)}, answers in {took}" + ", no .dre yet" * missing)]


async def _asked_git(folder: str, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    words_ = ("git", "-c", "core.fsmonitor=false", "-C", folder, *arguments)
    asked = await asyncio.create_subprocess_exec(*words_, stdout=pipe, stderr=nothing, stdin=nothing, env=environment)
    try:
        answer, _ = await asyncio.wait_for(asked.communicate(), _GIT_PATIENCE_S)
    except TimeoutError:
        asked.kill()
        await asked.wait()
        return ""
    return answer.decode(errors="replace").strip()


def _short_version(answer: str) -> str:
    return answer.removeprefix("git version ") or "does not answer"


def _room(asked: Asked) -> list[Finding]:
    try:
        file_system = os.statvfs(dot_dre.find(asked.directory) or asked.directory)
    except OSError as error:
        return [Finding("FAIL", "disk", f"{asked.directory}: {error.strerror}")]
    free = file_system.f_bavail * file_system.f_frsize
    if file_system.f_flag & os.ST_RDONLY:
        return [Finding("FAIL", "disk", "mounted read-only: nothing can be recorded here")]
    if free < _NO_ROOM:
        return [Finding("FAIL", "disk", f"{words.size(free)} free", "make room: recordings are cut off")]
    return [Finding("note" if free < _LITTLE_ROOM else "ok", "disk", f"{words.size(free)} free")]


def _tracing() -> Iterator[Finding]:
    """No tracer exists yet; what this machine would allow one is worth knowing."""
    ptrace = _first_line("/proc/sys/kernel/yama/ptrace_scope") in ("", "0", "1")
    seccomp = os.path.exists("/proc/sys/kernel/seccomp/actions_avail")
    allowed = ", ".join(
        f"{name} {'allowed' if granted else 'not allowed'}"
        for name, granted in (("ptrace", ptrace), ("seccomp", seccomp))
    )
    yield Finding("note", "tracing", f"not attempted; {allowed}")


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except OSError:
        return ""


def _altered(position: int | None, detail: str) -> Finding:
    where = "" if position is None else f"event {position}: "
    return Finding("FAIL", "history", where + detail, "dre ledger verify; then restore what is wrong from a copy")


def _size(folder: str) -> int:
    total = 0
    for inner, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(inner, name)).st_size
    return total
