"""`dre show`: one operation, the verdict and its reasons first; or what it printed."""

import sys
from collections.abc import AsyncIterator

import click
import msgspec

from dre.cli.asked import Asked
from dre.cli.command import command as a_command
from dre.cli.completion import OPERATION
from dre.cli.opened import opened, run
from dre.cli.operation_screen import show
from dre.cli.output_json import json_output
from dre.cli.screen import is_terminal
from dre.cli.which import LAST, find_operation
from dre.composition import Engine
from dre.documentation import safe
from dre.documentation.findings import findings, outputs
from dre.errors import NotFound, UsageError
from dre.projections.operation_detail import Item, OperationDetail, read_operation
from dre.verification import intact


@a_command(
    "show",
    short_help="one operation: verdict, reasons, evidence, output",
    examples=["dre show", "dre show 7Q2K", "dre show -", "dre show last --output", "dre show last --json"],
)
@click.argument("operation", metavar="[ID|last|-]", default=LAST, type=OPERATION)
@click.option("--output", is_flag=True, help="Print what the command printed, made safe for terminals.")
@click.option("--raw", is_flag=True, help="With --output: the exact bytes (redacted); not to a terminal.")
@click.pass_obj
def command(asked: Asked, operation: str, output: bool, raw: bool) -> None:  # noqa: FBT001 - click's form
    """
    One operation: the verdict and why first, then what was seen and not seen, where it ran, its evidence, its place
    in the record. Without an id the newest; - is the one before it.
    """
    if raw and not output:
        raise UsageError("--raw goes with --output")
    if raw and asked.json:
        raise UsageError("--raw prints bytes, which are no JSON", hint="dre show --output --json")
    if raw and is_terminal(sys.stdout):
        raise UsageError("--raw does not go to a terminal, which would obey it", hint="dre show --output --raw > FILE")
    run(_show(asked, operation, output=_Form(raw=raw, json=asked.json) if output else None))


class _Form(msgspec.Struct, frozen=True):
    """How output is printed, where it is asked for."""

    raw: bool
    json: bool


async def _show(asked: Asked, operation: str, *, output: _Form | None) -> None:
    async with opened(asked) as engine:
        id = await find_operation(operation, engine.tables, now_ms=asked.now_ms)
        detail = await read_operation(engine.store, engine.tables, id)
        if output:
            await _print_output(engine, detail, output)
        elif asked.json:
            asked.answer(msgspec.json.encode(detail))
        else:
            found = await findings(engine.blobs, detail)
            events = await intact.events_of(engine.store, detail.id, detail.verdict.id if detail.verdict else None)
            stands = await intact.place(engine.store, engine.blobs, engine.ledger_id, detail, events)
            show(asked.screen(), detail, found, stands, now_ms=asked.now_ms)


async def _print_output(engine: Engine, detail: OperationDetail, form: _Form) -> None:
    items = outputs(detail)
    if not items:
        why = next((seen.detail for seen in detail.observations if seen.subject == "output"), "it is not recorded yet")
        raise NotFound(f"there is no output of {detail.short}" + f": {why}" * bool(why))
    for item in items:
        if form.raw:
            async for chunk in engine.blobs.read(item.hash):
                sys.stdout.buffer.write(chunk)
        else:
            async for text in json_output(engine.blobs, detail.id, item) if form.json else _safe(engine, item):
                sys.stdout.write(text)


async def _safe(engine: Engine, item: Item) -> AsyncIterator[str]:
    decoder = safe.Decoder()
    async for chunk in engine.blobs.read(item.hash):
        yield decoder.feed(chunk)
    yield decoder.feed(b"", last=True)
