"""`dre show`: one operation, the verdict and its reasons first; or what it printed, or another item of its evidence."""

import sys
from collections.abc import AsyncIterator, Sequence

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
from dre.documentation import safe, telling
from dre.documentation.findings import findings, outputs
from dre.errors import BlobAltered, BlobMissing, NotFound, UsageError
from dre.projections.operation_detail import Item, OperationDetail, read_operation
from dre.verification import intact

_NAMED_AT_MOST = 20


@a_command(
    "show",
    short_help="one operation: verdict, reasons, evidence, output",
    examples=[
        "dre show",
        "dre show 7Q2K",
        "dre show -",
        "dre show last --output",
        "dre show last --evidence changes.diff",
        "dre show last --json",
    ],
)
@click.argument("operation", metavar="[ID|last|-]", default=LAST, type=OPERATION)
@click.option("--output", is_flag=True, help="Print what the command printed, made safe for terminals.")
@click.option("--evidence", metavar="NAME", help="Print this item of its evidence, as --output does.")
@click.option("--raw", is_flag=True, help="With either: the exact bytes (redacted); not to a terminal.")
@click.pass_obj
def command(
    asked: Asked,
    operation: str,
    output: bool,  # noqa: FBT001 - click's form
    evidence: str | None,
    raw: bool,  # noqa: FBT001 - click's form
) -> None:
    """
    One operation: the verdict and why first, then what was seen and not seen, where it ran, its evidence, its place
    in the record. Without an id the newest; - is the one before it.
    """
    if output and evidence is not None:
        raise UsageError("--output is an item of the evidence, --evidence NAME another", hint="one of them at a time")
    if raw and not output and evidence is None:
        raise UsageError("--raw goes with --output, or with --evidence NAME")
    what = "--output" if output else "--evidence NAME"
    if raw and asked.json:
        raise UsageError("--raw prints bytes, which are no JSON", hint=f"dre show {what} --json")
    if raw and is_terminal(sys.stdout):
        raise UsageError("--raw does not go to a terminal, which would obey it", hint=f"dre show {what} --raw > FILE")
    wanted = _Wanted(evidence, raw=raw, json=asked.json) if output or evidence is not None else None
    run(_show(asked, operation, wanted))


class _Wanted(msgspec.Struct, frozen=True):
    """Which item is printed, None for the output, and how."""

    name: str | None
    raw: bool
    json: bool


async def _show(asked: Asked, operation: str, wanted: _Wanted | None) -> None:
    async with opened(asked) as engine:
        id = await find_operation(operation, engine.tables, now_ms=asked.now_ms)
        detail = await read_operation(engine.store, engine.tables, id)
        if wanted:
            for item in _outputs(detail) if wanted.name is None else [_named(detail, wanted.name)]:
                await _print(engine, detail, item, wanted)
        elif asked.json:
            asked.answer(msgspec.json.encode(detail))
        else:
            found = await findings(engine.blobs, detail)
            events = await intact.events_of(engine.store, detail.id, detail.verdict.id if detail.verdict else None)
            stands = await intact.place(engine.store, engine.blobs, engine.ledger_id, detail, events)
            show(asked.screen(), detail, found, stands, now_ms=asked.now_ms)


def _outputs(detail: OperationDetail) -> Sequence[Item]:
    items = outputs(detail)
    if not items:
        why = next((seen.detail for seen in detail.observations if seen.subject == "output"), "it is not recorded yet")
        raise NotFound(f"there is no output of {detail.short}" + f": {why}" * bool(why))
    return items


def _named(detail: OperationDetail, name: str) -> Item:
    """By its own name, or by the one that the screen shows: a report's is that of its file."""
    own = {item.name: item for item in detail.evidence}
    listed = {telling.item_name(item): item for item in detail.evidence}
    found = own.get(name) or listed.get(name)
    if found is None:
        shown = ", ".join(list(listed)[:_NAMED_AT_MOST]) or "none at all"
        more = f" and {len(listed) - _NAMED_AT_MOST:,} more (--json)" * (len(listed) > _NAMED_AT_MOST)
        raise NotFound(f'there is no evidence "{name}" of {detail.short}', hint=f"there is {shown}{more}")
    if found.erased:
        raise NotFound(f"{name} of {detail.short} was erased: only its entry is left")
    return found


async def _print(engine: Engine, detail: OperationDetail, item: Item, wanted: _Wanted) -> None:
    try:
        if wanted.raw:
            async for chunk in engine.blobs.read(item.hash):
                sys.stdout.buffer.write(chunk)
        else:
            async for text in json_output(engine.blobs, detail.id, item) if wanted.json else _safe(engine, item):
                sys.stdout.write(text)
    except (BlobAltered, BlobMissing) as error:
        raise type(error)(
            f"{telling.item_name(item)} of {detail.short} is not what was recorded: {error.message}",
            hint=error.hint or "dre ledger verify names all that is wrong; then restore it from a copy",
        ) from None


async def _safe(engine: Engine, item: Item) -> AsyncIterator[str]:
    decoder = safe.Decoder()
    async for chunk in engine.blobs.read(item.hash):
        yield decoder.feed(chunk)
    yield decoder.feed(b"", last=True)
