"""`dre help`: explains a command, or an idea."""

import click
from click.shell_completion import CompletionItem

from dre.cli.asked import Asked
from dre.cli.command import close_to
from dre.cli.command import command as a_command
from dre.cli.topics import TOPICS
from dre.errors import NotFound


class _Subject(click.ParamType[str]):
    name = "subject"

    def shell_complete(self, ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        root = ctx.find_root().command
        commands = root.list_commands(ctx) if isinstance(root, click.Group) else []
        return [CompletionItem(name) for name in (*commands, *TOPICS) if name.startswith(incomplete)]


@a_command(
    "help",
    short_help="explain a command or an idea",
    examples=["dre help show", "dre help ledger verify", "dre help exit-codes", "dre help evidence"],
)
@click.argument("subject", nargs=-1, metavar="[COMMAND|IDEA]", type=_Subject())
@click.pass_context
def command(context: click.Context, subject: tuple[str, ...]) -> None:
    """Explains a command, or an idea; without either, lists both."""
    asked: Asked = context.obj
    if not subject:
        click.echo(context.find_root().get_help())
        asked.screen().say("")
        asked.screen().say("Ideas (dre help IDEA):")
        for name, topic in TOPICS.items():
            asked.screen().say(f"  {name:<14}{topic.about}")
    elif len(subject) == 1 and subject[0] in TOPICS:
        for line in TOPICS[subject[0]].text.splitlines():
            asked.screen().say(line)
    else:
        click.echo(_help_of(context.find_root(), subject))


def _help_of(root: click.Context, names: tuple[str, ...]) -> str:
    context = root
    for name in names:
        group = context.command
        found = group.get_command(context, name) if isinstance(group, click.Group) else None
        if found is None:
            known = group.list_commands(context) if isinstance(group, click.Group) else []
            meant = close_to(name, [*known, *TOPICS] if context is root else known)
            raise NotFound(
                f"there is no command or idea {' '.join(names)}",
                hint=f"did you mean {meant}? " * bool(meant) + "dre help lists both",
            )
        context = click.Context(found, info_name=name, parent=context, **found.context_settings)
    return context.get_help()
