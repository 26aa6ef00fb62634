"""`dre verify`: is this operation what was recorded, and is it to be believed?"""

import time
from collections.abc import Sequence
from uuid import UUID

import click
import msgspec

from dre.capture.spool import newer_than
from dre.cli.asked import Asked
from dre.cli.command import command as a_command
from dre.cli.completion import OPERATION
from dre.cli.opened import opened, run
from dre.cli.operation_screen import headline, labelled, not_seen, why
from dre.cli.screen import Mark, Screen
from dre.cli.verdicts import STATUS
from dre.cli.which import LAST, find_operation
from dre.composition import Engine
from dre.documentation import telling, words
from dre.documentation.findings import findings
from dre.domain.ids import short, uuid7
from dre.errors import LedgerAltered, LedgerBehind, SpoolRefused
from dre.ledger.audit import audit
from dre.projections.operation_detail import OperationDetail
from dre.verification.follower import is_outdated, judge_again, request
from dre.verification.intact import Altered, Examined, examine

ALTERED, UNKNOWN = 1, 3


@a_command(
    "verify",
    short_help="is this operation intact, and is it to be believed?",
    examples=["dre verify", "dre verify 7Q2K", "dre verify last && ./deploy.sh", "dre verify 7Q2K --again"],
)
@click.argument("operation", metavar="[ID|last|-]", default=LAST, type=OPERATION)
@click.option("--again", is_flag=True, help="Have it judged anew, as when evidence was put back from a copy.")
@click.pass_obj
def command(asked: Asked, operation: str, again: bool) -> int:  # noqa: FBT001 - click's form
    """
    First whether the events and the evidence of one operation are what was recorded, then what the verifiers conclude.
    What they concluded once is kept; with --again a new verdict is added to it, if nothing was altered.

    Exit status: 0 intact and passed, 1 altered or failed, 3 inconclusive or not judged.
    """
    return run(_verify(asked, operation, again=again))


async def _verify(asked: Asked, operation: str, *, again: bool) -> int:
    async with opened(asked, to_append=again) as engine:
        id = await find_operation(operation, engine.tables, now_ms=asked.now_ms)
        if operation == LAST:
            _check_newest(engine, id)
        examined = await _examine(engine, id)
        due = _is_old(examined.detail) or (again and examined.detail.late_output is not None)
        if due and not examined.altered and engine.blocked is None:
            await _judge(engine, id, again=again)
            examined = await _examine(engine, id)
        if asked.json:
            asked.answer(msgspec.json.encode(_as_json(examined)))
        else:
            await _say(asked, engine, examined)
        return ALTERED if isinstance(engine.blocked, LedgerBehind) else status_of(examined)


def _check_newest(engine: Engine, id: UUID) -> None:
    """
    What ran last may not be in the history: its recording was spoiled, or may not be appended now. The one before it
    does not answer for it. Raises SpoolRefused.
    """
    waiting = newer_than(engine.dot_dre.spools, id)
    if waiting:
        raise SpoolRefused(
            f"{short(waiting[-1])} ran last, and it is not recorded; {short(id)} is only the newest that is",
            hint=f"dre doctor says why; dre verify {short(id)} asks about that one",
        )


async def _judge(engine: Engine, id: UUID, *, again: bool) -> None:
    if again:
        new = uuid7(time.time_ns() // 1_000_000)
        await request(engine.store, engine.appender, actor=engine.actor, id=new, operation_id=id)
    else:
        await judge_again(engine.store, engine.appender, engine.blobs, actor=engine.actor, operation_id=id)
    await engine.following.catch_up()


async def _examine(engine: Engine, id: UUID) -> Examined:
    return await examine(engine.store, engine.tables, engine.blobs, engine.ledger_id, id)


def status_of(examined: Examined) -> int:
    if examined.altered:
        return ALTERED
    verdict = examined.detail.verdict
    return STATUS[verdict.result] if verdict else UNKNOWN


def _is_old(detail: OperationDetail) -> bool:
    """Judged by nobody although all evidence is in, or by other verifiers than would judge today."""
    if detail.verdict is None:
        return detail.late_output is not None
    return is_outdated(judged.verifier for judged in detail.verdict.judged)


def _as_json(examined: Examined) -> dict[str, object]:
    return {
        "id": examined.detail.id,
        "intact": not examined.altered,
        "altered": examined.altered,
        "events": examined.events,
        "items": examined.items,
        "verdict": examined.detail.verdict,
        "assurance": "local",
    }


async def _say(asked: Asked, engine: Engine, examined: Examined) -> None:
    screen, detail = asked.screen(), examined.detail
    if examined.altered:
        _say_altered(screen, detail, examined.altered, await _intact_up_to(engine))
        return
    headline(screen, detail)
    counts = f"{words.counted(examined.events, 'event')} and {words.counted(examined.items, 'item')} of evidence"
    labelled(screen, "intact", [f"{counts} are what was recorded"])
    labelled(screen, "assurance", [telling.ASSURANCE])
    why(screen, detail, await findings(engine.blobs, detail))
    not_seen(screen, detail)


def _say_altered(screen: Screen, detail: OperationDetail, altered: Sequence[Altered], history: str) -> None:
    for found in altered:
        screen.say(Mark("ALTERED", "bad"), f"   {detail.short}, event {found.position}: {found.detail}")
    screen.say(" " * 10, history)


async def _intact_up_to(engine: Engine) -> str:
    """What can still be relied on."""
    size = (await engine.store.head()).size
    try:
        wrong = [finding.position async for finding in audit(engine.store)]
    except LedgerAltered as error:
        wrong = [error.position or 0]
    if not wrong:
        return f"the history itself is intact up to event {size - 1}"
    return (
        f"the history is intact up to event {min(wrong) - 1}"
        if min(wrong)
        else "the history is not intact from event 0"
    )
