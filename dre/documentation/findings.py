"""What speaks against a run that failed: the findings, each with the lines of output around it."""

import asyncio
from collections.abc import Sequence

import msgspec

from dre.documentation import around
from dre.documentation.telling import OUTPUT_KIND
from dre.errors import BlobAltered, BlobMissing
from dre.ports.blob_store import BlobStore
from dre.projections.operation_detail import Item, OperationDetail, Verdict

SHOWN = 5


class Failing(msgspec.Struct, frozen=True):
    """A finding that speaks against the run, and what the output says around it."""

    subject: str
    detail: str
    output: Sequence[str]


class Findings(msgspec.Struct, frozen=True):
    """`shown` of all failing ones; `tail`: how the output ended, where no finding says more."""

    shown: Sequence[Failing] = ()
    more: int = 0
    tail: Sequence[str] = ()


async def findings(blobs: BlobStore, detail: OperationDetail, most: int = SHOWN) -> Findings:
    """Why it failed, with the lines of output around it; nothing for what did not fail."""
    if detail.verdict is None or detail.verdict.result != "failed":
        return Findings()
    lines = await _output_lines(blobs, detail)
    return await asyncio.to_thread(_found, detail.verdict, lines, most)  # long where output is long and much failed


def _found(verdict: Verdict, lines: Sequence[str], most: int) -> Findings:
    failed = [finding for judged in verdict.judged if judged.status == "failed" for finding in judged.findings]
    shown = failed[:most]
    names = [finding["subject"] for finding in failed]
    return Findings(
        [
            Failing(
                f"{finding['subject']} (line {finding['line']})" if finding.get("line") else finding["subject"],
                finding["detail"],
                around.around(lines, finding["subject"], finding["detail"], names[:at] + names[at + 1 :]),
            )
            for at, finding in enumerate(shown)
        ],
        len(failed) - len(shown),
        [] if failed else around.tail(lines),
    )


def outputs(detail: OperationDetail) -> list[Item]:
    return [item for item in detail.evidence if item.kind == OUTPUT_KIND and not item.erased]


async def _output_lines(blobs: BlobStore, detail: OperationDetail) -> list[str]:
    for item in outputs(detail)[:1]:
        try:
            return await around.read_lines(blobs.read(item.hash))
        except (BlobMissing, BlobAltered):
            return []  # what is altered is not shown as if it were what was recorded
    return []
