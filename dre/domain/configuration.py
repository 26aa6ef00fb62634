"""Configuration as history: which key was given which value."""

from typing import Any, ClassVar

from dre.domain.events import DomainEvent


class ConfigurationChanged(DomainEvent, frozen=True):
    """`value` null means: back to the default. `scope` says which file holds it: `workspace` or `user`."""

    type: ClassVar[str] = "configuration.changed"
    key: str
    value: Any
    previous: Any
    scope: str
