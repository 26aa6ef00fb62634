"""Settings: the strongest voice wins, and every mistake is named by file, line and key."""

import json
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dre import settings
from dre.errors import ConfigurationError, NotFound

SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.json"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "shop" / ".dre").mkdir(parents=True)
    return tmp_path / "shop" / ".dre"


@pytest.fixture
def user(tmp_path: Path) -> Path:
    (tmp_path / "config" / "dre").mkdir(parents=True)
    return tmp_path / "config" / "dre"


def load(workspace: Path, user: Path, **environment: str) -> settings.Settings:
    given = {"HOME": "/nowhere", "XDG_CONFIG_HOME": str(user.parent), **environment}
    return settings.load(str(workspace.parent), str(workspace), given)


def configure(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(workspace: Path, user: Path) -> None:
    os.mkfifo(workspace / "config.json", 0o600)
    with pytest.raises(ConfigurationError, match="not a regular file"):
        load(workspace, user)


def test_a_folder_in_place_of_a_file_is_named(workspace: Path, user: Path) -> None:
    (workspace / "config.json").mkdir()
    with pytest.raises(ConfigurationError, match=r"config\.json is not a regular file"):
        load(workspace, user)


def test_without_any_file_the_defaults_hold(workspace: Path, user: Path) -> None:
    found = load(workspace, user)
    assert found.configuration == settings.Configuration()
    assert set(found.sources.values()) == {"default"}


def test_user_then_workspace_then_environment(workspace: Path, user: Path) -> None:
    configure(user, '{"evidence": {"retention": "1d"}, "reports": {"globs": ["a.xml"]}}')
    configure(workspace, '{"evidence": {"retention": "2d"}}')

    found = load(workspace, user)
    assert found.configuration.evidence.retention == "2d"
    assert found.configuration.reports.globs == ("a.xml",)
    assert found.sources == {
        "evidence.retention": "workspace",
        "reports.globs": "user",
        "redaction.patterns": "default",
    }

    loud = load(workspace, user, DRE_EVIDENCE_RETENTION="3w", DRE_REPORTS_GLOBS="x.xml, y/*.xml")
    assert loud.configuration.evidence.retention == "3w"
    assert loud.configuration.reports.globs == ("x.xml", "y/*.xml")
    assert loud.sources["evidence.retention"] == "environment"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{\n "evidence": {\n  "retention": "banana"}}',
            r'line 3: evidence\.retention: "banana" is not a duration \(try',
        ),
        ('{\n"reports": {"globs": "a"}}', r"line 2: reports\.globs"),
        ('{\n\n"colour": {}}', r"line 3: there is no setting colour"),
        ('{"evidence": {\n"colour": 1}}', r"line 2: there is no setting evidence\.colour"),
        ('{"evidence": 3}', r"line 1: evidence is a JSON object"),
        ('{"evidence.retention": "1d"}', r"line 1: evidence\.retention is not one key here"),
        ('{"evidence": {"retention": "1d",}}', r"line 1: "),
        ('{"evidence": {},\n "reports": {"globs": ["a"\n "b"]}}', r"line 3: Expecting ',' delimiter \(column 2\)$"),
        ('{"evidence": {}, "evidence": {}}', r"evidence is there twice"),
        ("[]", r"line 1: a configuration is a JSON object"),
        ("", r"line 1: "),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_mistake_is_named_by_file_line_and_key(workspace: Path, user: Path, text: str, said: str) -> None:
    configure(workspace, text)
    with pytest.raises(ConfigurationError, match=rf"\.dre/config\.json.*{said}"):
        load(workspace, user)


def test_bytes_that_are_no_text_are_named(workspace: Path, user: Path) -> None:
    (workspace / "config.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ConfigurationError, match="not UTF-8 at byte 7"):
        load(workspace, user)


def test_a_wrong_environment_variable_is_named(workspace: Path, user: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"DRE_EVIDENCE_RETENTION: evidence\.retention: 0 is not a duration"):
        load(workspace, user, DRE_EVIDENCE_RETENTION="0")


def test_what_a_cloned_repository_could_abuse_is_refused_by_name(workspace: Path, user: Path) -> None:
    configure(workspace, '{"redaction": {"patterns": [".*"]}}')
    with pytest.raises(ConfigurationError, match=r"redaction\.patterns may not be set by a workspace") as refused:
        load(workspace, user)
    assert refused.value.hint == "dre config set --user redaction.patterns VALUE"

    configure(workspace, "{}")
    configure(user, '{"redaction": {"patterns": ["x+"]}}')
    assert load(workspace, user).configuration.redaction.patterns == ("x+",)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{\n"server": {"url": "https://x.example"}}', "server"),
        ('{\n"Server": 3}', "Server"),
        ('{\n"keys.seal": "x"}', "keys.seal"),
        ('{\n"tokens": []}', "tokens"),
        ('{\n"commands": {"test": "rm"}}', "commands"),
        ('{\n"plugins": null}', "plugins"),
        ('{"redaction": {\n"enabled": false}}', "redaction.enabled"),
    ],
)
def test_what_no_repository_will_ever_set_is_refused_by_name_before_it_exists(
    workspace: Path, user: Path, text: str, name: str
) -> None:
    configure(workspace, text)
    with pytest.raises(ConfigurationError, match=rf"line 2: {name} may not be set by a workspace") as refused:
        load(workspace, user)
    assert "~/.config/dre/config.json" in str(refused.value.hint)
    with pytest.raises(ConfigurationError, match=f"^{name} may not be set by a workspace"):
        settings.find_key(name, "workspace")

    configure(workspace, "{}")
    configure(user, text)
    with pytest.raises(ConfigurationError, match=f"there is no setting {name}"):
        load(workspace, user)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('{"evidnce": {}}', "did you mean evidence? "),
        ('{"reports": {"glob": []}}', "did you mean reports.globs? "),
        ('{"colour": {}}', ""),
    ],
)
def test_a_key_that_was_mistyped_is_told_the_right_one(workspace: Path, user: Path, text: str, meant: str) -> None:
    configure(workspace, text)
    with pytest.raises(ConfigurationError, match="there is no setting") as refused:
        load(workspace, user)
    assert refused.value.hint == meant + "dre config list shows them all"


