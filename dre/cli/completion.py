"""What a shell may offer for an operation's id: `last`, and the newest short ids with their commands."""

import contextlib
import time
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dre.projections.operations import OperationRow

_OFFERED = 50


class _Operation(click.ParamType[str]):
    name = "operation"

    def shell_complete(self, ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from dre.cli.which import LAST, short_ids
        from dre.documentation import safe

        items = [CompletionItem(LAST, help="the newest")]
        with contextlib.suppress(Exception):  # a shell that completes is no place for our troubles
            rows = _newest(ctx)
            ids = short_ids([row.id for row in rows])
            items += [CompletionItem(ids[row.id], help=safe.cut(safe.line(row.command), 60)) for row in rows]
        return [item for item in items if item.value.upper().startswith(incomplete.upper())]


def _newest(ctx: click.Context) -> "Sequence[OperationRow]":
    from dre.cli.asked import Asked
    from dre.cli.opened import run
    from dre.composition import open_engine, read_settings
    from dre.projections.operations import newest

    asked = ctx.find_object(Asked) or Asked(".", time.time_ns() // 1_000_000)

    async def read() -> "Sequence[OperationRow]":
        import os

        async with open_engine(read_settings(asked.directory, os.environ)) as engine:
            return await newest(engine.tables, limit=_OFFERED)

    return run(read())


OPERATION = _Operation()
