"""Reading test reports: what real tools write, what is cut off or hostile, and the same answer as junitparser's."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import junitparser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verification.recordings import a_test, failing, junit, passing, skipped

from dre.verification import reports
from dre.verification.reports import FailedCase, Report, RetriedCase, Unreadable, parse_report


def read(xml: bytes, piece: int = 1 << 16) -> Report:
    report = parse_report(xml[at : at + piece] for at in range(0, len(xml), piece))
    assert isinstance(report, Report)
    return report


def refusal(xml: bytes) -> Unreadable:
    report = parse_report([xml])
    assert isinstance(report, Unreadable)
    return report


def numbers(report: Report) -> tuple[int, int, int, int]:
    return report.passed, report.failed, report.errors, report.skipped


def names(xml: str) -> list[str]:
    return [failure.name for failure in read(xml.encode()).failures]


def test_counts_come_from_the_cases() -> None:
    report = read(junit(*passing(4), *failing(2), *skipped(1), a_test("e", "<error/>"), tests=1, failures=0))
    assert numbers(report) == (4, 2, 1, 1)
    assert report.contradictions == (
        "suite 'pytest' says tests=\"1\", but holds 8",
        "suite 'pytest' says failures=\"0\", but holds 2",
    )


def test_suites_lie_in_suites_and_either_way_to_add_up_is_accepted() -> None:
    inner = '<testsuite name="inner" tests="1"><testcase name="a"/></testsuite>'
    cumulative = f'<testsuite name="outer" tests="2">{inner}<testcase name="b"/></testsuite>'
    own_only = f'<testsuite name="outer" tests="1">{inner}<testcase name="b"/></testsuite>'
    for suite in (cumulative, own_only):
        report = read(suite.encode())
        assert numbers(report) == (2, 0, 0, 0)
        assert report.contradictions == ()
    assert read(f'<testsuites tests="3">{cumulative}</testsuites>'.encode()).contradictions


def test_blank_and_odd_totals_are_no_contradiction() -> None:
    odd = '<testsuite tests="" failures="none" errors="-1" skipped="٣">' + a_test() + "</testsuite>"
    assert read(odd.encode()).contradictions == ()


def test_disabled_cases_may_be_counted_as_skipped_or_not() -> None:
    for totals in ('skipped="0" disabled="1"', 'skipped="1" disabled="0"'):
        suite = f'<testsuite tests="2" {totals}><testcase name="a" status="notrun"/><testcase name="b"/></testsuite>'
        assert read(suite.encode()).contradictions == ()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ('status="notrun"', (0, 0, 0, 1)),
        ('status="run" result="completed"', (1, 0, 0, 0)),
        ('status="run" result="skipped"', (0, 0, 0, 1)),
        ('status="Failed"', (0, 1, 0, 0)),
        ('status="error"', (0, 0, 1, 0)),
    ],
)
def test_what_only_an_attribute_says_is_heard(status: str, expected: tuple[int, ...]) -> None:
    assert numbers(read(f'<testsuite><testcase name="a" {status}/></testsuite>'.encode())) == expected


def test_what_node_marks_as_to_do_fails_nothing() -> None:
    case = '<testcase name="a"><skipped type="todo" message="true"/><failure type="testCodeFailure"/></testcase>'
    report = parse_report([f"<testsuites>{case}</testsuites>".encode()])
    assert isinstance(report, Report)
    assert (report.skipped, report.failed, report.failures) == (1, 0, ())


@pytest.mark.parametrize(
    ("message", "ended"),
    [
        ("Unable to find executable: missing", "error"),
        ("Fixture dependency failed", "error"),
        ("SKIP_RETURN_CODE=4", "skipped"),
        ("", "skipped"),
    ],
)
def test_what_ctest_could_not_start_is_an_error(message: str, ended: str) -> None:
    case = f'<testcase name="a" status="notrun"><skipped message="{message}"/></testcase>'
    report = parse_report([f'<testsuite name="ctest">{case}</testsuite>'.encode()])
    assert isinstance(report, Report)
    assert (report.errors, report.skipped) == ((1, 0) if ended == "error" else (0, 1))
    assert [failure.message for failure in report.failures] == [message] * report.errors


def test_the_worst_that_a_case_says_is_what_it_came_to() -> None:
    for inside in ("<skipped/><failure/>", "<failure/><failure/><skipped/>", "<properties/><failure/><system-out/>"):
        assert numbers(read(junit(a_test("a", inside)))) == (0, 1, 0, 0)
    assert numbers(read(junit(a_test("a", "<failure/><error/>")))) == (0, 0, 1, 0)


def test_a_suite_that_could_not_run_is_an_error() -> None:
    report = read(b'<testsuite name="com.example.DbTest"><error message="no class"/></testsuite>')
    assert numbers(report) == (0, 0, 1, 0)
    assert report.failures == (FailedCase("com.example.DbTest", "no class", "error"),)


def test_a_case_in_a_case_hides_nothing() -> None:
    inner = '<testcase name="b"><failure message="x"/></testcase>'
    assert numbers(read(junit(f'<testcase name="a">{inner}</testcase>', a_test("c")))) == (1, 1, 0, 0)


def test_names_are_what_people_type() -> None:
    failure = '<failure message="x"/>'
    suite = '<testsuite name="pytest">{}</testsuite>'
    case = '<testcase name="test_total" {}>' + failure + "</testcase>"
    assert names(suite.format(case.format('classname="tests.test_cart"'))) == ["tests/test_cart.py::test_total"]
    assert names(suite.format(case.format('classname="tests.unit.test_cart.TestCart.TestSum"'))) == [
        "tests/unit/test_cart.py::TestCart::TestSum::test_total"
    ]
    assert names(suite.format(case.format('classname="test_all.cart_test.TestCart"'))) == [
        "test_all/cart_test.py::TestCart::test_total"
    ]
    assert names(suite.format(case.format('classname="checks.cart"'))) == ["checks.cart::test_total"]
    assert names("<testsuite>" + case.format('classname="com.test_x.CartTest"') + "</testsuite>") == [
        "com.test_x.CartTest::test_total"
    ]
    with_file = 'file="tests/test_cart.py" classname="tests.test_cart.TestCart"'
    assert names("<testsuite>" + case.format(with_file) + "</testsuite>") == [
        "tests/test_cart.py::TestCart::test_total"
    ]
    assert names("<testsuite>" + case.format("") + "</testsuite>") == ["test_total"]
    assert names(f"<testsuite><testcase>{failure}</testcase></testsuite>") == ["a case without a name"]


def test_lines_of_pytest_count_from_0_and_become_lines_of_people() -> None:
    case = '<testcase name="a" file="test_a.py" classname="test_a" line="8"><failure/></testcase>'
    [by_pytest] = read(f'<testsuite name="pytest">{case}</testsuite>'.encode()).failures
    [by_others] = read(f'<testsuite name="other">{case}</testsuite>'.encode()).failures
    assert (by_pytest.line, by_others.line) == (9, 8)


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ('<failure message="assert 41 == 42&#10;  where 41 = total()">long</failure>', "assert 41 == 42"),
        ("<failure>\n\n   AssertionError: 41\n  at line 3</failure>", "AssertionError: 41"),
        (
            "<failure><![CDATA[\njava.lang.NullPointerException\n\tat Cart]]></failure>",
            "java.lang.NullPointerException",
        ),
        ('<failure message=" " type="AssertionError"/>', "AssertionError"),
        ('<error message="first"/><error message="second"/>', "first"),
        ("<failure/>", ""),
    ],
)
def test_the_message_is_its_first_line(inside: str, message: str) -> None:
    for piece in (1, 1 << 16):
        [failure] = read(junit(a_test("a", inside)), piece).failures
        assert failure.message == message


def test_what_is_printed_in_a_test_is_not_its_message() -> None:
    inside = "<failure/><system-out>all is well</system-out>"
    [failure] = read(junit(a_test("a", inside))).failures
    assert failure.message == ""


def test_surefire_says_what_was_run_again() -> None:
    flaky = a_test("a", '<flakyFailure type="x"><stackTrace>y</stackTrace></flakyFailure>', "com.CartTest")
    hopeless = a_test("b", "<failure/><rerunFailure/><rerunError/>", "com.CartTest")
    report = read(f"<testsuite>{flaky}{hopeless}</testsuite>".encode())
    assert numbers(report) == (1, 1, 0, 0)
    assert report.retried == (
        RetriedCase("com.CartTest::a", "run 2 times, passed only when run again"),
        RetriedCase("com.CartTest::b", "run 3 times, failed each time"),
    )


def test_attempts_that_the_suite_counts_as_one_test_are_one_and_the_worst_counts() -> None:
    """As pytest-rerunfailures writes them: only the last attempt says how it ended."""
    attempts = [a_test("test_flaky")] * 3 + [a_test("test_bad")] * 2 + [a_test("test_bad", "<failure/>")]
    report = read(junit(*attempts, a_test("test_good"), tests=3, failures=1))
    assert numbers(report) == (2, 1, 0, 0)
    assert report.contradictions == ()
    assert report.retried == (
        RetriedCase("tests/test_cart.py::test_flaky", "run 3 times"),
        RetriedCase("tests/test_cart.py::test_bad", "run 3 times"),
    )


def test_tests_that_share_a_name_stay_tests() -> None:
    report = read(junit(*[a_test("repeated")] * 5, tests=5))
    assert numbers(report) == (5, 0, 0, 0)
    assert report.retried == ()


def test_a_failed_attempt_beside_one_that_passed_stays_a_failure() -> None:
    both = (a_test("a", "<failure/>"), a_test("a"))
    assert numbers(read(junit(*both, tests=2))) == (1, 1, 0, 0)
    assert numbers(read(junit(*both, tests=1))) == (0, 1, 0, 0)


def test_control_characters_are_taken_out_plain_or_as_references() -> None:
    dirty = '<failure message="\x1b[31mred\x00 &#27;[0m&#x1B;&#0;&#x8;&#12; still"/>'
    [failure] = read(junit(a_test("a\x08", dirty))).failures
    assert failure.message == "[31mred [0m still"
    assert failure.name == "tests/test_cart.py::a"


def test_a_reference_that_is_cut_in_two_is_taken_out_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "_FEED_BYTES", 1)
    xml = junit(a_test("a", '<failure message="&#x1b;[31mred &amp; &#65; &#9; &#10;"/>'))
    for piece in range(1, 20):
        [failure] = read(xml, piece).failures
        assert failure.message == "[31mred & A"


def test_other_encodings_are_read() -> None:
    xml = '<testsuite><testcase name="prüfung"><failure message="ä"/></testcase></testsuite>'
    for encoding in ("utf-8-sig", "utf-16"):
        assert read(xml.encode(encoding)).failures == (FailedCase("prüfung", "ä", "failure"),)
    latin = '<?xml version="1.0" encoding="ISO-8859-1"?>' + xml
    assert read(latin.encode("latin-1")).failures == (FailedCase("prüfung", "ä", "failure"),)


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        (b"", "it is empty"),
        (b"\x00\x01", "it breaks off (line 1, column 0)"),
        (b"<testsuite>\n<testcase name='a'/>\n", "it breaks off (line 3, column 0)"),
        (b"<testsuite>\n <testcase name='a", "it breaks off (line 2, column 1)"),
        (b"<testsuite>\n<a></b></testsuite>", "it is no well-formed XML: mismatched tag (line 2, column 5)"),
        (b"ok 1 - cart\n", "it is no well-formed XML: syntax error (line 1, column 0)"),
        (b"<testsuite/>\n<testsuite/>", "it is no well-formed XML: junk after document element (line 2, column 0)"),
        (b'<coverage version="5"/>', "it is no JUnit report: its root is <coverage> (line 1, column 23)"),
        (b"<testsuite>&e;</testsuite>", "it is no well-formed XML: undefined entity (line 1, column 11)"),
        (b"<!DOCTYPE testsuite>\n<testsuite/>", "it declares a document type, which no test report needs (line 1,"),
        (b"<?xml version='1.0' encoding='cp9'?><testsuite/>", "its encoding cannot be read: unknown encoding: cp9"),
        (b"\xff" + junit(), "it is no well-formed XML: not well-formed (invalid token) (line 1, column 0)"),
        (b"<testsuite>" * 65, "its elements are nested more than 64 deep (line 1, column"),
    ],
)
def test_what_cannot_be_read_says_why_and_where(xml: bytes, why: str) -> None:
    assert str(refusal(xml)).startswith(why)


def test_entities_are_never_expanded(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    bomb = '<!DOCTYPE t [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><testsuite name="&b;"/>'
    file = f'<!DOCTYPE t [<!ENTITY a SYSTEM "file://{secret}">]><testsuite name="&a;"/>'
    for xml in (bomb, file, f'<!DOCTYPE t SYSTEM "file://{secret}"><testsuite/>'):
        assert "document type" in str(refusal(xml.encode()))


def test_too_many_cases_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_CASES", 10)
    assert read(junit(*passing(10))).passed == 10
    assert str(refusal(junit(*passing(11)))).startswith("it holds more than 10 cases")


def test_too_large_a_report_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_BYTES", 1 << 20)
    assert str(refusal(junit(a_test("a" * (1 << 20))))) == "it is larger than 1 MiB"


def test_only_the_first_hundred_failures_are_kept() -> None:
    report = read(junit(*failing(250)))
    assert report.failed == 250
    assert len(report.failures) == reports.MAX_KEPT


def reference(xml: bytes) -> tuple[int, int, int, int]:
    """The same numbers by junitparser, which reads the whole document."""
    found = [0, 0, 0, 0]
    for suite in junitparser.JUnitXml.fromfile(BytesIO(xml)):
        for case in suite:  # with those of the suites inside
            found[2 if case.is_error else 1 if case.is_failure else 3 if case.is_skipped else 0] += 1
    return found[0], found[1], found[2], found[3]


PYTEST = """
import pytest

