"""
What `dre wrap` costs the command that it wraps, beside what others cost that run a command and keep something of it.

    python bench/wrap.py [--quick] [--json FILE]

Everything is measured as users have it: the wheel, installed with the locked dependencies into an environment of its
own (no test tools, no development install), through its entry point. All rivals alternate; medians are compared. CPU is
that of the whole process tree, user and system, so it holds on a busy machine where wall times do not.

The benchmark is a reaper of orphans: the ingest that a wrap leaves behind is waited for before the next run begins, so
it disturbs none and its own cost is a row of its own. A rival that leaves something behind has it counted.
"""

import argparse
import base64
import ctypes
import json
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

OUTPUT_BYTES = 200_000_000
PATTERN_BYTES = 1 << 20
MANY_FILES = 20_000
PR_SET_CHILD_SUBREAPER = 36
LIMITS = {
    ("wrap.true", "python"): "at most 2.5",
    ("wrap.200mb.cpu", "native"): "at most 0.2 s more",
    ("wrap.200mb.memory", "native"): "at most 22.9 MiB",
    ("wrap.200mb.bytes", "native"): "all",
}
KEY = (
    "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as K\n"
    "from cryptography.hazmat.primitives import serialization as s\nimport sys\n"
    "open(sys.argv[1], 'wb').write(K.generate().private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))"
)


class Cost(NamedTuple):
    """`behind`: CPU of what went on after the end, in processes that were left behind."""

    cpu_ms: float
    wall_ms: float
    behind_ms: float


class Flood(NamedTuple):
    """A command that wrote much, as its reader saw it. `right`: how many bytes from the front were those written."""

    cpu_s: float
    wall_s: float
    right: int
    peak_mib: float


class Place:
    """Repositories under a HOME of their own, and an environment with the wheel and the rivals that are in Python."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.bin = os.path.join(folder, "environment", "bin")
        self.python = os.path.join(self.bin, "python")
        self.dre = os.path.join(self.bin, "dre")
        home = os.path.join(folder, "home")
        os.mkdir(home, 0o700)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DRE_", "GIT_", "XDG_", "PYTHON", "LC_", "VIRTUAL_ENV"))
        }
        path = f"{self.bin}{os.pathsep}{kept['PATH']}"
        self.environment: Mapping[str, str] = {
            **kept, "HOME": home, "PATH": path, "LANG": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1",
        }  # fmt: skip

    def make(self) -> None:
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        uv = os.path.join(root, ".tools", "bin", "uv")
        subprocess.run(
            [
                *(uv if os.path.exists(uv) else "uv", "sync", "--quiet", "--frozen", "--compile-bytecode"),
                *("--no-editable", "--no-default-groups", "--group", "bench", "--python", sys.executable),
            ],
            cwd=root,
            env={**os.environ, "UV_PROJECT_ENVIRONMENT": os.path.dirname(self.bin), "UV_PYTHON_DOWNLOADS": "never"},
            check=True,
        )
        self.key = os.path.join(self.folder, "key.pem")
        self.run(self.python, "-c", KEY, self.key, cwd=self.folder)

    def repository(self, files: int) -> str:
        """Committed, and clean as git sees it without reading a file."""
        top = os.path.join(self.folder, f"repository-{files}")
        for at in range(files):
            path = os.path.join(top, f"d{at // 200}", f"f{at}")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="ascii") as file:
                file.write(f"{at}\n")
        self.run("git", "init", "-q", cwd=top)
        self.run("git", "add", "-A", cwd=top)
        self.run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "one", cwd=top)
        time.sleep(1.1)  # entries as young as the index are read again each time
        self.run("git", "update-index", "-q", "--refresh", cwd=top)
        return top

    def run(self, *words: str, cwd: str) -> None:
        subprocess.run(words, cwd=cwd, env=self.environment, check=True, stdout=subprocess.DEVNULL, timeout=300)

    def version(self, name: str) -> str:
        """The first line that says it, or that it is missing."""
        found = shutil.which(name, path=self.environment["PATH"])
        if not found:
            return "missing"
        said = subprocess.run([found, "--version"], env=self.environment, capture_output=True, check=False)
        return (said.stdout or said.stderr).decode().partition("\n")[0].split()[-1]

    def rivals(self, command: Sequence[str]) -> dict[str, list[str]]:
        """Each runs the command and keeps its output, where it can; those that are not installed are left out."""
        out = os.path.join(self.folder, "kept")
        shutil.rmtree(out, ignore_errors=True)
        os.mkdir(out)
        line = " ".join(command)
        known = {
            "script": ["script", "-qec", line, f"{out}/script"],
            "con-duct": ["con-duct", "run", "--quiet", "--clobber", "-p", f"{out}/duct-", *command],
            "in-toto-run": [
                *("in-toto-run", "--step-name", "step", "--signing-key", self.key, "--metadata-directory", out),
                *("--record-streams", "--", *command),
            ],
            "witness": [
                *(
                    "witness",
                    "run",
                    "--step",
                    "step",
                    "--signer-file-key-path",
                    self.key,
                    "--outfile",
                    f"{out}/witness",
                ),
                *("--", *command),
            ],
            "asciinema": ["asciinema", "rec", "--quiet", "--overwrite", "--command", line, f"{out}/cast"],
        }
        return {name: words for name, words in known.items() if shutil.which(words[0], path=self.environment["PATH"])}

    def cost(self, words: Sequence[str], cwd: str) -> Cost:
        began = time.perf_counter()
        process = self._start(words, cwd, subprocess.DEVNULL)
        usage, wall_ms = ended(process, words), (time.perf_counter() - began) * 1e3
        return Cost(cpu_s(usage) * 1e3, wall_ms, reap() * 1e3)

    def flood(self, words: Sequence[str], cwd: str, pattern: bytes) -> Flood:
        """Reads what the command writes and compares it. The ingest of it is not the question, and is ended."""
        began = time.perf_counter()
        process = self._start(words, cwd, subprocess.PIPE)
        assert process.stdout is not None
        same, peak_kib, at, expected = True, 0, 0, memoryview(pattern + pattern)
        buffer = memoryview(bytearray(PATTERN_BYTES))
        right = 0
        while got := os.readv(process.stdout.fileno(), [buffer]):
            place = at % PATTERN_BYTES
            same = same and buffer[:got] == expected[place : place + got]
            at += got
            right = at if same else right
            peak_kib = max(peak_kib, peak_of(process.pid))
        process.stdout.close()
        peak_kib = max(peak_kib, peak_of(process.pid))
        usage, wall_s = ended(process, words), time.perf_counter() - began
        for pid in orphans():
            os.kill(pid, signal.SIGKILL)
        reap()
        shutil.rmtree(os.path.join(cwd, ".dre", "spool"), ignore_errors=True)
        return Flood(cpu_s(usage), wall_s, right, peak_kib / 1024)

    def _start(self, words: Sequence[str], cwd: str, stdout: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            words, cwd=cwd, env=self.environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.DEVNULL,
            bufsize=0,
        )  # fmt: skip


def ended(process: "subprocess.Popen[bytes]", words: Sequence[str]) -> Any:
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return usage


def cpu_s(usage: Any) -> float:
    return float(usage.ru_utime + usage.ru_stime)


def peak_of(pid: int) -> int:
    """KiB, of this process alone: what wait4 says is never below what its parent held when it forked."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            return next((int(line.split()[1]) for line in status if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


