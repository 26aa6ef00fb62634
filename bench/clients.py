"""
Listeners in a process of their own, with raw sockets: what they cost is not the server's, and little at that.

    python -m bench.clients

Told what to do by lines of JSON. Messages are counted by how each begins; of some listeners every message is looked at:
its position, and how long ago it was made, by the clock that all processes of a machine share.
"""

import base64
import json
import os
import re
import selectors
import socket
import struct
import sys
import time
from array import array
from collections.abc import Sequence
from typing import Any

BEGINS = b'{"position":'
_ONE = re.compile(rb'\{"position":(\d+),[^@]*@(\d{20})')
_CUT = re.compile(rb'"code":"too_slow","position":(-?\d+)')
_BUFFER = 1 << 18
_SMALL = 4096
_PATIENCE_S = 30.0


class Listener:
    """`watched`: each of its messages is looked at. `after`: the position it stands at."""

    def __init__(self, *, watched: bool, small: bool = False) -> None:
        self.count = 0
        self.watched = watched
        self.positions, self.late_ns = array("q"), array("q")
        self.socket = socket.socket()
        if small:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
        self._rest = b""

    def connect(self, port: int, token: str, subscribe: dict[str, Any] | None) -> None:
        self.socket.settimeout(_PATIENCE_S)
        self.socket.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /api/v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        data = self._until(b"\r\n\r\n")
        assert data.startswith(b"HTTP/1.1 101"), data
        if subscribe is not None:
            self.socket.sendall(_masked(json.dumps({"type": "subscribe", **subscribe}).encode()))
            data = self._until(b'"subscribed"', data.partition(b"\r\n\r\n")[2])
            while b"}}" not in data:
                data += self.socket.recv(_BUFFER)
            data = data.partition(b"}}")[2]
            self.take(data)

    def _until(self, mark: bytes, data: bytes = b"") -> bytes:
        while mark not in data:
            more = self.socket.recv(_BUFFER)
            assert more, data
            data += more
        return data

    def take(self, data: bytes) -> None:
        if not self.watched:
            edge = len(BEGINS) - 1
            self.count += data.count(BEGINS) + (self._rest + data[:edge]).count(BEGINS)
            self._rest = (self._rest + data)[-edge:] if len(data) < edge else data[-edge:]
            return
        now = time.monotonic_ns()
        data = self._rest + data
        end = 0
        for found in _ONE.finditer(data):
            self.count += 1
            self.positions.append(int(found[1]))
            self.late_ns.append(now - int(found[2]))
            end = found.end()
        self._rest = data[end:]

    def gaps(self) -> int:
        """How many positions are not the one before plus one."""
        return sum(1 for one, next in zip(self.positions, self.positions[1:], strict=False) if next != one + 1)

    def cut_at(self) -> int | None:
        """The position to go on after, where the server has said that this listener is too slow."""
        found = _CUT.search(self._rest)
        return int(found[1]) if found else None


class Crowd:
    def __init__(self) -> None:
        self.selector = selectors.EpollSelector()
        self.reading: list[Listener] = []
        self.stalled: list[Listener] = []
        self._where = (0, "")

    def connect(self, port: int, token: str, groups: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """`groups`: how many, what they subscribe to (null: nothing), every how many is watched, whether they read."""
        self._where = port, token
        for group in groups:
            for at in range(group["count"]):
                stalls = group.get("stalls", False)
                listener = Listener(watched=stalls or at % group["watched"] == 0, small=stalls)
                listener.connect(port, token, group["subscribe"])
                (self.stalled if stalls else self.reading).append(listener)
        for listener in self.reading:
            listener.socket.setblocking(False)
            self.selector.register(listener.socket, selectors.EVENT_READ, listener)
        return {"connected": len(self.reading) + len(self.stalled)}

    def read(self, listener: Listener) -> None:
        try:
            data = listener.socket.recv(_BUFFER)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if data:
            listener.take(data)
        else:
            self.selector.unregister(listener.socket)

    def counts(self) -> dict[str, Any]:
        return {"counts": [listener.count for listener in self.reading]}

    def report(self) -> dict[str, Any]:
        watched = [listener for listener in self.reading if listener.watched]
        late = sorted(one for listener in watched for one in listener.late_ns)
        return {
            "watched": len(watched),
            "gaps": [listener.gaps() for listener in watched],
            "ends": [[listener.positions[0], listener.positions[-1]] for listener in watched if listener.positions],
            **quantiles(late),
        }

    def resume(self, upto: int) -> dict[str, Any]:
        """Those that did not read do so now, and go on where they were cut, until they have this position."""
        cuts = 0
        for listener in self.stalled:
            listener.socket.settimeout(_PATIENCE_S)
            while not listener.positions or listener.positions[-1] < upto:
                try:
                    data = listener.socket.recv(_BUFFER)
                except ConnectionError:
                    data = b""
                if data:
                    listener.take(data)
                    continue
                cuts += 1
                after = listener.positions[-1]
                again = Listener(watched=True)
                again.connect(*self._where, {"after": after})
                listener.socket.close()
                listener.socket = again.socket
                listener._rest = again._rest  # noqa: SLF001
                listener.positions.extend(again.positions)
                listener.late_ns.extend(again.late_ns)
        return {
            "cuts": cuts,
            "gaps": [listener.gaps() for listener in self.stalled],
            "starts": [listener.positions[0] for listener in self.stalled],
        }

    def leave(self) -> dict[str, Any]:
        for listener in (*self.reading, *self.stalled):
            listener.socket.close()
        self.selector.close()
        self.__init__()  # type: ignore[misc]
        return {"left": True}


def quantiles(late: Sequence[int]) -> dict[str, float]:
    """In milliseconds."""
    if not late:
        return {"p50": 0.0, "p99": 0.0}
    return {"p50": late[len(late) // 2] / 1e6, "p99": late[len(late) * 99 // 100] / 1e6}


def _masked(payload: bytes) -> bytes:
    """RFC 6455, 5.2: from a client; a mask of zeros leaves the bytes as they are."""
    return struct.pack("!BBH4x", 0x81, 0x80 | 126, len(payload)) + payload


def main() -> None:
    crowd = Crowd()
    told = b""
    while True:
        if sys.stdin.fileno() not in crowd.selector.get_map():
            crowd.selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        for key, _ in crowd.selector.select():
            if key.data is not None:
                crowd.read(key.data)
                continue
            more = os.read(sys.stdin.fileno(), 1 << 16)
            if not more:
                return
            told += more
            if told.endswith(b"\n"):
                asked, told = json.loads(told), b""
                print(json.dumps(getattr(crowd, asked.pop("do"))(**asked)), flush=True)
                break


if __name__ == "__main__":
    main()
