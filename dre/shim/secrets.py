"""Secrets: which names of the environment are safe to keep, and which values must never leave the spool."""

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_SECRET_NAMES = (b"KEY", b"TOKEN", b"SECRET", b"PASSW", b"PASSPHRASE", b"CREDENTIAL", b"AUTH", b"COOKIE", b"PRIVATE")
_SHORTEST_SECRET = 8
# Values so ordinary that replacing them would spoil honest output and protect nothing.
_ORDINARY = (b"password", b"changeme", b"postgres", b"disabled", b"required", b"undefined", b"redacted", b"optional")
_SHOWN = (
    b"CC", b"CFLAGS", b"CI", b"CONDA_PREFIX", b"CXX", b"CXXFLAGS", b"GOFLAGS", b"HOME", b"HOSTNAME", b"JAVA_HOME",
    b"LANG", b"LC_ALL", b"LC_CTYPE", b"LDFLAGS", b"LOGNAME", b"MAKEFLAGS", b"NODE_ENV", b"PATH", b"PWD",
    b"PYTHONHASHSEED", b"PYTHONPATH", b"RUSTFLAGS", b"SHELL", b"SOURCE_DATE_EPOCH", b"TERM", b"TZ", b"USER",
    b"VIRTUAL_ENV",
)  # fmt: skip
_SHOWN_IN_CI = (
    b"APPVEYOR_", b"AZURE_", b"BITBUCKET_", b"BUILD_", b"BUILDKITE_", b"CI_", b"CIRCLE_", b"CIRRUS_", b"DRONE_",
    b"GITHUB_", b"GITLAB_", b"JENKINS_", b"JOB_", b"RUNNER_", b"SEMAPHORE_", b"SYSTEM_", b"TEAMCITY_", b"TRAVIS_",
)  # fmt: skip


def shown(environment: "Mapping[bytes, bytes]", *, ci: bool) -> list[tuple[str, bytes]]:
    """The part of the environment that is kept: listed names alone, and no name that looks secret."""
    return [
        (os.fsdecode(name), value)
        for name, value in environment.items()
        if (name in _SHOWN or (ci and name.startswith(_SHOWN_IN_CI))) and not looks_secret(name)
    ]


def needles(environment: "Mapping[bytes, bytes]") -> bytes:
    """The secret values in the environment, each behind its length: what redaction looks for in the haystack."""
    found = {value for name, value in environment.items() if looks_secret(name) and not _is_place(value)}
    found.update(_password(value) for value in environment.values() if b"://" in value)
    found = {value for value in found if len(value) >= _SHORTEST_SECRET and value.lower() not in _ORDINARY}
    return b"".join(struct.pack("<I", len(secret)) + secret for secret in sorted(found))


def looks_secret(name: bytes) -> bool:
    upper = name.upper().replace(b"AUTHORI", b"AUTH").replace(b"AUTHOR", b"")  # who wrote it is no secret
    return any(word in upper for word in _SECRET_NAMES)


def _is_place(value: bytes) -> bool:
    """SSH_AUTH_SOCK and its like name a file; the name is no secret, and it stands in honest output."""
    return value.startswith(b"/") and os.path.lexists(value)


def _password(address: bytes) -> bytes:
    """Of `scheme://user:password@host`."""
    authority = address.partition(b"://")[2].partition(b"/")[0]
    return authority.rpartition(b"@")[0].partition(b":")[2]
