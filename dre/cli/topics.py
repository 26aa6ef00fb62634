"""The ideas that `dre help` explains, a screen each."""

from collections.abc import Mapping
from typing import NamedTuple


class Topic(NamedTuple):
    about: str
    text: str


TOPICS: Mapping[str, Topic] = {
    "exit-codes": Topic(
        "what a script can tell from the exit status",
        """\
Every command but dre wrap:

  0  done; for verifying commands: verified, and passed
  1  found wrong: altered, lost, or failed
  2  usage: what was asked for makes no sense, or a setting cannot be used
  3  could not find out: nothing to verify, inconclusive, out of reach

So `dre verify && ./deploy.sh` deploys only what was verified and passed.

dre wrap: the command's own status, or death by the same signal. Beside it:

    2  dre wrap's own options make no sense; nothing was run
  124  the time given with --timeout is over
  125  refused before the start, which happens only with --strict
  126  the command was found but could not be run
  127  the command was not found

With --gate a command that ended with 0 gives 1 (failed) or 3 (inconclusive).
Ctrl-C ends every other command with 130.
""",
    ),
    "ids": Topic(
        "how to name an operation",
        """\
Every operation has an id, a UUID. People use its short form: the last four
or more characters of it as `dre log` shows them, in upper or lower case, where
I, L and O are read as 1, 1 and 0.

  dre show             the newest
  dre show last        the newest
  dre show -           the one before it
  dre show 7Q2K        the one whose short form ends so
  dre show 0190...     the full id, as --json has it

A short form that fits several operations is refused, and they are named.
""",
    ),
    "evidence": Topic(
        "what is kept of a run, and what of it is kept from whom",
        """\
Evidence is what was collected while a command ran: its output with the time of
each piece, its environment as far as an allow-list goes, the work tree before
and after, the files it changed, test reports that were written during the run.

Each item is an event with its size and the hash of its bytes; the bytes lie in
.dre/evidence/, found by that hash. So an item that was changed or taken away is
noticed: by dre verify for one operation, by dre ledger verify for all.

Secrets are replaced before anything is hashed or stored: the values of
environment variables whose names look secret, in every usual encoding, and what
looks like a key or a token by its form.

What was not observed is said: `dre show` lists it under `not seen`.
""",
    ),
    "verdicts": Topic(
        "what passed, failed and inconclusive mean",
        """\
A verdict is what the verifiers conclude from the evidence, never from what the
command says of itself alone.

  passed        enough was seen, and nothing speaks against it
  failed        the exit status, a failing test in a report of this run, altered
                evidence, a file that does not parse, a file that was changed
                outside of --writes
  inconclusive  too little was seen to say either: there is no git work tree,
                or --no-workspace kept it unseen; the recorder was killed; or no
                test ran

The grade says how much was observed: strong (a test report of this run, and the
work tree before and after), moderate, weak (an exit status and little more).
Nothing is calibrated yet, so there is no percentage.

dre show gives the reasons, and what nobody saw.
""",
    ),
    "history": Topic(
        "what the ledger proves, and what it cannot",
        """\
Every fact is an event in .dre/ledger.db. Each event holds the hash of the one
before it and a commitment to its own body, so a change anywhere is found by
recomputing: dre ledger verify does it from the stored bytes alone, and
`dre events --proofs --json` gives a verifier of your own all it needs.

Integrity and assurance are two things. Integrity: the history agrees with
itself. Assurance: who could have made all of it up. On one machine that is
`local`: whoever holds your account can rewrite everything, hashes included.
This machine therefore remembers the newest head outside of the repository, and
a history that is shorter or another than what it has seen is reported.
""",
    ),
    "workspace": Topic(
        "where .dre/ is, and when it is not used",
        """\
.dre/ stands at the top of the git work tree, or in the folder where there is no
git; the first dre wrap makes it. It is yours alone (0700), ignores itself in git,
and holds the ledger, the evidence and what waits to be recorded.

It is refused when somebody else could have prepared it: another owner, a mode
that lets others write, symbolic links, a .dre that git tracks. One that this
machine has never seen is refused until `dre trust`. Commands that you wrap run
all the same.

One that was moved goes on at its new place. A copy can be read; nothing is added
to it until `dre trust` makes it a ledger of its own. One that is gone, or older
than what was seen, is a loss: it is said, and only `dre init` begins anew.
""",
    ),
    "environment": Topic(
        "variables that DRE reads",
        """\
  DRE_EVIDENCE_RETENTION, DRE_REPORTS_GLOBS, DRE_REDACTION_PATTERNS
                     settings for this call, before those of any file
  DRE_DEBUG=1        show where an unexpected error came from
  DRE_PARENT         set by dre wrap for the command: the operation it belongs to
  NO_COLOR           no colour, whatever the terminal
  XDG_STATE_HOME     where this machine remembers its ledgers (~/.local/state)
  XDG_CONFIG_HOME    where your own configuration is (~/.config)
""",
    ),
    "completion": Topic(
        "let the shell complete commands and ids",
        """\
Add to the shell's start file:

  bash   eval "$(_DRE_COMPLETE=bash_source dre)"     # ~/.bashrc
  zsh    eval "$(_DRE_COMPLETE=zsh_source dre)"      # ~/.zshrc
  fish   _DRE_COMPLETE=fish_source dre | source      # config.fish

Behind dre wrap it completes its options, then commands, then files.
""",
    ),
}
