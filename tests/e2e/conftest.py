"""A project that nobody here wrote, in a git repository of its own."""

import fcntl
import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from e2e.console import Console

NAME, VERSION = "click", "8.3.1"
SHA256 = "12ff4785d337a1bb490bb7e9c2b1ee5da3112e94a8622f26a6c77f5d2fc6842a"
KEPT = Path(__file__).parents[2] / "build" / "sdists"


def _download() -> Path:
    """The source distribution, by name from the package index, proved by its digest; kept for the next run."""
    archive = KEPT / f"{NAME}-{VERSION}.tar.gz"
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            pip = [str(Path(sys.base_prefix) / "bin" / "python3"), "-m", "pip", "download", "-q", "--no-deps"]
            subprocess.run([*pip, "--no-binary", ":all:", "-d", KEPT, f"{NAME}=={VERSION}"], check=True, timeout=240)
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == SHA256
    return archive


@pytest.fixture(scope="session")
def archive() -> Path:
    return _download()


@pytest.fixture
def project(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    """Unpacked and committed; its tests see its own sources and none of our plug-ins."""
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    folder = tmp_path / f"{NAME}-{VERSION}"
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", f"{NAME} {VERSION}"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    monkeypatch.setenv("PYTHONPATH", "src")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for variable in [name for name in os.environ if name.startswith(("PYTEST_XDIST", "COV_", "COVERAGE"))]:
        monkeypatch.delenv(variable)
    return Console(folder)


@pytest.fixture
def shop(tmp_path: Path) -> Console:
    """A small git repository of one's own, with one commit."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "cart.py").write_text("TOTAL = 41\n")
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return Console(folder)
