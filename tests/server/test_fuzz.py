"""
The document held against the server: what it describes is what is answered, whatever is asked.

A whole campaign: `make fuzz-api`; the number is that of examples for each route and phase.
"""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
from server.served import Served

SETTINGS = Path(__file__).with_name("fuzz.toml")
EXAMPLES = int(os.environ.get("DRE_TEST_CAMPAIGN", "2"))
CASES = re.compile(rb"(\d+) generated")


async def hold_against_the_document(served: Served, examples: int) -> int:
    """How many cases were tried; none may go wrong."""
    running = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={SETTINGS}",
        "run",
        f"{served.api}/openapi.json",
        f"--header=Authorization: Bearer {served.token}",
        "--phases=examples,coverage,fuzzing,stateful",
        f"--max-examples={examples}",
        "--continue-on-failure",
        "--request-timeout=60",
        "--generation-database=none",
        "--no-color",
        cwd=served.folder,
        env=os.environ | {"DRE_TOKEN": served.token},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await running.communicate()
    assert running.returncode == 0, said.decode()
    found = CASES.search(said)
    assert found is not None, said.decode()
    print(said.decode()[-1500:])
    return int(found[1])


@pytest.mark.campaign
async def test_requests_of_all_kinds_are_answered_as_the_document_says(recorded: Served) -> None:
    assert await hold_against_the_document(recorded, EXAMPLES) > 300 + 15 * EXAMPLES