def reap() -> float:
    """Waits for everything that was left behind; the seconds of CPU that it took."""
    taken = 0.0
    while True:
        try:
            taken += cpu_s(os.wait4(-1, 0)[2])
        except ChildProcessError:
            return taken


def orphans() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as children:
        return [int(pid) for pid in children.read().split()]


def alternated(cases: Mapping[str, Callable[[], Any]], rounds: int, *, warm_up: bool) -> dict[str, list[Any]]:
    """In another order each round: a small program is dearer behind a big one, which must not hit one case alone."""
    found: dict[str, list[Any]] = {name: [] for name in cases}
    order, shuffled = list(cases), random.Random(0)  # noqa: S311  (an order is no secret)
    for at in range(rounds + warm_up):
        shuffled.shuffle(order)
        for name in order:
            cost = cases[name]()
            if at or not warm_up:
                found[name].append(cost)
    return found


def median(costs: Sequence[Any], field: str) -> float:
    return float(statistics.median(getattr(cost, field) for cost in costs))


def run_true(place: Place, rounds: int) -> list[dict[str, Any]]:
    top = place.repository(1)
    cases = {
        "native": ["true"],
        "python": [place.python, "-I", "-S", "-c", "pass"],
        "wrap.true": [place.dre, "wrap", "--no-workspace", "true"],
        "wrap.true.workspace": [place.dre, "wrap", "true"],
        **place.rivals(["true"]),
    }
    costs = alternated({name: partial(place.cost, words, top) for name, words in cases.items()}, rounds, warm_up=True)
    cpu = {name: median(each, "cpu_ms") for name, each in costs.items()}
    print(f"{'true':<22} {'CPU ms':>8} {'wall ms':>8} {'behind':>8}   CPU ms of what goes on after the end")
    for name, each in costs.items():
        print(f"{name:<22} {cpu[name]:>8.1f} {median(each, 'wall_ms'):>8.1f} {median(each, 'behind_ms'):>8.1f}")
        if not name.startswith("wrap."):
            cpu[name] += median(each, "behind_ms")
    cpu["snapshot"] = cpu["wrap.true.workspace"] - cpu["wrap.true"]
    cpu["ingest"] = median(costs["wrap.true.workspace"], "behind_ms")
    print(f"{'git snapshot':<22} {cpu['snapshot']:>8.1f}   (the difference)\n")
    peers = [name for name in cases if not name.startswith("wrap.")]
    return [
        *(compared("wrap.true", peer, cpu["wrap.true"], cpu[peer], "ms CPU") for peer in peers),
        compared("wrap.true.snapshot", "python", cpu["snapshot"], cpu["python"], "ms CPU"),
        compared("wrap.true.ingest", "python", cpu["ingest"], cpu["python"], "ms CPU"),
    ]


