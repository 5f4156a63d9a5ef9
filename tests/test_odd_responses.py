"""Each odd answer of an appliance leads to what docs/odd-responses.md says."""

import pytest

from tests.odd_responses import PAGE, build_page

pytestmark = pytest.mark.allow_hosts(["127.0.0.0/8"])


def test_page() -> None:
    """The page is what collections over HTTPS lead to: `python -m tests.odd_responses`."""
    page = build_page()
    collected = page.partition("\n## Discovery\n")[0]
    rows = [line for line in collected.splitlines() if line.startswith("| ")][2:]
    told = [row.split(" | ") for row in rows]
    # an odd answer about a listed job is never a run that did not happen
    assert not [row for row in told if "missed_norun" in row[4]]
    assert {(row[2], row[5], row[6]) for row in told if row[3] == "unread"} == {
        ("partial", "unknown", "3")
    }
    assert page == PAGE.read_text()
