"""The document held against the server: what it describes is what is answered, whatever is asked."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
from server.served import Served

SETTINGS = Path(__file__).with_name("fuzz.toml")
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
    return int(found[1])


async def test_a_slice_of_all_requests_is_answered_as_the_document_says(recorded: Served) -> None:
    assert await hold_against_the_document(recorded, 2) > 300


@pytest.mark.campaign
async def test_thousands_of_requests_are_answered_as_the_document_says(recorded: Served) -> None:
    assert await hold_against_the_document(recorded, 100) >= 2000
