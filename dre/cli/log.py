"""`dre log`: the newest operations, one line each."""

from collections.abc import Sequence
from datetime import datetime

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
from dre.projections.operations import RUNNING, OperationRow, newest, summary
from dre.projections.operations import Asked as Since

_MOST = 10_000
_UNJUDGED = {RUNNING: RUNNING, "interrupted": "recording interrupted"}


@a_command(
    "log",
    short_help="the newest operations",
    examples=["dre log", "dre log --since 2h", "dre log --limit 3 --json"],
)
@click.option(
    "--limit", type=click.IntRange(1, _MOST), default=20, show_default=True, metavar="N", help=f"At most N (1-{_MOST})."
)
@click.option("--since", metavar="T", help=f"Those that started since T: {EXPECTED}, today or yesterday.")
@click.pass_obj
def command(asked: Asked, limit: int, since: str | None) -> None:
    """
    The newest operations, newest first: short id, start, command, what was seen, verdict, length.

    With --json one object a line, with full ids and exact times (milliseconds since 1970, UTC).
    """
    begun = None if since is None else parse_moment(since, datetime.fromtimestamp(asked.now_ms / 1000).astimezone())
    rows = run(_read(asked, limit, begun))
    if asked.json:
        for row in rows:
            asked.answer(msgspec.json.encode(summary(row)))
    elif rows:
        asked.screen().rows(_table(rows, asked.now_ms), flexible=2)
    else:
        asked.note("no operations" + (f" since {since}" if since else " here yet: dre wrap COMMAND records one"))


async def _read(asked: Asked, limit: int, since: int | None) -> Sequence[OperationRow]:
    async with opened(asked) as engine:
        return await newest(engine.tables, limit=limit, asked=Since(since=since))


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
