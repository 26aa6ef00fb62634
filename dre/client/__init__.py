"""
The client of a DRE server: REST and the live stream, typed, asynchronous, believing nothing that it can check.

    async with Client("http://127.0.0.1:8420", token) as client:
        async for event in client.follow(after=-1, proofs=True):
            print(event.position, event.type)

Read in this order: `shown` (what a server shows), `chain` (what is checked of it), `answers` (what goes wrong),
`client` (asking), `following` (listening, and coming back).
"""

from dre.client.client import Client
from dre.client.shown import Event, Evidence, Operation, OperationDetail, Page, Proved

__all__ = ["Client", "Event", "Evidence", "Operation", "OperationDetail", "Page", "Proved"]