def run_many_files(place: Place, rounds: int) -> list[dict[str, Any]]:
    top = place.repository(MANY_FILES)
    cases = {
        "git status": ["git", "status", "--porcelain"],
        "wrap": [place.dre, "wrap", "--no-workspace", "true"],
        "workspace": [place.dre, "wrap", "true"],
    }
    costs = alternated({name: partial(place.cost, words, top) for name, words in cases.items()}, rounds, warm_up=True)
    snapshot = median(costs["workspace"], "cpu_ms") - median(costs["wrap"], "cpu_ms")
    git = median(costs["git status"], "cpu_ms")
    print(f"git snapshot of {MANY_FILES:,} files: {snapshot:.1f} ms CPU, git status {git:.1f}\n")
    return [compared(f"wrap.snapshot.{MANY_FILES}", "git status", snapshot, git, "ms CPU")]


def run_flood(place: Place, rounds: int) -> list[dict[str, Any]]:
    folder = os.path.join(place.folder, "flood")
    os.mkdir(folder)
    pattern = base64.encodebytes(os.urandom(PATTERN_BYTES))[
        :PATTERN_BYTES
    ]  # lines of text: not every rival takes bytes
    with open(os.path.join(folder, "flood"), "wb") as file:
        file.writelines(pattern[: OUTPUT_BYTES - at] for at in range(0, OUTPUT_BYTES, PATTERN_BYTES))
    command = ["cat", "flood"]

    def measure(words: Sequence[str]) -> Flood:
        return place.flood(words, folder, pattern)

    ours = {"native": command, "wrap": [place.dre, "wrap", "--no-workspace", *command]}
    theirs = {name: words for name, words in place.rivals(command).items() if name in ("con-duct", "in-toto-run")}
    costs = alternated({name: partial(measure, words) for name, words in ours.items()}, rounds, warm_up=True)
    costs |= alternated({name: partial(measure, words) for name, words in theirs.items()}, 1, warm_up=False)
    print(f"{'200 MB, a pipe':<22} {'CPU s':>8} {'wall s':>8} {'MiB':>8}   bytes that were right")
    for name, each in costs.items():
        figures = (median(each, "cpu_s"), median(each, "wall_s"), median(each, "peak_mib"))
        print(f"{name:<22} {figures[0]:>8.3f} {figures[1]:>8.2f} {figures[2]:>8.1f}   {fewest(each):,}")
    native, wrap = costs["native"], costs["wrap"]
    print(f"{'':<22} {median(wrap, 'cpu_s') - median(native, 'cpu_s'):>+8.3f} s CPU\n")
    return [
        compared("wrap.200mb.cpu", "native", median(wrap, "cpu_s"), median(native, "cpu_s"), "s CPU"),
        compared("wrap.200mb.memory", "native", median(wrap, "peak_mib"), median(native, "peak_mib"), "MiB"),
        compared("wrap.200mb.bytes", "native", fewest(wrap), fewest(native), "bytes"),
    ]


def fewest(floods: Sequence[Flood]) -> int:
    return min(flood.right for flood in floods)


def compared(work: str, peer: str, ours: float, theirs: float, unit: str) -> dict[str, Any]:
    return {
        "work": work,
        "ours": round(ours, 3),
        "theirs": round(theirs, 3),
        "peer": peer,
        "ratio": round(ours / theirs, 3),
        "unit": unit,
    }


def figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and no repository of many files")
    parser.add_argument("--json", metavar="FILE", help="write the results there too")
    asked = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder)
        place.make()
        today = time.strftime("%Y-%m-%d")
        print(
            f"{today}, Python {platform.python_version()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f};",
            end=" ",
        )
        names = ("git", "script", "con-duct", "in-toto-run", "witness", "asciinema")
        print(", ".join(f"{name} {place.version(name)}" for name in names), end="\n\n")
        results = run_true(place, 11 if asked.quick else 31)
        results += [] if asked.quick else run_many_files(place, 11)
        results += run_flood(place, 2 if asked.quick else 9)
    for result in results:
        wanted = LIMITS.get((result["work"], result["peer"]))
        print(
            f"{result['work']:>20} / {result['peer']:<12} {figure(result['ours']):>12} {figure(result['theirs']):>12} "
            f"{result['unit']:<7} {result['ratio']:>7.2f}{f'  ({wanted})' if wanted else ''}"
        )
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump({"results": results}, file, indent=2)


if __name__ == "__main__":
    main()
