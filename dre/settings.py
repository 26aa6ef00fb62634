"""Settings: one frozen struct, read once: defaults, user's file, workspace's file, environment, in that order."""

import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec

from dre.errors import ConfigurationError, NotFound

Scope = Literal["workspace", "user"]
Source = Literal["default", "user", "workspace", "environment"]
FILE_NAME = "config.json"
LARGEST_FILE = 1 << 20

Duration = Annotated[
    str,
    msgspec.Meta(pattern=r"^[1-9][0-9]{0,5}[smhdw]$", description="a number and s, m, h, d or w: 30d, 12h"),
]

Patterns = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=500)], ...], msgspec.Meta(max_length=100)
]


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`retention`: how long payloads are meant to be kept, null for ever. A policy on record; nothing is erased yet."""

    retention: Duration | None = None


class Reports(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`globs`: where test reports are looked for, beside those that the command itself names."""

    globs: Patterns = (
        "report.xml",
        "junit.xml",
        "reports/*.xml",
        "test-results/*.xml",
        "build/test-results/test/*.xml",
        "target/surefire-reports/TEST-*.xml",
    )


class Redaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`patterns`: RE2 expressions of secrets that no environment variable holds, beside the built-in ones."""

    patterns: Patterns = ()


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a configuration file may hold. Published as schemas/config.schema.json."""

    schema: Annotated[str | None, msgspec.Meta(description="where this schema is, for editors")] = msgspec.field(
        name="$schema", default=None
    )
    evidence: Evidence = Evidence()
    reports: Reports = Reports()
    redaction: Redaction = Redaction()


class Settings(msgspec.Struct, frozen=True):
    """`directory`: where the question is asked from. `sources`: where each key's value comes from."""

    directory: str
    state_home: str
    config_home: str
    configuration: Configuration
    sources: Mapping[str, Source]


class Key(msgspec.Struct, frozen=True):
    """One setting: its dotted name and who may write it."""

    name: str
    scopes: tuple[Scope, ...]
    help: str

    @property
    def variable(self) -> str:
        return "DRE_" + self.name.upper().replace(".", "_")


KEYS: dict[str, Key] = {
    key.name: key
    for key in (
        Key(
            "evidence.retention",
            ("workspace", "user"),
            "how long evidence payloads are meant to be kept",
        ),
        Key("reports.globs", ("workspace", "user"), "where test reports are looked for"),
        Key("redaction.patterns", ("user",), "more patterns of secrets (RE2)"),
    )
}


# What DRE reads from nobody's repository, also before there is a setting of that kind: with it a repository could send
# evidence elsewhere, sign in another's name, run something, or have less replaced.
NEVER_IN_A_WORKSPACE = frozenset(
    (
        "server",
        "servers",
        "remote",
        "remotes",
        "forwardingkey",
        "keys",
        "signing",
        "encryption",
        "token",
        "tokens",
        "credentials",
        "auth",
        "secrets",
        "command",
        "commands",
        "hook",
        "hooks",
        "plugin",
        "plugins",
        "extension",
        "extensions",
        "redaction",
    )
)


def config_home(environment: Mapping[str, str]) -> str:
    return _xdg(environment, "XDG_CONFIG_HOME", ".config")


def state_home(environment: Mapping[str, str]) -> str:
    return _xdg(environment, "XDG_STATE_HOME", os.path.join(".local", "state"))


def load(directory: str, dot_dre: str | None, environment: Mapping[str, str]) -> Settings:
    """
    Everything that was configured. `dot_dre`: the workspace's folder, if there is one.

    Raises ConfigurationError that names file, line and key.
    """
    found: dict[str, Any] = {}
    sources: dict[str, Source] = dict.fromkeys(KEYS, "default")
    home = config_home(environment)
    files: tuple[tuple[Scope, str | None], ...] = (("user", home), ("workspace", dot_dre))
    for scope, folder in files:
        values = read_file(os.path.join(folder, FILE_NAME), scope) if folder else {}
        found |= values
        sources |= dict.fromkeys(values, scope)
    for key in KEYS.values():
        if key.variable in environment:
            found[key.name] = parse(key, environment[key.variable], where=key.variable)
            sources[key.name] = "environment"
    return Settings(directory, state_home(environment), home, _nested(found), sources)


def read_file(path: str, scope: Scope) -> dict[str, Any]:
    """The keys that one file sets, checked; nothing when it does not exist."""
    text = _text_of(path)
    return {} if text is None else read_document(path, text, scope)


