"""`dre projections`: the tables that are made of history."""

from dre.cli.command import Lazily

command = Lazily(
    "projections",
    sections={"Commands": {"rebuild": "make the tables anew from history"}},
    places=lambda name: f"dre.cli.projections_{name}",
    short_help="make the tables anew from history",
    help="The tables that are made of history.",
    examples=["dre projections rebuild", "dre projections rebuild operations"],
)
