"""`dre ingest`: what the recorder starts when a command has ended. Nobody types it."""

import os
import signal
from uuid import UUID

import click

from dre.cli.asked import Asked
from dre.cli.command import command as a_command
from dre.cli.opened import run, why_it_waits
from dre.cli.verdicts import STATUS
from dre.composition import Engine, open_engine, read_settings, record_pending
from dre.domain.ids import short
from dre.errors import DREError, LedgerMissing, NotFound
from dre.projections.operation_detail import OperationDetail, read_operation
from dre.shim import voice

PATIENCE_S = 60.0
UNKNOWN = 3


@a_command("ingest", hidden=True, examples=["dre ingest --root .dre"])
@click.option("--root", required=True, type=click.Path(), help="The .dre/ whose spool is to become history.")
@click.option("--operation", type=click.UUID, help="The one that the caller waits for.")
@click.option("--wait", "how", flag_value="wait", help="Say in a line on stderr that it is recorded.")
@click.option("--verify", "how", flag_value="verify", help="Say the verdict.")
@click.option("--gate", "how", flag_value="gate", help="Say the verdict, and end with 0, 1 or 3 as it is.")
@click.pass_obj
def command(_asked: Asked, root: str, operation: UUID | None, how: str | None) -> int:
    """Turns what waits in the spool into history, and lets the verifiers judge it."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # whoever stops listening stops nothing here
    try:
        if not os.path.isdir(root):
            raise LedgerMissing(f"{root} is not there")
        return run(_ingest(os.path.dirname(os.path.abspath(root)), operation, how))
    except (DREError, OSError) as error:
        if operation is not None:
            hint = getattr(error, "hint", None)
            _tell(f"{short(operation)} captured, not recorded: {error}" + f" ({hint})" * bool(hint))
        return UNKNOWN


async def _ingest(directory: str, operation: UUID | None, how: str | None) -> int:
    async with open_engine(read_settings(directory, os.environ)) as engine:
        if engine.blocked is not None:
            raise engine.blocked
        found = await record_pending(engine, patience_s=PATIENCE_S if operation else 0.0)
        await engine.following.catch_up()
        if operation is None:
            return 0
        waits = {ingested.operation_id: why_it_waits(ingested) for ingested in found}.get(operation)
        if waits is not None:
            _tell(f"{short(operation)} {waits}")
            return UNKNOWN
        return await _answer(engine, operation, how)


async def _answer(engine: Engine, operation: UUID, how: str | None) -> int:
    try:
        detail = await read_operation(engine.store, engine.tables, operation)
    except NotFound:
        _tell(f"{short(operation)} is not recorded: its spool is gone")
        return UNKNOWN
    _tell(_recorded(detail) if how == "wait" else _judged(detail))
    return STATUS[detail.verdict.result] if detail.verdict else UNKNOWN


def _recorded(detail: OperationDetail) -> str:
    return f"recorded {detail.short}, events {detail.positions[0]}-{detail.positions[1]}"


def _judged(detail: OperationDetail) -> str:
    if detail.verdict is None:
        return f"{detail.short} recorded, not judged yet"
    grade = f" {detail.verdict.grade}" if detail.verdict.result == "passed" else ""
    return f"{detail.short} {detail.verdict.result}{grade}: {detail.verdict.summary}"


def _tell(line: str) -> None:
    """Never waits for somebody to read it."""
    from dre.documentation import safe

    voice.say(safe.line(line).encode("utf-8", "backslashreplace"))
