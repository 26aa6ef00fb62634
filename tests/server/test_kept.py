"""Answers that are kept."""

from dre.server.kept import Kept


def test_an_answer_is_kept_until_somebody_commits() -> None:
    kept = Kept(lambda: 1)
    kept.get("a", 1)

    answer = kept.put("a", 1, b"{}")

    assert kept.get("a", 1) == answer
    assert kept.get("a", 2) is None
    assert kept.get("a", 1) is None


def test_an_answer_that_was_made_while_somebody_committed_is_not_kept() -> None:
    kept = Kept(lambda: 1)
    kept.get("a", 1)
    kept.get("b", 2)

    kept.put("a", 1, b"{}")

    assert kept.get("a", 2) is None


def test_answers_are_bounded_by_count_and_by_size() -> None:
    kept = Kept(lambda: 1)
    kept.get(0, 1)
    for number in range(3000):
        kept.put(number, 1, b"x")
    assert sum(kept.get(number, 1) is not None for number in range(3000)) <= 1000

    for number in range(40):
        kept.put(number, 1, bytes(1 << 20))
    assert sum(kept.get(number, 1) is not None for number in range(40)) <= 16

    kept.get("again", 2)
    for _ in range(40):
        kept.put("again", 2, bytes(1 << 20))
    for number in range(10):
        kept.put(number, 2, bytes(1 << 20))
    assert kept.get("again", 2) is not None

    kept.put("huge", 1, bytes(9 << 20))
    assert kept.get("huge", 1) is None
