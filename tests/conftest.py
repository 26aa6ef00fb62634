"""What every test stands on: a home of its own, so nothing of the person who runs them is read or written."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is the machine's affair, and it may be busy: no test fails for it.
settings.register_profile("dre", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dre")

GIT_IDENTITY = {
    "GIT_AUTHOR_NAME": "A Tester",
    "GIT_AUTHOR_EMAIL": "tester@example.org",
    "GIT_COMMITTER_NAME": "A Tester",
    "GIT_COMMITTER_EMAIL": "tester@example.org",
    "GIT_CONFIG_NOSYSTEM": "1",
}


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """HOME and every XDG folder inside a temporary one; no DRE_* setting of the caller's, and no CI."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for variable, folder in (
        ("XDG_STATE_HOME", ".local/state"),
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_CACHE_HOME", ".cache"),
        ("XDG_DATA_HOME", ".local/share"),
    ):
        monkeypatch.setenv(variable, str(home / folder))
    for variable in [name for name in os.environ if name == "CI" or name.startswith(("DRE_", "GIT_"))]:
        monkeypatch.delenv(variable)
    for variable, value in GIT_IDENTITY.items():
        monkeypatch.setenv(variable, value)
    return home
