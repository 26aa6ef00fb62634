"""The version of a toolchain: from the one small file that it keeps beside its `bin/`."""

import os
import re

import msgspec

from dre.capture.versions.files import Files, Said, said

_MANIFEST = b"lib/rustlib/multirust-channel-manifest.toml"
_LARGEST_MANIFEST = 2 << 20
_LARGEST_NOTE = 64 << 10


class _Note(msgspec.Struct, frozen=True):
    """`file`: relative to the toolchain. `numbers`: one pattern for each part of the version, looked for on its own."""

    programs: frozenset[bytes]
    file: bytes
    numbers: "tuple[re.Pattern[bytes], ...]"


_NOTES = (
    _Note(
        frozenset((b"node", b"nodejs")),
        b"include/node/node_version.h",
        tuple(
            re.compile(rb"^#define NODE_%s_VERSION (\d+)$" % part, re.MULTILINE)
            for part in (b"MAJOR", b"MINOR", b"PATCH")
        ),
    ),
    _Note(frozenset((b"go", b"gofmt")), b"VERSION", (re.compile(rb"\Ago(\S+)"),)),
    _Note(
        frozenset((b"java", b"javac", b"javadoc", b"jar", b"jlink", b"jshell", b"keytool")),
        b"release",
        (re.compile(rb'^JAVA_VERSION="([^"\n]+)"', re.MULTILINE),),
    ),
)
_RUST = {b"cargo": b"cargo", b"rustc": b"rustc", b"rustdoc": b"rustc", b"rustfmt": b"rustfmt-preview"}
_INSTALLED = re.compile(rb'^"\S+ (\S+) [^"\n]*" = \[([^\]]{0,2000})\]', re.MULTILINE)


def of_program(path: bytes, real: bytes, files: Files) -> Said | None:
    name, prefix = os.path.basename(real), os.path.dirname(os.path.dirname(real))
    for note in _NOTES:
        if name in note.programs:
            place = os.path.join(prefix, note.file)
            content = files.read(place, _LARGEST_NOTE)
            found = [number.search(content) for number in note.numbers]
            return said(b".".join(one[1] for one in found if one), place) if all(found) else None
    return _of_rust(os.path.basename(path), prefix, files) or _installed_by_cargo(path, files)


def _of_rust(name: bytes, prefix: bytes, files: Files) -> Said | None:
    if name not in _RUST:
        return None
    toolchain = prefix if os.path.exists(os.path.join(prefix, _MANIFEST)) else _only_toolchain(prefix, files)
    place = os.path.join(toolchain, _MANIFEST)
    pattern = rb"^\[pkg\." + re.escape(_RUST[name]) + rb'\]\nversion = "([^"\n]+)"'
    found = re.search(pattern, files.read(place, _LARGEST_MANIFEST) if toolchain else b"", re.MULTILINE)
    return said(found[1], place) if found else None


def _only_toolchain(cargo_home: bytes, files: Files) -> bytes:
    """What rustup's stand-ins start depends on the folder and on its settings, unless there is only one to start."""
    above, name = os.path.split(cargo_home)
    folder = os.path.join(above, name.replace(b"cargo", b"rustup"), b"toolchains")
    toolchains = files.names(folder)
    return os.path.join(folder, toolchains[0]) if len(toolchains) == 1 else b""


def _installed_by_cargo(path: bytes, files: Files) -> Said | None:
    folder, name = os.path.split(path)
    place = os.path.join(os.path.dirname(folder), b".crates.toml")
    for version, programs in _INSTALLED.findall(files.read(place, _LARGEST_NOTE)):
        if b'"' + name + b'"' in programs:
            return said(version, place)
    return None
