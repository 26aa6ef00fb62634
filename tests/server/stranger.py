"""
A client written from docs/reference/stream.md and docs/reference/ledger-format.md alone: of DRE it imports nothing.

    python stranger.py http://127.0.0.1:8420 .dre/token

It prints each position and type, having checked that nothing is missing and how it all hangs together.
"""

import asyncio
import hashlib
import json
import random
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
SILENCE_S = 50.0
MOST_BYTES = 1 << 20
LINES = 11


class Wrong(Exception):
    """What the server sent cannot be so."""


class Stranger:
    """`host`: by which name to ask, where a tunnel lies between. `wait_s`: the first pause before coming back."""

    def __init__(
        self, base: str, token: Callable[[], str], *, host: str | None = None, wait_s: float = FIRST_WAIT_S
    ) -> None:
        self.base, self.token, self.host, self.wait_s = base, token, host, wait_s
        self.position, self.leaf = -1, b"\0" * 32
        self.ledger: str | None = None
        self.generation: int | None = None
        self.connections = 0

    async def listen(self) -> AsyncIterator[dict[str, Any]]:
        pause = self.wait_s
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async for event in self.one_connection(session):
                        pause = self.wait_s
                        yield event
                except aiohttp.WSServerHandshakeError as error:
                    if error.status in (400, 403, 421):
                        raise Wrong(await self.why(session)) from None
                except (aiohttp.ClientError, TimeoutError, OSError):
                    pass
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                pause = min(2 * pause, LONGEST_WAIT_S)

    async def one_connection(self, session: aiohttp.ClientSession) -> AsyncIterator[dict[str, Any]]:
        async with session.ws_connect(
            f"{self.base}/api/v1/stream", headers=self.headers(), max_msg_size=MOST_BYTES
        ) as socket:
            self.connections += 1
            asked: dict[str, Any] = {"type": "subscribe", "after": self.position, "proofs": True}
            if self.generation is not None:
                asked["generation"] = self.generation
            await socket.send_str(json.dumps(asked))
            while (message := await socket.receive(timeout=SILENCE_S)).type is aiohttp.WSMsgType.TEXT:
                told = json.loads(message.data)
                if "id" in told and "position" in told:
                    self.check(told)
                    yield told
                elif told["type"] == "subscribed":
                    self.meet(told)
                elif told["type"] == "heartbeat" and told["position"] > self.position:
                    raise Wrong(f"events up to {told['position']} were told, it says; {self.position} was the last")
                elif told["type"] == "error" and told["code"] != "store_busy":
                    raise Wrong(told["detail"])
                elif told["type"] in ("error", "cut"):
                    return

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token()}", **({"Host": self.host} if self.host else {})}

    async def why(self, session: aiohttp.ClientSession) -> str:
        async with session.get(f"{self.base}/api/v1/health/detailed", headers=self.headers()) as response:
            return f"{response.status}: {await response.text()}"

    def meet(self, told: dict[str, Any]) -> None:
        if self.ledger not in (None, told["ledger"]):
            raise Wrong(f"another ledger: {told['ledger']}")
        self.ledger, self.generation = told["ledger"], told["generation"]
        if told["head"]["position"] == self.position and told["head"]["leaf"] != self.leaf.hex():
            raise Wrong(f"event {self.position} is another one than it was")

    def check(self, event: dict[str, Any]) -> None:
        """By "Check the chain" of the page, step by step."""
        position = self.position + 1
        require(event["position"] == position, position, f"event {event['position']} came instead")
        lines = event["entry"].split("\n")
        require(len(lines) == LINES + 1 and lines[0] == "dre.event.v1" and not lines[-1], position, "has no entry")
        outside = [event[name] for name in ("position", "id", "stream", "version", "type")]
        require(lines[1:2] + lines[3:7] == list(map(str, outside)), position, "is not what its entry says")
        when_and_who = (int(lines[7]) // 1000, lines[8])
        require(when_and_who == (event["recordedAt"], event["actor"]), position, "has another time or actor")
        require(lines[2] == self.leaf.hex(), position, "is not linked to the one before")
        self.check_body(event, lines, position)
        self.position, self.leaf = position, hashlib.sha256(b"\0" + event["entry"].encode("ascii")).digest()

    def check_body(self, event: dict[str, Any], lines: list[str], position: int) -> None:
        if event["body"] is None:
            require(event["salt"] is None and event["data"] is None, position, "was erased by half")
            return
        body = event["body"].encode()
        committed = hashlib.sha256(b"dre.body.v1\0" + bytes.fromhex(event["salt"]) + body).hexdigest()
        require(committed == lines[9] and str(len(body)) == lines[10], position, "has another body")
        fact = {name: value for name, value in json.loads(body).items() if name != "meta"}
        require(fact == event["data"], position, "shows other data")


def require(holds: bool, position: int, what: str) -> None:  # noqa: FBT001 - it reads as a sentence
    if not holds:
        raise Wrong(f"event {position} {what}")


async def main(base: str, token_file: str) -> None:
    def token() -> str:
        with open(token_file) as file:  # anew each time: a server that was started anew has another
            return file.read().strip()

    async for event in Stranger(base, token).listen():
        print(event["position"], event["type"], flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
