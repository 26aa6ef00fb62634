"""The recorder from first to last step: look, spool, tree before, fork, copy, end. The order is the design."""

import errno
import os
import resource
import sys
import time

from dre.shim import closing, command, ends, group, ingest, secrets, voice
from dre.shim.command import Command, Report
from dre.shim.descriptors import (
    FILE,
    INNER,
    OUTPUT_ONLY,
    PIPE,
    Decision,
    close_all_but,
    copy_of,
    ours,
    private,
    wide_pipe,
    without_waiting,
)
from dre.shim.home import Home, Untrusted, gone
from dre.shim.ids import short
from dre.shim.journal import ENV, START, named
from dre.shim.options import HelpWanted, NotUnderstood, Options
from dre.shim.signals import Signals, drop_python_handler, stop
from dre.shim.spool import Spool
from dre.shim.stream import Stream
from dre.shim.timeout import Deadline
from dre.shim.unrecorded import in_words, run_unrecorded
from dre.shim.watch import READABLE, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn
else:
    import _signal

TIMED_OUT, MISUSED = 124, 2


def main(words: list[str]) -> "NoReturn":
    """`words` is what stands after `dre wrap`."""
    drop_python_handler()
    decision = Decision()  # before anything else opens
    options = _understand(words)
    _enter(options.folders)
    try:
        recorder = Recorder(options, decision)
    except Exception as reason:  # whatever it was, nothing has been started yet
        run_unrecorded(options, reason)
    recorder.run()


def _understand(words: list[str]) -> Options:
    try:
        return Options(words)
    except NotUnderstood as reason:
        voice.write(b"dre wrap: " + voice.one_line(os.fsencode(str(reason))) + b"\n")
        os._exit(MISUSED)
    except HelpWanted:
        from dre.shim import usage

        sys.stdout.write(usage.TEXT)
        sys.stdout.flush()
        os._exit(0)


def _enter(folders: list[bytes]) -> None:
    for folder in folders:
        try:
            os.chdir(folder)
        except OSError as error:
            voice.say(b"-C " + folder + b": " + os.strerror(error.errno or errno.EINVAL).encode())
            os._exit(MISUSED)


