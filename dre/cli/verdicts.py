"""How a verdict is shown: its word, its grade, and the colour that says the same."""

from collections.abc import Mapping

from dre.cli.screen import Mark, Style

_STYLES: Mapping[str, Style] = {"passed": "good", "failed": "bad", "inconclusive": "doubt"}
NOTHING = "–"  # noqa: RUF001 - an en dash, as tables have it
STATUS = {"passed": 0, "failed": 1, "inconclusive": 3}
"""The exit status that a verdict is."""


def in_a_list(result: str | None, grade: str | None) -> Mark:
    """`passed · strong`; a failure needs no grade."""
    if result is None:
        return Mark(NOTHING, "dim")
    shown = f"{result} · {grade}" if grade and result == "passed" else result
    return Mark(shown, _STYLES.get(result, "doubt"))


def at_the_top(result: str | None, grade: str | None, status: str) -> list[Mark | str]:
    """`PASSED  strong`; before there is a verdict, what is known."""
    if result is None:
        return [Mark("RUNNING" if status == "running" else "NOT JUDGED YET", "doubt")]
    word = Mark(result.upper(), _STYLES.get(result, "doubt"))
    return [word, f"  {grade}"] if grade and result == "passed" else [word]
