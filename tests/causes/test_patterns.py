"""Check of regular expressions."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupkit.causes import known_causes
from backupkit.causes.patterns import MAX_LENGTH, check_pattern, find_needle


@pytest.mark.parametrize(
    "pattern",
    [
        "Disk full",
        r"\bcurl(?: error)?:? {0,2}\(?67\b",
        r"error .{0,60}? disk .{1,10}+ full",
        r"[]*+?{}|()\]]x",
        r"(?:ab|cd){0,1}e",
        r"(?:ab){2,5}",
        r"(?<!un)broken(?= pipe)|(?<=x)y(?!z)",
        r"a\*\+\|\{2,}",
        "x{y}z",
        r"\d{3}",
        r"a{,3}b",
        "one|two|three|four",
    ],
)
def test_accepted(pattern: str) -> None:
    """Bounded repetitions, classes, escapes, groups and alternatives are accepted."""
    check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        (".*x", "without an upper limit (*)"),
        ("a+b", "without an upper limit (+)"),
        ("a{2,}", "without an upper limit; "),
        ("(a+)+b", "without an upper limit"),
        ("(?:a{0,9}){0,9}b", "repeats a group that can itself match in several ways"),
        ("(?:a|a){0,9}b", "repeats a group that can itself match in several ways"),
        ("((a|b)c){2}", "repeats a group that can itself match in several ways"),
        ("a{0,99}b{0,99}c", "in more than 1,000 ways"),
        ("(?:a|b)(?:c|d)" * 6, "in more than 1,000 ways"),
        (r"(a)\1", "refers to an earlier group"),
        ("(?P<n>a)b", "a group of a kind that is not supported"),
        ("(?i)abc", "a group of a kind that is not supported"),
        ("(?>ab)c", "a group of a kind that is not supported"),
        ("a(b", "is no valid regular expression"),
        ("a{9999999999999999999999}", "is no valid regular expression"),
        ("a" * (MAX_LENGTH + 1), "is longer than"),
        ("", "matches an empty text"),
        ("a?", "matches an empty text"),
        ("(?:ab){0,1}", "matches an empty text"),
    ],
)
def test_refused(pattern: str, problem: str) -> None:
    """A pattern that may take long, or is no pattern, is refused with its reason."""
    with pytest.raises(ValueError, match=re.escape(problem)):
        check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "needle"),
    [
        (r"\bcurl(?: error)?:? {0,2}\(?67\b", "curl"),
        ("one|two", ""),
        ("(?:one|two) three", " three"),
        ("ab?cd{2}e", "a"),
        ("a{0,60}bcd", "bcd"),
        (r"[abc]{1,60}", ""),
    ],
)
def test_needle(pattern: str, needle: str) -> None:
    """The needle is the longest text that each match has."""
    assert find_needle(pattern) == needle


@pytest.mark.property
@given(
    pattern=st.text(alphabet="ab1 (?:)|[]{}0,3.\\d", max_size=25),
    text=st.text(alphabet="ab1 ", max_size=30),
)
def test_each_match_has_the_needle(pattern: str, text: str) -> None:
    """A text without the needle is never a match; a pattern is accepted or a ValueError."""
    try:
        check_pattern(pattern)
    except ValueError:
        return
    found = re.compile(pattern, re.IGNORECASE).search(text)
    assert found is None or find_needle(pattern) in text.casefold()


def test_known_patterns() -> None:
    """The catalogue's own patterns keep the rules, and take little time on hostile texts."""
    patterns = [pattern for cause in known_causes().causes for pattern in cause.patterns]
    assert len(patterns) > 40
    for pattern in patterns:
        check_pattern(pattern)
    begin = time.process_time()
    for piece in ("curl error: ", "errno:  ", "HTTP/1.1 ", "/storage/", "(", "SCP location ", "50"):
        known_causes().find(piece * 100_000)
    assert time.process_time() - begin < 2
