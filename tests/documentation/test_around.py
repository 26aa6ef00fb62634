"""The lines of output around a failure, as several runners print it."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dre.documentation import around

PYTEST = """\
tests/test_cart.py::test_total FAILED
=================================== FAILURES ===================================
__________________________________ test_total __________________________________

    def test_total():
>       assert total() == 42
E       assert 41 == 42

tests/test_cart.py:7: AssertionError
_________________________________ test_totals __________________________________
E       assert 1 == 2
=========================== short test summary info ============================
FAILED tests/test_cart.py::test_total - assert 41 == 42
""".splitlines()
UNITTEST = """\
F.
======================================================================
FAIL: test_total (tests.test_cart.Cart.test_total)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "tests/test_cart.py", line 7, in test_total
AssertionError: 41 != 42

----------------------------------------------------------------------
Ran 2 tests in 0.001s
""".splitlines()
GO = """\
=== RUN   TestTotal
    cart_test.go:7: got 41, want 42
--- FAIL: TestTotal (0.00s)
FAIL
""".splitlines()


def test_pytest_shows_the_part_of_the_test_and_not_the_list_before_it() -> None:
    found = around.around(
        PYTEST, "tests/test_cart.py::test_total", "assert 41 == 42", ["tests/test_cart.py::test_totals"]
    )
    assert "__ test_total __" in found[0]
    assert "E       assert 41 == 42" in found
    assert found[-1] == "tests/test_cart.py:7: AssertionError"


def test_a_name_is_not_found_inside_of_a_longer_one() -> None:
    found = around.around(
        PYTEST, "tests/test_cart.py::test_totals", "assert 1 == 2", ["tests/test_cart.py::test_total"]
    )
    assert found == [
        "_________________________________ test_totals __________________________________",
        "E       assert 1 == 2",
    ]


def test_unittest_and_go() -> None:
    found = around.around(UNITTEST, "tests.test_cart.Cart::test_total", "AssertionError: 41 != 42", [])
    assert found[0].startswith("FAIL: test_total")
    assert "AssertionError: 41 != 42" in found
    assert around.around(GO, "shop/cart::TestTotal", "Failed", [])[:2] == GO[:2]


def test_parameters_do_not_hide_a_test() -> None:
    lines = ["____ test_total[a b] ____", "E  boom"]
    assert around.around(lines, "tests/test_cart.py::test_total[a b]", "boom", []) == lines


@pytest.mark.parametrize("subject", ["", "::", "tests/test_cart.py::test_elsewhere", "[]", "(((", "\\"])
def test_what_the_output_never_names_has_no_lines(subject: str) -> None:
    assert around.around(PYTEST, subject, "", []) == []


def test_the_tail_has_no_empty_ends() -> None:
    assert around.tail(["", "a", "", *map(str, range(20)), "", " "]) == [str(number) for number in range(10, 20)]
    assert around.tail([]) == []
    assert around.tail(["", ""]) == []


async def test_of_a_large_output_only_the_end_is_kept_and_all_of_it_is_safe() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"first\n"
        for _ in range(20):
            yield b"\x1b[31mx\n" * (1 << 16)
        yield b"last\n"

    lines = await around.read_lines(chunks())
    assert lines[-2:] == ["last", ""]
    assert "first" not in lines
    assert sum(map(len, lines)) < 2 * around.LARGEST_BYTES
    assert not any("\x1b" in line for line in lines)


def test_a_test_that_is_named_in_every_line_is_answered_with_its_first_part() -> None:
    lines = [f"test_total step {number}" for number in range(100_000)]

    assert around.around(lines, "tests/test_cart.py::test_total", "assert 41 == 42", ["other"])[0] == lines[0]


async def test_a_long_line_is_cut_between_characters() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield "\U0001f600".encode() * 1000 + b"\nplain\r\n"

    assert await around.read_lines(chunks()) == ["\U0001f600" * 300, "plain", ""]


@given(st.lists(st.binary(max_size=9), max_size=9), st.integers(1, 7))
async def test_lines_are_the_same_in_whatever_pieces_they_come(lines: list[bytes], size: int) -> None:
    content = b"\n".join(lines)

    async def chunks(size: int) -> AsyncIterator[bytes]:
        for at in range(0, len(content), size):
            yield content[at : at + size]

    assert await around.read_lines(chunks(size)) == await around.read_lines(chunks(1 << 10))


async def test_of_an_output_of_many_lines_the_last_ones_are_read() -> None:
    piece = 1 << 18

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield b"\n" * piece
        yield b"1 failed"

    lines = await around.read_lines(chunks())

    assert around.MOST_LINES <= len(lines) <= around.MOST_LINES + piece
    assert lines[-1] == "1 failed"