def test_a_key_by_its_whole_name_is_told_where_it_belongs(workspace: Path, user: Path) -> None:
    configure(workspace, '{"evidence.retention": "1d"}')
    with pytest.raises(ConfigurationError) as refused:
        load(workspace, user)
    assert refused.value.hint == '"evidence": {"retention": ...}'


def test_a_pattern_that_is_none_is_refused(workspace: Path, user: Path) -> None:
    configure(user, '{"redaction": {"patterns": ["(?=x)"]}}')
    with pytest.raises(ConfigurationError, match="is no RE2 expression"):
        load(workspace, user)


@pytest.mark.parametrize("pattern", ["a(?=b)", "[", "(", "x{2000}"])
def test_a_refused_pattern_is_said_once_and_in_text(
    workspace: Path, user: Path, pattern: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """RE2 has a log of its own, on stderr."""
    with pytest.raises(ConfigurationError) as refused:
        load(workspace, user, DRE_REDACTION_PATTERNS=json.dumps([pattern]))
    assert refused.value.message.startswith(
        f"DRE_REDACTION_PATTERNS: redaction.patterns: {json.dumps(pattern)} is no RE2 expression: "
    )
    assert "b'" not in refused.value.message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("glob", "why"),
    [
        ("[1", "has a [ that no ] closes"),
        ('["a"', "has a [ that no ] closes"),
        ("a[]/b]", "has a [ that no ] closes"),
        ("[!]", "has a [ that no ] closes"),
        ("/tmp/*.xml", "leads out of the work tree"),
        ("../*.xml", "leads out of the work tree"),
        ("a/../b.xml", "leads out of the work tree"),
        (".", "names no file"),
        ("reports/**", "ends in **"),
    ],
)
def test_a_glob_that_can_never_match_is_refused(workspace: Path, user: Path, glob: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(workspace, user, DRE_REPORTS_GLOBS=glob)
    assert refused.value.message.startswith(f"DRE_REPORTS_GLOBS: reports.globs: {json.dumps(glob)} {why}")


@pytest.mark.parametrize("glob", ["[[]a.xml", "[]a].xml", "[!]]x", "a]", "[a-z]/**/[!.]*.xml", "./a..b/*.xml"])
def test_what_may_match_is_taken(workspace: Path, user: Path, glob: str) -> None:
    assert load(workspace, user, DRE_REPORTS_GLOBS=glob).configuration.reports.globs == (glob,)


def test_all_mistakes_of_a_file_are_told(workspace: Path) -> None:
    configure(
        workspace,
        '{"evidence": {"retention": "x",\n"colour": 1},\n"server": {},\n"reports": {"globs": ["/a"]},\n"z": 1}',
    )
    told = [
        error.message.partition("config.json ")[2]
        for error in settings.mistakes(f"{workspace}/config.json", "workspace")
    ]
    assert [message.partition(": ")[0] for message in told] == ["line 1", "line 2", "line 3", "line 4", "line 5"]
    assert settings.mistakes(f"{workspace}/nowhere.json", "workspace") == []


def test_a_link_is_not_followed(workspace: Path, user: Path) -> None:
    (workspace / "config.json").symlink_to(user / "elsewhere.json")
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        load(workspace, user)


def test_a_relative_xdg_folder_is_ignored(workspace: Path) -> None:
    found = settings.load(str(workspace), None, {"HOME": "/home/ada", "XDG_STATE_HOME": "relative"})
    assert found.state_home == "/home/ada/.local/state/dre"
    assert found.config_home == "/home/ada/.config/dre"


def test_an_unknown_key_lists_the_known_ones() -> None:
    with pytest.raises(NotFound) as refused:
        settings.find_key("evidence.colour")
    assert refused.value.hint is not None
    assert "evidence.retention" in refused.value.hint


def test_every_key_exists_in_the_configuration() -> None:
    for name in settings.KEYS:
        settings.value_of(settings.Configuration(), name)
    fields = {
        f"{section.encode_name}.{field.encode_name}"
        for section in msgspec.structs.fields(settings.Configuration)
        if section.name != "schema"
        for field in msgspec.structs.fields(section.type)
    }
    assert fields == set(settings.KEYS)


def test_the_published_schema_is_the_one_that_is_checked() -> None:
    assert json.loads(SCHEMA.read_text()) == settings.json_schema()


NAMES = st.text('ab{}[]:,"\\ \n', max_size=6)
TREES = st.recursive(
    st.none() | st.booleans() | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
)


@given(st.dictionaries(NAMES, TREES, max_size=4), st.sampled_from((None, 1)))
def test_lines_are_found_whatever_the_keys_and_values_hold(tree: dict[str, object], indent: int | None) -> None:
    written = json.dumps(tree, indent=indent)
    lines = settings.lines_of_keys(written)
    for name in tree:
        if indent:
            assert json.dumps(name) in written.split("\n")[lines[name] - 1]
        else:
            assert lines[name] == 1
