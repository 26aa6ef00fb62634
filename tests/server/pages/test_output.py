"""Parts of an output, whatever pieces it is read in."""

from hypothesis import given
from hypothesis import strategies as st

from dre.server.pages.output import LINES, From, Last

CONTENT = st.lists(st.sampled_from((b"", b"a", b"bc", b"\r")), min_size=1, max_size=30).map(b"\n".join)
PIECE = st.integers(1, 7)


def lines_of(content: bytes) -> list[bytes]:
    return content.removesuffix(b"\n").split(b"\n") if content else []


def fed(part: From | Last, content: bytes, size: int) -> tuple[int, int, list[bytes]]:
    for at in range(0, len(content), size):
        part.feed(content[at : at + size])
    number, lines = part.kept()
    return part.total, number, lines


@given(CONTENT, PIECE)
def test_the_end_is_the_last_lines_with_their_numbers(content: bytes, size: int) -> None:
    assert fed(Last(), content, size) == (len(lines_of(content)), 1, lines_of(content))


@given(CONTENT, PIECE, st.integers(1, 35))
def test_a_part_begins_at_its_line(content: bytes, size: int, first: int) -> None:
    total, number, lines = fed(From(first), content, size)

    assert (total, number) == (len(lines_of(content)), first)
    assert lines == lines_of(content)[first - 1 :]


def test_a_part_has_so_many_lines_at_most() -> None:
    content = b"".join(b"%d\n" % number for number in range(1, 5000))

    total, number, lines = fed(From(1001), content, 4096)

    assert (total, number, len(lines), lines[0], lines[-1]) == (4999, 1001, LINES, b"1001", b"2000")


def test_of_one_endless_line_the_end_is_kept() -> None:
    total, number, lines = fed(Last(), b"x" * (3 << 20), 256 << 10)

    assert (total, number, len(lines)) == (1, 1, 1)
    assert len(lines[0]) < 1 << 20


def test_endless_lines_fill_a_part_and_the_next_one_begins_behind_it() -> None:
    content = b"\n".join(bytes([65 + at]) * 200_000 for at in range(6))

    _, _, lines = fed(From(1), content, 256 << 10)
    _, number, following = fed(From(1 + len(lines)), content, 256 << 10)

    assert all(line == bytes([line[0]]) * 200_000 for line in [*lines, *following])
    assert following[0][:1] == bytes([65 + number - 1])
