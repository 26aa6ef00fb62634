"""`dre config`: settings, where they come from, and their changes as history."""

from dre.cli.command import Lazily

command = Lazily(
    "config",
    sections={
        "Commands": {
            "get": "print the value of one setting",
            "set": "check a value, write it, record the change",
            "list": "every setting, its value, where that comes from",
            "validate": "check the files and name what is wrong",
        }
    },
    places=lambda name: f"dre.cli.config_{name}",
    short_help="get, set, list and check settings",
    help="Settings, where they come from, and their changes as history.",
    examples=["dre config list", "dre config set evidence.retention 30d"],
)
