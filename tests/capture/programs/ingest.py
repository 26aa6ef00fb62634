"""One ingest in a process of its own: `ingest.py SPOOLS HISTORY [KILLED_AT]`, killed at its n-th step if told so."""

import asyncio
import os
import signal
import sys

from dre.adapters.filesystem.blob_store import FileBlobStore
from dre.adapters.sqlite.event_store import open_event_store
from dre.application.execute import Appender
from dre.capture.ingest import Into, Rules, ingest_pending

STEPS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "subprocess.Popen", "os.truncate")


async def main(spools: str, history: str) -> int:
    async with open_event_store(os.path.join(history, "ledger.db")) as store:
        appender = Appender(store)
        into = Into(store, appender, FileBlobStore(os.path.join(history, "evidence")), "local-test")
        found = await ingest_pending(spools, into, Rules())
        await appender.close()
    for one in found:
        print(one.operation_id, one.state, one.error, file=sys.stderr)
    print(peak_kib())
    return 0 if all(one.state in ("recorded", "busy", "late output open") for one in found) else 1


def peak_kib() -> int:
    """Of this program alone; getrusage(2) counts what its parent had at the fork."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def die_at(step: int) -> None:
    left = [step]

    def count(event: str, _arguments: object) -> None:
        if event in STEPS:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        die_at(int(sys.argv[3]))
    sys.exit(asyncio.run(main(*sys.argv[1:3])))
