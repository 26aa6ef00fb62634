"""`dre doctor`: what works here, what does not, what to do about it."""

import click
import msgspec

from dre.cli.asked import Asked
from dre.cli.checks import Finding, examine
from dre.cli.command import command as a_command
from dre.cli.opened import run
from dre.cli.screen import Mark, Screen, Style

BROKEN = 1
_STYLES: dict[str, Style] = {"ok": "good", "note": "dim", "FAIL": "bad"}


@a_command(
    "doctor", short_help="what works here, what does not, what to do", examples=["dre doctor", "dre doctor --json"]
)
@click.pass_obj
def command(asked: Asked) -> int:
    """
    Examines everything that recording and verifying need: ok, note, or FAIL with what to do.

    Exit status 1 if something that is needed is broken.
    """
    findings = run(examine(asked))
    for finding in findings:
        if asked.json:
            asked.answer(msgspec.json.encode(finding))
        elif not asked.quiet or finding.state == "FAIL":
            _say(asked.screen(), finding)
    return BROKEN if any(finding.state == "FAIL" for finding in findings) else 0


def _say(screen: Screen, finding: Finding) -> None:
    todo = f"   ->  {finding.hint}" if finding.hint else ""
    screen.say(
        "  ", Mark(f"{finding.state:<4}", _STYLES[finding.state]), "  ", f"{finding.what:<15}  ", finding.text, todo
    )
