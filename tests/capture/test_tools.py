"""A tool's version comes from files, whatever these hold; no tool is run to ask for it."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from capture.recorded import History, Place

from dre.capture.invoked import invoked
from dre.capture.redaction import Redactor
from dre.capture.tools import Tool, find_tools
from dre.capture.versions import node, python, toolchain
from dre.capture.versions.distribution import Distribution
from dre.capture.versions.files import Files, Said

PASSWORD = b"correct-horse-battery"


class Folder:
    """A work tree to put tools and their files into."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def put(self, path: str, content: str | bytes = "", *, mode: int = 0o644) -> Path:
        file = self.top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(mode)
        return file

    def program(self, path: str, content: str | bytes = "\x7fELF") -> Path:
        return self.put(path, content, mode=0o755)

    def link(self, path: str, to: str) -> Path:
        file = self.top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(to)
        return file

    def tools(self, *words: str, redactor: Redactor | None = None, **variables: str) -> list[Tool]:
        return find_tools(
            [word.encode() for word in words],
            os.fsencode(self.top),
            {"PATH": b"/usr/bin:/bin", **{name: os.fsencode(value) for name, value in variables.items()}},
            redactor or Redactor(),
        )

    def version(self, *words: str) -> str | None:
        return self.tools(*words)[0].version

    def venv(self, name: str = ".venv") -> None:
        self.put(f"{name}/pyvenv.cfg", "home = /usr/bin\nversion = 3.12.4\n")
        self.link(f"{name}/bin/python", sys.executable)

    def distribution(self, name: str, version: str, entry_points: str = "", record: str = "", at: str = ".venv") -> str:
        info = f"{at}/lib/python3.12/site-packages/{name}-{version}.dist-info"
        self.put(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nVersion: 0\n")
        self.put(f"{info}/entry_points.txt", entry_points)
        self.put(f"{info}/RECORD", record)
        return info


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_console_script_has_its_distribution_s_version_and_its_interpreter_its_own(folder: Folder) -> None:
    folder.venv()
    folder.distribution("other", "0.1", "[console_scripts]\npytests = other:main\n")
    info = folder.distribution("pytest", "8.4.1", "[console_scripts]\npytest = pytest:console_main\n")
    folder.program(".venv/bin/pytest", f"#!{folder.top}/.venv/bin/python\nimport sys\n")

    script, interpreter = folder.tools(".venv/bin/pytest", "-q")

    assert (script.version, script.version_from) == ("8.4.1", f"{folder.top}/{info}/METADATA")
    assert (interpreter.path, interpreter.version) == (f"{folder.top}/.venv/bin/python", "3.12.4")
    assert interpreter.version_from == f"{folder.top}/.venv/pyvenv.cfg"


def test_a_script_named_unlike_its_distribution_is_found_by_its_entry_point(folder: Folder) -> None:
    folder.venv()
    folder.distribution("python_docutils", "0.21", "[console_scripts]\nrst2html = docutils:html\n")
    folder.program(".venv/bin/rst2html", f"#!{folder.top}/.venv/bin/python -E\n")

    assert folder.version(".venv/bin/rst2html") == "0.21"


def test_a_program_that_a_wheel_brought_is_found_by_its_record(folder: Folder) -> None:
    folder.venv()
    folder.distribution("ruff", "0.9.1", record="../../../bin/ruff,sha256=x,1\n")
    folder.program(".venv/bin/ruff")

    assert folder.version(".venv/bin/ruff") == "0.9.1"


def test_a_script_that_nothing_installed_has_no_version(folder: Folder) -> None:
    folder.venv()
    folder.distribution("tool", "9.9", "[console_scripts]\nanother = tool:main\n")
    folder.program(".venv/bin/tool", f"#!{folder.top}/.venv/bin/python\n")

    assert [tool.version for tool in folder.tools(".venv/bin/tool")] == [None, "3.12.4"]


@pytest.mark.parametrize("home", ["pipx/venvs/black", "uv/tools/black"])
def test_a_link_into_an_environment_of_its_own_is_followed(folder: Folder, home: str) -> None:
    folder.venv(home)
    folder.distribution("black", "25.1.0", "[console_scripts]\nblack = black:main\n", at=home)
    folder.program(f"{home}/bin/black", f"#!{folder.top}/{home}/bin/python\n")
    folder.link("bin/black", f"{folder.top}/{home}/bin/black")

    [tool, _] = folder.tools("black", PATH=f"{folder.top}/bin")
    assert (tool.path, tool.version) == (f"{folder.top}/bin/black", "25.1.0")


def test_an_interpreter_too_long_for_a_first_line_stands_in_the_second(folder: Folder) -> None:
    folder.venv()
    folder.distribution("tool", "1.2", "[console_scripts]\ntool=tool:main\n")
    python_path = f"{folder.top}/.venv/bin/python"
    folder.program(".venv/bin/tool", f"#!/bin/sh\n'''exec' \"{python_path}\" \"$0\" \"$@\"\n' '''\n")

    tool, interpreter = folder.tools(".venv/bin/tool")
    assert (tool.version, interpreter.path) == ("1.2", python_path)


def test_what_python_runs_as_a_module_is_a_tool_with_a_version(folder: Folder) -> None:
    folder.venv()
    folder.put(".venv/lib/python3.12/site-packages/pytest/__main__.py")
    folder.distribution("pytest", "8.4.1", record="_pytest/x.py,,\npytest/__main__.py,sha256=x,1\n")

    interpreter, module = folder.tools(".venv/bin/python", "-Im", "pytest", "-q")
    assert (interpreter.version, module.name, module.version) == ("3.12.4", "pytest", "8.4.1")

    folder.put(
        "pytest.py", "print('another')\n"
    )  # the working directory comes first, and no distribution answers for it
    _, planted = folder.tools(".venv/bin/python", "-m", "pytest")
    assert (planted.path, planted.version) == (f"{folder.top}/pytest.py", None)


def test_python_without_an_environment_is_known_by_its_headers_then_by_its_name(folder: Folder) -> None:
    folder.program("opt/bin/python3.12")
    assert folder.version("opt/bin/python3.12") == "3.12"

    folder.put("opt/include/python3.12/patchlevel.h", '#define PY_MICRO 7\n#define PY_VERSION      "3.12.7"\n')
    assert folder.version("opt/bin/python3.12") == "3.12.7"


@pytest.mark.parametrize("words", [["node_modules/.bin/eslint"], ["npx", "--no-install", "eslint", "."]])
def test_a_node_tool_has_its_package_s_version(folder: Folder, words: list[str]) -> None:
    folder.put("node_modules/eslint/package.json", '{"name": "eslint", "version": "9.20.0", "bin": {"eslint": "x"}}')
    folder.put("node_modules/eslint/bin/package.json", '{"type": "module"}')
    folder.program("node_modules/eslint/bin/eslint.js", "#!/usr/bin/env no-such-node\n")
    folder.link("node_modules/.bin/eslint", "../eslint/bin/eslint.js")

    tool = next(tool for tool in folder.tools(*words) if str(tool.name).endswith("eslint"))

    assert (tool.version, tool.version_from) == ("9.20.0", f"{folder.top}/node_modules/eslint/package.json")


def test_a_stand_in_where_no_links_are_made_counts_only_for_the_package_that_names_it(folder: Folder) -> None:
    for name in ("eslint", "other"):
        folder.put(f"node_modules/{name}/package.json", '{"name": "x", "version": "9.20.0", "bin": {"eslint": "x"}}')
        folder.program(f"node_modules/.bin/{name}", "#!/bin/sh\nexec node $basedir/../eslint/bin/eslint.js\n")

    assert folder.version("node_modules/.bin/eslint") == "9.20.0"
    assert folder.version("node_modules/.bin/other") is None


@pytest.mark.parametrize(
    ("program", "file", "content", "version"),
    [
        (
            "node/bin/node",
            "node/include/node/node_version.h",
            "#define NODE_MAJOR_VERSION 22\n#define NODE_MINOR_VERSION 1\n#define NODE_PATCH_VERSION 0\n",
            "22.1.0",
        ),
        ("go/bin/go", "go/VERSION", "go1.22.1\ntime 2024-02-29T18:18:48Z\n", "1.22.1"),
        ("jdk/bin/java", "jdk/release", 'IMPLEMENTOR="x"\nJAVA_VERSION="17.0.9"\n', "17.0.9"),
        (
            "rust/bin/rustc",
            "rust/lib/rustlib/multirust-channel-manifest.toml",
            'date = "x"\n[pkg.cargo]\nversion = "0.1"\n[pkg.rustc]\nversion = "1.80.0 (051478957 2024-07-21)"\n',
            "1.80.0 (051478957 2024-07-21)",
        ),
        (
            "cargo/bin/rg",
            "cargo/.crates.toml",
            '[v1]\n"ripgrep 14.1.0 (registry+https://x)" = [\n    "rg",\n]\n',
            "14.1.0",
        ),
    ],
)
def test_a_toolchain_says_its_version_in_a_file_of_its_own(
    folder: Folder, program: str, file: str, content: str, version: str
) -> None:
    folder.program(program)
    folder.put(file, content)

    [tool] = folder.tools(program)
    assert (tool.version, tool.version_from) == (version, f"{folder.top}/{file}")


def test_rustup_s_stand_in_has_a_version_only_where_it_has_no_choice(folder: Folder) -> None:
    folder.program(".cargo/bin/rustup")
    folder.link(".cargo/bin/cargo", "rustup")
    manifest = '[pkg.cargo]\nversion = "0.80.0"\n'
    folder.put(".rustup/toolchains/stable/lib/rustlib/multirust-channel-manifest.toml", manifest)
    assert folder.version(".cargo/bin/cargo") == "0.80.0"

    folder.put(".rustup/toolchains/nightly/lib/rustlib/multirust-channel-manifest.toml", manifest)
    assert folder.version(".cargo/bin/cargo") is None


STATUS = """\
Package: make
Status: install ok installed
Architecture: amd64
Version: 4.3-4.1
Description: x
 Version: 0

Package: libx
Architecture: i386
Version: 1

Package: libx
Architecture: arm64
Version: 2
"""


def of_file(folder: Folder, path: bytes) -> Said | None:
    return Distribution(Files(), os.fsencode(folder.top)).of_file(path)


def test_dpkg_is_asked_in_its_files(folder: Folder) -> None:
    folder.put("var/lib/dpkg/status", STATUS)
    folder.put("var/lib/dpkg/info/make.list", "/.\n/usr\n/usr/bin\n/usr/bin/make\n/usr/bin/makes-nothing\n")
    folder.put("var/lib/dpkg/info/libx:arm64.list", "/bin/xx\n")

    assert of_file(folder, b"/usr/bin/make") == Said("4.3-4.1", os.fsencode(folder.top / "var/lib/dpkg/status"))
    found = of_file(folder, b"/usr/bin/xx")  # the list calls it /bin/xx, as before the two folders were one
    assert found is not None
    assert found.version == "2"
    assert of_file(folder, b"/usr/bin/makes") is None
    assert of_file(folder, b"/usr/local/bin/make") is None


def test_apk_is_asked_in_its_file(folder: Folder) -> None:
    busybox = "C:x\nP:busybox\nV:1.36.1-r5\nF:bin\nR:busybox\nZ:x\nF:etc\nR:git\n\n"
    folder.put("lib/apk/db/installed", busybox + "C:y\nP:git\nV:2.43.0-r0\nF:usr/bin\nR:git\n\n")

    versions = [
        found and found.version for found in (of_file(folder, b"/usr/bin/git"), of_file(folder, b"/bin/busybox"))
    ]
    assert versions == ["2.43.0-r0", "1.36.1-r5"]
    assert of_file(folder, b"/bin/git") is None


HOSTILE = {
    "empty": b"",
    "not text": b"\xff\xfe\x00\x80" * 1000,
    "deep": b"[" * 200_000,
    "huge": b"Version: 1\n" * 400_000,
    "long version": b"Version: " + b"9" * 10_000 + b'\n{"name": "x", "version": "' + b"9" * 10_000 + b'"}',
    "controls": b'{"name": "x", "version": "\\u001b[31m1"}',
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=list(HOSTILE))
def test_files_that_hold_anything_else_give_no_version_and_no_trouble(folder: Folder, content: bytes) -> None:
    folder.venv()
    info = folder.distribution("tool", "1", "[console_scripts]\ntool = x:y\n")
    for name in ("METADATA", "RECORD"):
        folder.put(f"{info}/{name}", content if name == "RECORD" or content != HOSTILE["huge"] else b"")
    folder.program(".venv/bin/tool", f"#!{folder.top}/.venv/bin/python\n")
    folder.put("node_modules/tool/package.json", content)
    folder.program("node_modules/tool/tool", "#!/usr/bin/env no-such-node\n")
    for program, file in (("go/bin/go", "go/VERSION"), ("jdk/bin/java", "jdk/release"), ("c/bin/rg", "c/.crates.toml")):
        folder.program(program)
        folder.put(file, content)

    for program in (".venv/bin/tool", "node_modules/tool/tool", "go/bin/go", "jdk/bin/java", "c/bin/rg"):
        assert folder.version(program) is None, program
    for database in ("var/lib/dpkg/status", "var/lib/dpkg/info/tool.list", "lib/apk/db/installed"):
        folder.put(database, content)
    assert of_file(folder, b"/usr/bin/tool") is None


@pytest.mark.parametrize(
    ("program", "file", "content"),
    [
        (
            "n/bin/node",
            "n/include/node/node_version.h",
            "#define NODE_MAJOR_VERSION 1\n" * 1000 + "#define NODE_MINOR_VERSION 1\n" * 1000,
        ),
        ("c/bin/rg", "c/.crates.toml", '"x 1 (y)" = [\n' * 80_000),
        ("j/bin/java", "j/release", 'JAVA_VERSION="1\n' * 80_000),
    ],
)
def test_a_file_made_to_be_searched_for_ever_is_not(folder: Folder, program: str, file: str, content: str) -> None:
    folder.program(program)
    folder.put(file, content)

    assert folder.version(program) is None


def test_a_pipe_in_a_file_s_place_holds_nobody_up(folder: Folder) -> None:
    folder.venv()
    info = folder.distribution("tool", "1", "[console_scripts]\ntool = x:y\n")
    folder.program(".venv/bin/tool", f"#!{folder.top}/.venv/bin/python\n")
    (folder.top / info / "METADATA").unlink()
    os.mkfifo(folder.top / "pipe")
    folder.link(f"{info}/METADATA", f"{folder.top}/pipe")

    assert folder.version(".venv/bin/tool") is None


def test_no_more_is_read_than_a_recording_may_cost(folder: Folder) -> None:
    for number in range(30):
        folder.put(str(number), b"x" * 100)
    few = Files(most_files=10, most_bytes=1 << 20)
    assert sum(bool(few.read(os.fsencode(folder.top / str(number)))) for number in range(30)) == 10
    short = Files(most_files=100, most_bytes=250)
    assert sum(len(short.read(os.fsencode(folder.top / str(number)))) for number in range(30)) == 250


def test_no_secret_is_in_it(folder: Folder) -> None:
    folder.program("go/bin/go")
    folder.put("go/VERSION", "go" + PASSWORD.decode())

    [tool] = folder.tools("go/bin/go", redactor=Redactor([PASSWORD]))
    assert PASSWORD.decode() not in str(tool)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["make", "-j2"], ["make"]),
        (["sh", "-c", "cd x && FOO=1 make -j2 | tee log >/dev/null; $X y"], ["sh", "make", "tee"]),
        (["bash", "-euo", "pipefail", "-c", "if git diff; then\n  npx eslint .\nfi"], ["bash", "git", "npx", "eslint"]),
        (["sh", "-c", "cat <<E\nrm -rf x\nE\nls"], ["sh", "cat"]),
        (["sh", "-c", "echo 'a\nb' && ls"], ["sh"]),
        (["sh", "script", "-c", "make"], ["sh"]),
        (["env", "-i", "A=b", "python3", "-W", "error", "-m", "pytest"], ["env", "python3", "python3 -m pytest"]),
        (["python", "script.py", "-m", "x"], ["python"]),
        (["python", "-c", "x", "-m", "x"], ["python"]),
        (["uv", "run", "--frozen", "pytest", "-q"], ["uv", "pytest"]),
        (["uv", "run", "--with", "requests", "pytest"], ["uv"]),
        (["npm", "exec", "--", "tsc"], ["npm", "tsc"]),
        (["npm", "test"], ["npm"]),
    ],
)
def test_what_a_command_goes_through_is_read_from_its_words(words: Sequence[str], expected: list[str]) -> None:
    found = invoked([word.encode() for word in words])
    assert [(one.word + b" -m " * bool(one.module) + one.module).decode() for one in found] == expected


