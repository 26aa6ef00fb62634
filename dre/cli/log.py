"""`dre log`: the newest operations, one line each."""

from collections.abc import Sequence
from datetime import datetime
from typing import get_args

import click
import msgspec

from dre.cli.asked import Asked
from dre.cli.command import command as a_command
from dre.cli.moments import EXPECTED, parse_moment
from dre.cli.opened import opened, run
from dre.cli.screen import Mark, Piece
from dre.cli.verdicts import NOTHING, in_a_list
from dre.cli.which import short_ids
from dre.documentation import words
from dre.domain.verification import Result
from dre.errors import UsageError
from dre.projections.operations import ALL, RUNNING, OperationRow, Status, newest, summary
from dre.projections.operations import Asked as Which

_MOST = 10_000
_UNJUDGED = {RUNNING: RUNNING, "interrupted": "recording interrupted"}


@a_command(
    "log",
    short_help="the newest operations",
    examples=["dre log", "dre log --since 2h --result failed", "dre log --command pytest", "dre log --limit 3 --json"],
)
@click.option(
    "--limit", type=click.IntRange(1, _MOST), default=20, show_default=True, metavar="N", help=f"At most N (1-{_MOST})."
)
@click.option("--since", metavar="T", help=f"Those that started since T: {EXPECTED}, today or yesterday.")
@click.option("--command", "text", metavar="TEXT", help="Those with TEXT in their command, in whatever case.")
@click.option("--result", type=click.Choice(get_args(Result)), help="Those with this verdict.")
@click.option("--status", type=click.Choice(get_args(Status)), help="Those that ended so, or run.")
@click.pass_obj
def command(
    asked: Asked, limit: int, since: str | None, text: str | None, result: Result | None, status: Status | None
) -> None:
    """
    The newest operations, newest first: short id, start, command, what was seen, verdict, length.

    With --json one object a line, with full ids and exact times (milliseconds since 1970, UTC).
    """
    if text is not None:
        _check(text)
    begun = None if since is None else parse_moment(since, datetime.fromtimestamp(asked.now_ms / 1000).astimezone())
    which = Which(since=begun, command=text, status=status, result=result)
    rows = run(_read(asked, limit, which))
    if asked.json:
        for row in rows:
            asked.answer(msgspec.json.encode(summary(row)))
    elif rows:
        asked.screen().rows(_table(rows, asked.now_ms), flexible=2)
    else:
        asked.note("no operations here yet: dre wrap COMMAND records one" if which == ALL else "no operation matches")


def _check(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8, as Python keeps them: no command that was stored has any
        raise UsageError(f"--command {text!r}: no text in UTF-8", hint="dre log shows how commands are kept") from None


async def _read(asked: Asked, limit: int, which: Which) -> Sequence[OperationRow]:
    async with opened(asked) as engine:
        return await newest(engine.tables, limit=limit, asked=which)


def _table(rows: Sequence[OperationRow], now_ms: int) -> list[list[Piece]]:
    ids = short_ids([row.id for row in rows])
    return [
        [
            Mark(ids[row.id], "strong"),
            words.clock(row.started_at, now_ms),
            row.command,
            row.summary or _UNJUDGED.get(row.status, "not judged yet"),
            in_a_list(row.result, row.grade),
            f"{NOTHING if row.duration_us is None else words.length(row.duration_us):>8}",
        ]
        for row in rows
    ]
