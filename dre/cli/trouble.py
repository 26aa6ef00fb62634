"""What goes wrong, as people and programs are told of it: one line, what to do next, an exit status."""

import sys
import traceback
from collections.abc import Callable

import click

from dre.cli.asked import Asked
from dre.cli.command import INTERRUPTED, die_of_a_broken_pipe
from dre.errors import DREError, UsageError

USAGE, UNKNOWN = UsageError.exit_status, DREError.exit_status


def told(asked: Asked, work: Callable[[], int]) -> int:
    """The exit status of the work, after saying on stderr why it ended, if it did not end well."""
    try:
        return work()
    except click.exceptions.Exit as done:
        return done.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        _help(asked, error)
        return USAGE
    except click.UsageError as error:
        _say(asked, UsageError(error.format_message(), hint=_help_for(error)))
        return USAGE
    except click.ClickException as error:
        _say(asked, UsageError(error.format_message()))
        return USAGE
    except DREError as error:  # expected, so --debug has nothing to add
        _say(asked, error)
        return error.exit_status
    except BrokenPipeError:
        return die_of_a_broken_pipe()
    except OSError as error:
        _say(asked, DREError(f"{error.filename or 'the system'}: {error.strerror or error}"))
        _trace(asked)
        return UNKNOWN
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets a line and a program a status
        _say(asked, DREError(f"unexpected {type(error).__name__}: {error}", hint="dre --debug shows where; report it"))
        _trace(asked)
        return UNKNOWN


def _help(asked: Asked, error: click.exceptions.NoArgsIsHelpError) -> None:
    """Whoever types `dre` alone asks what there is; the text is ours, so its lines stay lines."""
    if asked.json:
        _say(asked, UsageError("Missing command.", hint=_help_for(error)))
        return
    sys.stderr.write(error.format_message() + "\n")


def _help_for(error: click.UsageError) -> str | None:
    return f"{error.ctx.command_path} --help" if error.ctx else None


def _say(asked: Asked, error: DREError) -> None:
    if asked.json:
        import json

        fields = {"code": error.code, "message": error.message, "hint": error.hint}
        sys.stderr.write(json.dumps(fields) + "\n")
        return
    aside = asked.aside()
    aside.say(f"dre: {error.message}")
    if error.hint:
        aside.say(f"     {error.hint}")


def _trace(asked: Asked) -> None:
    if asked.debug:
        from dre.documentation import safe

        sys.stderr.write(safe.lines(traceback.format_exc()))