def test_a_command_that_goes_round_in_circles_ends() -> None:
    script = b"env " * 50 + b"; ".join(b"tool%d" % number for number in range(500))
    assert len(invoked([b"sh", b"-c", script])) <= 16


async def test_a_recording_says_the_versions_in_its_evidence_and_in_the_event(place: Place, history: History) -> None:
    folder = Folder(place.top)
    folder.venv()
    folder.distribution("tool", "1.2", "[console_scripts]\ntool = tool:main\n")
    proof = folder.top / "ran"
    folder.program(".venv/bin/tool", f"#!{folder.top}/.venv/bin/python\nopen({str(proof)!r}, 'a').write('ran')\n")

    id = place.wrap(".venv/bin/tool")
    await history.take(place)

    found: dict[str, Any] = json.loads(await history.content(id, "environment"))
    assert [(tool["name"], tool["version"]) for tool in found["tools"]] == [
        (".venv/bin/tool", "1.2"),
        (f"{folder.top}/.venv/bin/python", "3.12.4"),
    ]
    assert (await history.items(id))["environment"].metadata == {"tools": "tool 1.2, python 3.12.4"}
    assert proof.read_text() == "ran"  # by the command itself, once


def test_each_source_answers_for_its_own_kind_alone(folder: Folder) -> None:
    program = os.fsencode(folder.program("plain/bin/tool"))
    files = Files()
    assert node.of_program(program, program, b"", files) is None
    assert toolchain.of_program(program, program, files) is None
    assert python.of_program(program, b"", files) is None