@pytest.fixture
def broken():
    yield
    raise RuntimeError("at the end")

def test_good(): pass
def test_bad(): assert 41 == 42
def test_broken(broken): pass
def test_both(broken): assert 0
@pytest.mark.skip
def test_later(): pass
@pytest.mark.xfail
def test_expected(): assert 0
@pytest.mark.xfail(strict=True)
def test_unexpected(): pass
@pytest.mark.parametrize("text", ["\\x1b[31m", "\\x00", "a/b::c", "<&>", "\\U0001f4a5"])
def test_text(text): assert text == ""
class TestCart:
    def test_in_class(self): print("\\x1b[0m"); assert 0, "first\\nsecond"
"""


@pytest.mark.parametrize("family", ["xunit1", "xunit2"])
def test_a_report_that_pytest_wrote(tmp_path: Path, family: str) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_cart.py").write_text(PYTEST)
    words = ["-q", "-p", "no:cacheprovider", "--junitxml=report.xml", "-o", f"junit_family={family}", "tests"]
    run = subprocess.run([sys.executable, "-m", "pytest", *words], cwd=tmp_path, capture_output=True, check=False)
    assert run.returncode == 1
    xml = (tmp_path / "report.xml").read_bytes()

    report = read(xml)

    assert numbers(report) == reference(xml) == (1, 9, 2, 2)
    assert report.contradictions == ()
    found = {failure.name: failure.message for failure in report.failures}
    assert found["tests/test_cart.py::test_bad"] == "assert 41 == 42"
    assert found["tests/test_cart.py::TestCart::test_in_class"] == "AssertionError: first"


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=12)
OUTCOMES = st.lists(st.sampled_from(["failure", "error", "skipped", "system-out", "properties"]), max_size=3)
CASES = st.tuples(WORDS, WORDS, OUTCOMES, WORDS)
Tree = tuple[str, list[tuple[str, str, list[str], str]], list["Tree"]]
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.tuples(WORDS, st.lists(CASES, max_size=4), st.just([])),
    lambda inner: st.tuples(WORDS, st.lists(CASES, max_size=3), st.lists(inner, max_size=3)),
    max_leaves=6,
)


def suite_xml(tree: Tree) -> str:
    name, cases, inner = tree
    body = "".join(
        f"<testcase name={quoteattr(case)} classname={quoteattr(classname)}>"
        + "".join(f"<{outcome}>{escape(text)}</{outcome}>" for outcome in outcomes)
        + "</testcase>"
        for case, classname, outcomes, text in cases
    )
    return f"<testsuite name={quoteattr(name)}>{body}{''.join(map(suite_xml, inner))}</testsuite>"


@given(trees=st.lists(TREES, max_size=3), piece=st.integers(1, 400))
def test_generated_reports_are_read_as_junitparser_reads_them(trees: list[Tree], piece: int) -> None:
    xml = f"<testsuites>{''.join(map(suite_xml, trees))}</testsuites>".encode()
    report = read(xml, piece)
    assert numbers(report) == reference(xml)
    assert len(report.failures) == report.failed + report.errors


@given(cut=st.integers(0, 1200))
def test_a_report_that_breaks_off_is_never_a_report(cut: int) -> None:
    xml = junit(*passing(6), *failing(3), *skipped(2))
    assert isinstance(parse_report([xml[: min(cut, len(xml) - 1)]]), Unreadable)


@settings(max_examples=300)
@given(junk=st.binary(max_size=200), at=st.integers(0, 400), piece=st.integers(1, 64))
def test_no_bytes_make_the_reader_stumble(junk: bytes, at: int, piece: int) -> None:
    xml = junit(*passing(2), *failing(1))
    spoiled = xml[:at] + junk + xml[at:]
    answer = parse_report(spoiled[start : start + piece] for start in range(0, len(spoiled), piece))
    assert isinstance(answer, Report | Unreadable)
