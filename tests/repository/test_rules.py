"""Rules that hold for the repository as a whole."""

import re
import subprocess
import sys
import tokenize
from pathlib import Path

# Names in pieces, so that this file does not break the rule it holds.
REGISTRIES = [
    "".join(pieces)
    for pieces in (
        ("pypi", ".org"),
        ("pythonhosted", ".org"),
        ("npmjs", ".org"),
        ("crates", ".io"),
        ("golang", ".org"),
        ("maven", ".org"),
        ("deb.debian", ".org"),
    )
]
UNDONE = re.compile("TO" + "DO|FIX" + "ME|pytest.mark.(sk" + "ip|xf" + "ail)|pytest.(sk" + "ip|xf" + r"ail)\(")
FRAGMENT = re.compile(r"\+?[\w-]+\.(added|changed|deprecated|removed|fixed|security)\.md")


def test_only_the_lock_file_names_a_package_registry(root: Path, tracked: list[Path]) -> None:
    naming = [
        (str(path.relative_to(root)), host)
        for path in tracked
        if path.name != "uv.lock"
        for host in REGISTRIES
        if host.encode() in path.read_bytes()
    ]
    assert naming == []


def test_nothing_is_left_undone_and_no_test_is_left_out(root: Path, tracked: list[Path]) -> None:
    sources = [path for path in tracked if path.suffix in {".py", ".sh"} or path.name in {"Makefile", "run"}]
    undone = [
        f"{path.relative_to(root)}: {found[0]}"
        for path in sources
        if (found := UNDONE.search(without_strings(path) if path.suffix == ".py" else path.read_text()))
    ]
    assert undone == []


def without_strings(path: Path) -> str:
    """A test may hold the source of another program, whatever that one leaves out."""
    with path.open("rb") as file:
        return "".join(token.string for token in tokenize.tokenize(file.readline) if token.type != tokenize.STRING)


def test_the_import_contracts_hold(root: Path) -> None:
    lint = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(lint, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_piece_of_news_has_a_name_that_the_change_log_reads(root: Path) -> None:
    news = [path.name for path in (root / "changes").iterdir() if path.name != "README.md"]
    assert [name for name in news if not FRAGMENT.fullmatch(name)] == []
    assert "<!-- releases -->\n" in (root / "CHANGELOG.md").read_text()


def test_scripts_can_be_run_as_they_are(root: Path) -> None:
    for script in (".ci/run", "examples/first-run.sh"):
        assert (root / script).stat().st_mode & 0o111, script
        shell = (root / script).read_text().splitlines()[0].split("/")[-1].split()[-1]
        subprocess.run([shell, "-n", str(root / script)], check=True)