class Recorder:
    """One run. What can fail without harm is in the constructor: until its end no process was started."""

    def __init__(self, options: Options, decision: Decision) -> None:
        self._options, self._decision = options, decision
        self._ended_by = self._too_late = 0  # signals that came for a command that had ended
        self._gone = False  # the recording was destroyed, and there is nowhere to write it again
        self._began = time.monotonic_ns()
        self._on_terminal = os.isatty(2)
        self._stderr: int | None = None  # a copy of it, for what is to be said when 2 may be closed already
        self._id_file = self._open_id_file()  # with the caller's umask: it is the caller's file
        self._umask = os.umask(0o077)
        try:
            if self._options.strict and (path := gone(os.getcwdb())):
                raise _gone(path)  # before one is made, which would be in the way of whoever puts the old one back
            self._home = Home(os.getcwdb())
            if self._options.strict:
                self._refuse_to_wait()
            self._greet()
            self._spool = Spool(self._home)
            try:
                self._prepare()
            except BaseException:
                self._spool.discard()
                raise
        finally:
            os.umask(self._umask)

    def run(self) -> "NoReturn":
        """Ends as the command ended."""
        os.umask(0o077)
        wanted = Command(self._options.argv, self._ends, self._signals, self._umask, self._spool.id)
        try:
            started = self._job.start(wanted)
        except OSError as reason:  # no second process could be had: do without one
            self._abandon(reason)
        # Said first: behind a terminal of its own nothing needs the caller's 2 any more, and it is closed below.
        code = command.explain(self._options.argv, started.failure) if started.failure else 0
        for end in set(self._ends.values()):
            os.close(end)
        self._keep_only_ours()
        if started.failure:
            report = Report(started.pid, code << 8, started.failure)
            self._recording.exit(report.encode())
            self._close(report)
        self._finish(self._copy_until_the_end())

    # Before the fork

    def _open_id_file(self) -> int | None:
        """Emptied at once: an id of an earlier run must not stand there if this one is not recorded."""
        if self._options.id_file is None:
            return None
        try:
            fd = os.open(self._options.id_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if self._options.strict:
                raise
            self._say_id_file(error)
            return None
        return private(fd)

    def _named_id_file(self) -> list[tuple[str, bytes]]:
        """Where it really lies, behind links: what we write there is no change that the command made."""
        path = b"" if self._id_file is None else os.readlink(b"/proc/self/fd/%d" % self._id_file)
        return [("id_file", path)] if path.startswith(b"/") else []  # a pipe has a number for a name

    def _refuse_to_wait(self) -> None:
        """Who is strict wants history, not a recording that waits for somebody to decide. Raises Untrusted."""
        path = os.fsdecode(self._home.path)
        if self._home.lost:
            raise _gone(self._home.path)
        if self._home.blocked:
            raise Untrusted(f"the history in {path} is not the newest, or a copy (dre doctor says what to do)")
        from dre.shim import workspace  # here, since to ask git costs 3 ms that nobody else pays

        if tracked := workspace.tracked(self._home.path):
            raise Untrusted(f"git tracks {os.fsdecode(tracked)} (git rm -r --cached .dre takes it out)")

    def _greet(self) -> None:
        path = self._home.path
        if self._home.made and self._on_terminal and not self._options.quiet:
            voice.say(b"made " + path + b", where what is recorded here is kept")
        if self._home.lost:
            voice.say(b"the history in " + path + b" is gone; recordings wait there (dre doctor says more)")
        elif not self._options.then and not self._home.ci and self._home.blocked:  # who waits hears more from ingest
            voice.say(b"the history in " + path + b" is not the newest, or a copy; recordings wait there (dre doctor)")

    def _prepare(self) -> None:
        self._recording = self._spool.recording
        workspace = self._describe()
        if workspace is not None:
            workspace.keep(self._spool)
        self._spool.settle()
        self._open_ends()

    def _describe(self) -> "Workspace | None":
        options, decision, system = self._options, self._decision, os.uname()
        workspace, seen = self._find_workspace()
        limits = (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)
        parent = os.environb.get(b"DRE_PARENT")
        with open("/proc/sys/kernel/random/boot_id", "rb") as boot:
            boot_id = boot.read().strip()
        ci = self._home.ci
        self._recording.journal.write(
            START,
            named(
                ("operation", self._spool.id.encode()),
                *(("argv", word) for word in options.argv),
                ("cwd", os.getcwdb()),
                ("wall_ns", b"%d" % self._recording.journal.opened_wall_ns),
                ("boot", boot_id),
                *((f"fd{fd}", kind.encode()) for fd, kind in enumerate(decision.kinds)),
                ("order", b"exact" if decision.one_output else b"approximate"),
                ("umask", b"%o" % self._umask),
                *(("limit", b"%d %d %d" % (limit, *resource.getrlimit(limit))) for limit in limits),
                *(("label", label) for label in options.labels),
                *(("writes", glob) for glob in options.writes),
                *self._named_id_file(),
                *((("parent", parent),) if parent is not None else ()),
                ("uid", b"%d" % os.getuid()),
                ("host", system.nodename.encode()),
                ("system", f"{system.sysname} {system.release} {system.machine}".encode()),
                ("timeout_us", b"%d" % options.timeout_us),
                ("workspace", seen),
                *((("ci", b"1"),) if ci else ()),
            ),
        )
        self._recording.journal.write(ENV, named(*secrets.shown(os.environb, ci=ci)))
        self._spool.keep_needles(secrets.needles(os.environb))
        if ci and not options.then:
            options.then = "wait"
        return workspace

    def _find_workspace(self) -> "tuple[Workspace | None, bytes]":
        if not self._options.workspace:
            return None, b"no"
        from dre.shim import workspace  # here, so that a run without one does not pay for it

        try:
            found = workspace.find(os.getcwdb())
        except OSError:
            return None, b"failed"
        return found, b"no git" if found is None else b"yes"

    def _open_ends(self) -> None:
        """What the command gets as 0, 1 and 2, and our side of each."""
        self._ends: dict[int, int] = {}
        self._streams: list[Stream] = []
        self._files = [ends.WrittenRange(numbers[0]) for numbers in self._decision.shared(FILE)]
        for numbers in self._decision.shared(PIPE):
            reading, writing = wide_pipe()
            self._connect(numbers, reading, writing, terminal=False)
        outputs = [self._output_terminal(numbers) for numbers in self._decision.shared(OUTPUT_ONLY)]
        # What has to be said at the end needs somebody to say it to: a copy of ours keeps a pipe's reader waiting,
        # so until the command's end there is one only where it does no harm or was asked for.
        asked = self._options.then or self._options.id_file is not None
        self._stderr = voice.kept_copy() if self._on_terminal or asked else None
        self._job: "group.InGroup | InTerminal"
        self._job = self._in_terminal() if self._decision.terminal else group.InGroup(self._recording.journal, outputs)
        self._recording.on_trouble = self._keep_stderr
        self._signals = Signals()  # last: whatever failed before leaves the mask as it was

    def _output_terminal(self, numbers: list[int]) -> "OutputTerminal":
        from dre.shim.terminal import OutputTerminal  # here, so that a run without one does not pay for it

        output = OutputTerminal(numbers[0])
        self._connect(numbers, output.master, output.slave, terminal=True)
        return output

    def _in_terminal(self) -> "InTerminal":
        from dre.shim.terminal import InTerminal

        job = InTerminal(self._recording.journal, self._spool.alive)
        self._ends.update({fd: job.slave for fd, kind in enumerate(self._decision.kinds) if kind == INNER})
        self._streams.append(Stream(1, copy_of(job.master), without_waiting(1), terminal=True, closes=[]))
        return job

    def _connect(self, numbers: list[int], source: int, end: int, *, terminal: bool) -> None:
        sink = without_waiting(numbers[0])
        self._streams.append(Stream(numbers[0], source, sink, terminal=terminal, closes=numbers))
        self._ends.update(dict.fromkeys(numbers, end))

    def _abandon(self, reason: OSError) -> "NoReturn":
        self._spool.discard()
        self._signals.give_back()
        os.umask(self._umask)
        run_unrecorded(self._options, reason)

    # While it runs and after

    def _keep_only_ours(self) -> None:
        in_use = {fd for stream in self._streams for fd in stream.closes}
        # Every number of a file, not the one we read it by: in `>log 2>&1` it is descriptor 2 that we speak to.
        in_use.update(fd for numbers in self._decision.shared(FILE) for fd in numbers)
        close_all_but(ours | in_use)

    def _copy_until_the_end(self) -> Report:
        self._watch = Watch()
        self._watch.on(self._signals.fd, READABLE, self._on_signals)
        for stream in self._streams:
            stream.before_end = self._look_after_the_spool
            stream.attach(self._watch, self._recording)
        self._job.attach(self._watch, self._streams)
        deadline = Deadline(self._options.timeout_us, self._job)
        while self._job.end is None or (deadline.holds() and not self._ended_by):
            self._watch.once(deadline.wait_ms())
        if deadline.passed:
            self._job.end.failure = errno.ETIMEDOUT
        return self._job.end

    def _on_signals(self, _events: int) -> None:
        for got in self._signals.read():
            if got.number in _ENDING and not got.from_kernel and command.state(self._job.pid) in _OVER:
                self._too_late = got.number  # for the command, of whose end we are about to hear
            self._job.on_signal(got)

    def _keep_stderr(self) -> None:
        """There will be something to say, and the command may close its stderr before that."""
        if self._stderr is None:
            self._stderr = voice.kept_copy()

    def _finish(self, report: Report) -> "NoReturn":
        self._recording.exit(report.encode())
        self._keep_stderr()
        self._watch.on(self._signals.fd, READABLE, self._on_signals_after_the_end)
        killed = report.status >= 0 and os.WIFSIGNALED(report.status)
        for stream in self._streams:
            stream.finish(killed=killed)
        if any(stream.busy for stream in self._streams):
            self._ended_by = self._too_late  # natively it would still be waiting in a write, and die there
        while self._ended_by == 0 and any(stream.busy for stream in self._streams):
            self._watch.once()
        for file in self._files:
            file.keep(self._recording)
        if not self._spool.stands():
            self._rescue()
        self._job.let_go()
        held = [stream for stream in self._streams if stream.open]
        if held:
            kept = self._job.private_descriptors()
            ends.leave_drainer(held, self._spool, self._signals, kept, self._job.dismiss)
        else:
            self._job.dismiss()
        self._close(report)

    def _look_after_the_spool(self) -> None:
        """The command closes its stderr, at its end as a rule: the last moment to keep a copy, should one be needed."""
        if not self._spool.stands():
            self._keep_stderr()

    def _rescue(self) -> None:
        """Before the drainer: what comes late belongs into the same directory."""
        shown = short(self._spool.id).encode()
        try:
            from dre.shim.rescue import rescue

            rescue(self._spool, secrets.needles(os.environb))
        except Exception as reason:  # whatever it was, the command's end has to be told
            self._gone = True
            why = in_words(reason)
            self._say(b"the recording " + shown + b" was deleted while it ran, and cannot be written again: " + why)
        else:
            self._say(b"the recording " + shown + b" was deleted or replaced while it ran; it was written again")

    def _on_signals_after_the_end(self, _events: int) -> None:
        """The caller reads slowly: it would now see the command waiting in a write, and could stop or end it there."""
        for got in self._signals.read():
            if got.number == _signal.SIGTSTP:
                stop(got.number)
            elif got.number in _ENDING and got.sender != os.getpid():
                self._ended_by = got.number

    # The last words

    def _close(self, report: Report) -> "NoReturn":
        captured = self._capture()
        gate = self._then(report) if captured else ingest.INCONCLUSIVE
        if report.failure == errno.ETIMEDOUT:
            os._exit(TIMED_OUT)
        if self._ended_by:
            command.die_of(self._ended_by)
        if report.status == command.UNKNOWN:
            command.die_of(_signal.SIGHUP)
        if report.status == 0 and self._options.then == "gate":
            os._exit(gate)
        command.end_as(report.status)

    def _capture(self) -> bool:
        """Safe from here on: the caller may be told."""
        if self._gone:
            return False
        trouble = 0
        try:
            self._spool.close()
        except OSError as error:
            trouble = error.errno or errno.EIO
        trouble = trouble or self._recording.trouble
        if trouble:
            shown, lost = short(self._spool.id).encode(), self._recording.lost
            what = b"%d bytes of output not kept" % lost if lost else b"its end may be missing"
            self._say(b"the recording " + shown + b" is incomplete: " + os.strerror(trouble).encode() + b"; " + what)
        elif self._id_file is not None:
            try:
                os.write(self._id_file, self._spool.id.encode() + b"\n")
            except OSError as error:
                self._say_id_file(error)
        return not trouble

    def _then(self, report: Report) -> int:
        """Ingest; the exit status that a gate asks for."""
        if self._options.then:
            self._signals.let_through()
            return ingest.wait(self._home.path, self._spool.id, self._options.then, self._stderr)
        ingest.spawn(self._home.path)
        if self._on_terminal and not self._options.quiet and self._stderr is not None:
            self._say_captured(report)
        return 0

    def _say_captured(self, report: Report) -> None:
        elapsed_ns = time.monotonic_ns() - self._began
        color = self._options.color and not self._home.ci
        line = closing.line(short(self._spool.id), report.status, report.failure, elapsed_ns, color=color)
        if any(closing.unfinished(stream.tail) for stream in self._streams):
            line = b"\n" + line
        voice.write(line, self._stderr or 2)

    def _say(self, line: bytes) -> None:
        voice.say(line, 2 if self._stderr is None else self._stderr)

    def _say_id_file(self, error: OSError) -> None:
        reason = os.strerror(error.errno or errno.EIO).encode()
        self._say(b"--id-file " + (self._options.id_file or b"") + b": " + reason)


def _gone(path: bytes) -> Untrusted:
    return Untrusted(f"the history in {os.fsdecode(path)} is gone (put it back, or dre init begins a new one)")


_OVER = (b"", b"Z", b"X")
_ENDING = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGHUP)

if TYPE_CHECKING:
    from dre.shim.terminal import InTerminal, OutputTerminal
    from dre.shim.workspace import Workspace
