"""What is handed out: the metadata, the wheel and the source distribution."""

import hashlib
import importlib.metadata
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

DISTRIBUTION = "development-reality-engine"
APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


@pytest.fixture(scope="session")
def pyproject(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture(scope="session")
def built(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both distributions, built with the locked backend and without a network."""
    dist = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(dist)], cwd=root, check=True)
    return dist


def wheel_names(built: Path) -> set[str]:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def sdist_names(built: Path) -> set[str]:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_the_installed_version_is_the_one_written_down(pyproject: dict[str, Any]) -> None:
    assert importlib.metadata.version(DISTRIBUTION) == pyproject["project"]["version"]


def test_the_lock_file_knows_the_project_by_that_version(root: Path, pyproject: dict[str, Any]) -> None:
    locked = tomllib.loads((root / "uv.lock").read_text())["package"]
    (project,) = [package for package in locked if package["name"] == DISTRIBUTION]
    assert project["version"] == pyproject["project"]["version"]


def test_every_dependency_has_a_floor(pyproject: dict[str, Any]) -> None:
    groups = pyproject["dependency-groups"].values()
    wanted = [*pyproject["project"]["dependencies"], *(each for group in groups for each in group)]
    assert [each for each in wanted if ">=" not in each] == []


def test_the_license_is_the_whole_apache_license(root: Path) -> None:
    assert hashlib.sha256((root / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0


def test_the_wheel_holds_the_package_and_nothing_else(built: Path, root: Path, tracked: list[Path]) -> None:
    package = {str(path.relative_to(root)) for path in tracked if path.is_relative_to(root / "dre")}
    names = wheel_names(built)
    assert package <= names
    assert {name.split("/")[0] for name in names - package} == {
        f"{DISTRIBUTION.replace('-', '_')}-{version()}.dist-info"
    }


def test_the_wheel_holds_what_the_pages_are_made_of(built: Path) -> None:
    pages = "dre/server/pages"
    names = wheel_names(built)
    assert {f"{pages}/templates/base.html", f"{pages}/static/live.js", f"{pages}/static/dre.css"} <= names
    assert {
        f"{pages}/static/vendor/{name}" for name in ("idiomorph.min.js", "idiomorph.LICENSE", "SHA256SUMS")
    } <= names


def test_the_wheel_says_that_it_is_typed_and_under_which_license(built: Path) -> None:
    names = wheel_names(built)
    assert "dre/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_source_distribution_can_be_tested_and_documented(built: Path, root: Path, tracked: list[Path]) -> None:
    names = sdist_names(built)
    assert {"LICENSE", "README.md", "Makefile", "pyproject.toml", "dre/py.typed"} <= names
    for folder in ("dre", "tests", "docs", "examples"):
        missing = {str(path.relative_to(root)) for path in tracked if path.is_relative_to(root / folder)} - names
        assert missing == set()


def test_the_source_distribution_holds_nothing_that_was_built(built: Path) -> None:
    first = {name.split("/")[0] for name in sdist_names(built)}
    assert first & {".venv", ".tools", "build", "dist", ".dre"} == set()


def version() -> str:
    return importlib.metadata.version(DISTRIBUTION)