def mistakes(path: str, scope: Scope) -> list[ConfigurationError]:
    """All that is wrong with one file, not the first alone."""
    try:
        text = _text_of(path)
        return [] if text is None else _read(path, text, scope)[1]
    except ConfigurationError as error:
        return [error]


def _text_of(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be opened: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):  # a pipe would hold us up for ever
            raise ConfigurationError(f"{path} is not a regular file")
        text = os.pread(fd, LARGEST_FILE + 1, 0)
    finally:
        os.close(fd)
    if len(text) > LARGEST_FILE:
        raise ConfigurationError(f"{path} is larger than 1 MiB")
    return text


def parse(key: Key, text: str, *, where: str = "") -> Any:
    """A value as people type it: JSON where it is JSON, else a word; lists also as comma-separated words."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(value_of(Configuration(), key.name), tuple) and isinstance(value, str):
        value = [word.strip() for word in value.split(",") if word.strip()]
    return check(key, value, where=where)


def check(key: Key, value: Any, *, where: str) -> Any:
    """The value, if the key may have it. Raises ConfigurationError naming `where`, the key and what would do."""
    try:
        _nested({key.name: value})
        for item in value if key.name in _ITEMS else ():
            _ITEMS[key.name](item)
    except ConfigurationError as error:
        raise ConfigurationError(_at(where, f"{key.name}: {error.message}")) from None
    except msgspec.ValidationError as error:
        shown = json.dumps(value, ensure_ascii=False)[:80]
        said = f"{shown} is not a duration (try 30d, 12h)" if "retention" in key.name else f"{shown}: {error}"
        raise ConfigurationError(_at(where, f"{key.name}: {said}")) from None
    return value


def find_key(name: str, scope: Scope | None = None) -> Key:
    """`scope`: where it is to be written. Raises NotFound, and ConfigurationError for what may not stand there."""
    if scope == "workspace":
        _refuse_in_workspace("", name)
    if name not in KEYS:
        raise NotFound(f"there is no setting {name}", hint="one of: " + ", ".join(KEYS))
    return KEYS[name]


def value_of(configuration: Configuration, name: str) -> Any:
    section, _, field = name.partition(".")
    return getattr(getattr(configuration, section), field)


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a configuration file."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    schema = {"$schema": dialect, "title": "DRE configuration", **msgspec.json.schema(Configuration)}
    return msgspec.json.decode(msgspec.json.encode(schema), type=dict[str, Any])


def read_document(path: str, text: bytes, scope: Scope) -> dict[str, Any]:
    """The keys that a configuration sets, checked. Raises ConfigurationError naming `path`, line and key."""
    found, wrong = _read(path, text, scope)
    if wrong:
        raise wrong[0]
    return found


def _read(path: str, text: bytes, scope: Scope) -> tuple[dict[str, Any], list[ConfigurationError]]:
    """What it sets, and what is wrong. Raises where it cannot be read on."""
    try:
        tree = json.loads(text.decode(), object_pairs_hook=_no_duplicates)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"{path} line {error.lineno}: {error.msg} (column {error.colno})",
            hint="it must be one JSON object" if error.msg == "Extra data" or not text.strip() else None,
        ) from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: nested too deeply; settings are two levels deep") from None
    if not isinstance(tree, dict):
        raise ConfigurationError(f"{path} line 1: a configuration is a JSON object, with keys like evidence")
    lines = lines_of_keys(text.decode())
    found: dict[str, Any] = {}
    wrong: list[ConfigurationError] = []
    for section, fields in tree.items():
        try:
            settings = {} if section == "$schema" else _section(path, lines, section, fields, scope)
        except ConfigurationError as error:
            wrong.append(error)
            continue
        for name, value in settings.items():
            try:
                found[name] = _one(path, lines, name, value, scope)
            except ConfigurationError as error:
                wrong.append(error)
    return found, wrong


def _section(path: str, lines: Mapping[str, int], section: str, fields: Any, scope: Scope) -> dict[str, Any]:
    """The settings in it by their whole names, not checked yet."""
    if not any(name.startswith(f"{section}.") for name in KEYS):
        if scope == "workspace":
            _refuse_in_workspace(f"{path} line {lines.get(section, 1)}", section)
        _refuse_unknown(path, lines, section)
    if not isinstance(fields, dict):
        raise ConfigurationError(f"{path} line {lines.get(section, 1)}: {section} is a JSON object of settings")
    return {f"{section}.{field}": value for field, value in fields.items()}


def _one(path: str, lines: Mapping[str, int], name: str, value: Any, scope: Scope) -> Any:
    where = f"{path} line {lines.get(name, 1)}"
    if scope == "workspace":
        _refuse_in_workspace(where, name)
    if name not in KEYS:
        _refuse_unknown(path, lines, name)
    return check(KEYS[name], value, where=where)


def _refuse_in_workspace(where: str, name: str) -> None:
    """By its name, whether there is such a setting or not: a newer DRE that has one will not read it there either."""
    key = KEYS.get(name)
    section = name.partition(".")[0].lower()
    if "workspace" in key.scopes if key else section not in NEVER_IN_A_WORKSPACE:
        return
    own = "your own file, $XDG_CONFIG_HOME/dre/config.json (~/.config/dre/config.json)"
    raise ConfigurationError(
        _at(where, f"{name} may not be set by a workspace: whoever wrote the repository could abuse it"),
        hint=f"dre config set --user {name} VALUE" if key else f"only {own}, may; this DRE knows no such setting",
    )


def _refuse_unknown(path: str, lines: Mapping[str, int], name: str) -> None:
    import difflib  # noqa: PLC0415 - 3 ms, for who mistyped

    if name in KEYS:  # as one key of the whole document, where a section was to come
        section, _, field = name.partition(".")
        raise ConfigurationError(
            f"{path} line {lines.get(name, 1)}: {name} is not one key here", hint=f'"{section}": {{"{field}": ...}}'
        )
    known = KEYS if "." in name else dict.fromkeys(key.partition(".")[0] for key in KEYS)
    close = difflib.get_close_matches(name, known, 1)
    raise ConfigurationError(
        f"{path} line {lines.get(name, 1)}: there is no setting {name}",
        hint=(f"did you mean {close[0]}? " if close else "") + "dre config list shows them all",
    )


def _check_pattern(pattern: str) -> None:
    import re2  # noqa: PLC0415 - only who has such a setting pays for it

    options = re2.Options()
    options.log_errors = False  # it would write to stderr by itself
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0].decode("utf-8", "backslashreplace")
        raise ConfigurationError(f"{_quoted(pattern)} is no RE2 expression: {why}") from None


def _check_glob(glob: str) -> None:
    """Whether a file that is looked at could match it."""
    parts = [part for part in glob.split("/") if part not in ("", ".")]
    if glob.startswith("/") or ".." in parts:
        why = "leads out of the work tree, where nothing is opened: it is relative and holds no .."
    elif not parts or "\0" in glob:
        why = "names no file"
    elif parts[-1] == "**":
        why = "ends in **, which stands for folders: add the files' names, as in **/*.xml"
    elif any(_is_open(part) for part in parts):
        why = "has a [ that no ] closes ([[] stands for the character itself)"
    else:
        return
    raise ConfigurationError(f"{_quoted(glob)} {why}")


def _is_open(part: str) -> bool:
    """As fnmatch reads it: a ] that stands first, also behind !, is one of the set's characters."""
    at = part.find("[")
    while at >= 0:
        end = part.find("]", at + (3 if part.startswith("!", at + 1) else 2))
        if end < 0:
            return True
        at = part.find("[", end)
    return False


