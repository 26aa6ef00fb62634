"""`dre ledger`: what concerns the whole history."""

from dre.cli.command import Lazily

command = Lazily(
    "ledger",
    sections={"Commands": {"verify": "prove the whole history, and every blob"}},
    places=lambda name: f"dre.cli.ledger_{name}",
    short_help="prove the whole history: dre ledger verify",
    help="What concerns the whole history.",
    examples=["dre ledger verify"],
)
