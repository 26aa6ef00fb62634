"""
Every error DRE raises on purpose, in one tree.

    DREError                            code                  exit status
    ├── UsageError                      usage                 2   what was asked for makes no sense
    │   ├── NotFound                    not_found             2   no such operation, evidence, key, projection
    │   └── AmbiguousId                 ambiguous_id          2   a short id that fits several
    ├── ConfigurationError              configuration         2   a setting that cannot be used: file, line, key
    ├── CommandRefused                  command_refused       2   the domain says no (an operation cannot end twice)
    ├── WorkspaceRefused                workspace_refused     3   a `.dre/` that must not be read or written
    ├── LedgerError                     ledger                3   the ledger cannot be used as it is
    │   ├── LedgerMissing               ledger_missing        3   no ledger here (yet)
    │   ├── LedgerNewer                 ledger_newer          3   written by a newer DRE
    │   ├── LedgerDeleted               ledger_deleted        1   this machine has seen a history that is gone
    │   ├── LedgerBehind                ledger_behind         1   older than, or other than, what this machine has seen
    │   ├── LedgerCopied                ledger_copied         3   a copy of a ledger that still stands elsewhere
    │   └── LedgerAltered               ledger_altered        1   the stored history contradicts its own hashes
    ├── HistoryDiffers                  history_differs       1   a position that this history does not have (any more)
    ├── ChainBroken                     chain_broken          1   what was received does not hang together
    ├── BodyRefused                     body_refused          2   bytes that are no format-v1 body
    ├── BlobMissing                     blob_missing          1   evidence that is not where it was put
    ├── BlobAltered                     blob_altered          1   evidence that is not what was put there
    ├── SpoolRefused                    spool_refused         3   a recording that cannot become events
    ├── KeyRefused                      key_refused           3   a key file that others could have read or changed
    ├── RequestRefused              request_refused       2   a request that cannot be understood
    │   ├── Unauthenticated         unauthenticated       3   not let in: no token, or a wrong one
    │   ├── Forbidden               forbidden             3   from a page or a place that may not ask
    │   ├── Misdirected             misdirected           3   asked by a name that is not this server's
    │   ├── TooLarge                too_large             2   more than this door takes
    │   ├── UnsupportedMedia        unsupported_media     2   a body of a kind that this door does not read
    │   ├── RangeRefused            range_refused         2   bytes that the evidence does not have
    │   ├── TooSlow                 too_slow              3   a request that took too long to arrive
    │   ├── Conflict                conflict              2   an idempotency key that stands for something else
    │   └── NotBuilt                not_built             3   part of the design, and not there yet
    ├── GoingAway                   going_away            3   the server ends, and what was asked had not arrived
    ├── ServerRunning               server_running        3   another server has this workspace, or its port
    ├── ServerUnreachable           server_unreachable    3   the server that was asked does not answer as one
    ├── StoreBusy                       store_busy            3   another process held a database for too long
    └── StoreFull                       store_full            3   no room on the disk

`code` is stable and is what programs read. `hint` says what to type or do next.
"""

from typing import ClassVar


class DREError(Exception):
    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 3

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(DREError):
    code = "usage"
    exit_status = 2


class NotFound(UsageError):
    code = "not_found"


class AmbiguousId(UsageError):
    code = "ambiguous_id"


class ConfigurationError(DREError):
    code = "configuration"
    exit_status = 2


class CommandRefused(DREError):
    code = "command_refused"
    exit_status = 2


class WorkspaceRefused(DREError):
    code = "workspace_refused"


class LedgerError(DREError):
    code = "ledger"


class LedgerMissing(LedgerError):
    code = "ledger_missing"


class LedgerNewer(LedgerError):
    code = "ledger_newer"


class LedgerDeleted(LedgerError):
    code = "ledger_deleted"
    exit_status = 1


class LedgerBehind(LedgerError):
    code = "ledger_behind"
    exit_status = 1


class LedgerCopied(LedgerError):
    code = "ledger_copied"


class LedgerAltered(LedgerError):
    """The first wrong place, where one is known."""

    code = "ledger_altered"
    exit_status = 1

    def __init__(self, message: str, *, position: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.position = position


class HistoryDiffers(DREError):
    code = "history_differs"
    exit_status = 1


class ChainBroken(DREError):
    """The first position that is wrong in what a server sent, or missing."""

    code = "chain_broken"
    exit_status = 1

    def __init__(self, message: str, *, position: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.position = position


class BodyRefused(DREError):
    code = "body_refused"
    exit_status = 2


class BlobMissing(DREError):
    code = "blob_missing"
    exit_status = 1


class BlobAltered(DREError):
    code = "blob_altered"
    exit_status = 1


class SpoolRefused(DREError):
    code = "spool_refused"


class KeyRefused(DREError):
    code = "key_refused"


class StoreBusy(DREError):
    code = "store_busy"


class StoreFull(DREError):
    code = "store_full"


class RequestRefused(DREError):
    code = "request_refused"
    exit_status = 2


class Unauthenticated(RequestRefused):
    code = "unauthenticated"
    exit_status = 3


class Forbidden(RequestRefused):
    code = "forbidden"
    exit_status = 3


class Misdirected(RequestRefused):
    code = "misdirected"
    exit_status = 3


class TooLarge(RequestRefused):
    code = "too_large"


class UnsupportedMedia(RequestRefused):
    code = "unsupported_media"


class RangeRefused(RequestRefused):
    """`size_bytes`: how many there are."""

    code = "range_refused"

    def __init__(self, message: str, *, size_bytes: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.size_bytes = size_bytes


class TooSlow(RequestRefused):
    code = "too_slow"
    exit_status = 3


class Conflict(RequestRefused):
    code = "conflict"


class PreconditionFailed(RequestRefused):
    code = "precondition_failed"


class NotBuilt(RequestRefused):
    code = "not_built"
    exit_status = 3


class GoingAway(DREError):
    code = "going_away"


class ServerRunning(DREError):
    code = "server_running"


class ServerUnreachable(DREError):
    code = "server_unreachable"