_ITEMS: Mapping[str, Callable[[str], None]] = {"redaction.patterns": _check_pattern, "reports.globs": _check_glob}


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _at(where: str, said: str) -> str:
    return f"{where}: {said}" if where else said


def _nested(found: Mapping[str, Any]) -> Configuration:
    tree: dict[str, dict[str, Any]] = {}
    for name, value in found.items():
        section, _, field = name.partition(".")
        tree.setdefault(section, {})[field] = value
    return msgspec.convert(tree, Configuration)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, _ in pairs if [other for other, _ in pairs].count(name) > 1)
        raise ConfigurationError(f"{twice} is there twice")
    return found


_MARK = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|\n')


def lines_of_keys(text: str) -> dict[str, int]:
    """The line, from 1, where each dotted key of a valid JSON object stands."""
    lines: dict[str, int] = {}
    path: list[str | None] = []
    line, last = 1, ""
    for mark in _MARK.findall(text):
        if mark == "\n":
            line += 1
        elif mark in ("{", "["):
            path.append(None)
        elif mark in ("}", "]"):
            path.pop()
        elif mark == ":":
            path[-1] = json.loads(last)
            lines.setdefault(".".join(part for part in path if part is not None), line)
        elif mark != ",":
            last = mark
    return lines


def _xdg(environment: Mapping[str, str], variable: str, default: str) -> str:
    """The XDG base directory rules: a relative path there is ignored."""
    given = environment.get(variable, "")
    base = given if os.path.isabs(given) else os.path.join(environment.get("HOME") or os.path.expanduser("~"), default)
    return os.path.join(base, "dre")
