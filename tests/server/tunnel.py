"""A tunnel to a server that breaks when the test says so, in the middle of whatever is under way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_PIECE = 4096


class Tunnel:
    """`base`: where to connect. `allowance`: how many bytes towards the client the next connection may carry."""

    def __init__(self, base: str, allowance: Callable[[], int | None]) -> None:
        self._host, _, port = base.removeprefix("http://").rpartition(":")
        self._port = int(port)
        self._allowance = allowance
        self._open: set[asyncio.StreamWriter] = set()
        self.base = ""
        self.cuts = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._port)
        self._open |= {writer, back}
        allowed = self._allowance()
        ways = [asyncio.create_task(_pump(reader, back, None)), asyncio.create_task(_pump(there, writer, allowed))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            self.cuts += ways[1].done() and allowed is not None
        finally:
            for way in ways:
                way.cancel()
            for end in (writer, back):
                end.transport.abort()
            self._open -= {writer, back}

    def cut(self) -> None:
        for end in self._open:
            end.transport.abort()


@asynccontextmanager
async def tunnel(base: str, allowance: Callable[[], int | None] = lambda: None) -> AsyncIterator[Tunnel]:
    made = Tunnel(base, allowance)
    async with await asyncio.start_server(made.carry, "127.0.0.1", 0) as listening:
        made.base = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield made
        made.cut()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
    """Until the end, or until so many bytes have passed."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE if left is None else min(_PIECE, left)):
            writer.write(piece)
            await writer.drain()
            if left is not None and (left := left - len(piece)) <= 0:
                return
