"""The page that lists only what needs attention."""

import re

import html5lib

from backupkit.assessment import Assessment
from backupkit.policy import Member
from backupkit.reports import report
from backupkit.reports.exceptions import find_exceptions
from backupkit.reports.summary import summarize
from tests.builders import assess, assess_large_fleet, nights, poll, schedule


def parse(html: str) -> tuple[set[str], set[str]]:
    """Return the ids of a valid page, and the ids that its links name."""
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)
    ids = {element.get("id") for element in tree.iter() if element.get("id")}
    links = {str(link.get("href")).removeprefix("#") for link in tree.iter("a")}
    return ids, links


def test_lists_exceptions(week: Assessment) -> None:
    """The page has the sections about problems; what it left out is counted and named."""
    page = report(week, before=week, exceptions_only=True).html()
    ids, links = parse(page)
    assert links <= ids
    assert {"act", "unread", "why", "changes", "lint", "appliances", "method"} <= ids
    assert not ids & {"fleet", "runs", "trend", "nights", "forecast", "load", "sizes"}
    assert "2 of 9 appliances left out (compliant 1, excluded 1)" in page
    assert "2 appliances left out</summary>" in page
    assert "--exceptions-only</code> with the same history" in page
    body = page.partition('id="appliances"')[2]
    assert re.findall(r'<span id="a\d+">(.*?)</span>', body) == ["vc-good", "vc-retired"]
    assert len(page) < len(report(week).html())


def test_all_lists_agree(week: Assessment) -> None:
    """The exceptions are those that the first tables of the page list."""
    for assessment in (week, assess_large_fleet(40)):
        summary = summarize(assessment)
        listed = {item.appliance.name for item in summary.action_items}
        listed |= {item.appliance.name for item in summary.unread}
        assert set(find_exceptions(assessment)) == listed


def test_nothing_to_list() -> None:
    """Without a problem the page says so, and leaves everything out."""
    good = assess(
        nights("vc-1", "ssssssss"),
        [poll("vc-1")],
        [schedule("vc-1")],
        [Member(appliance="vc-1", site="Hamburg")],
    )
    page = report(good, exceptions_only=True).html()
    parse(page)
    assert "No appliance needs attention." in page
    assert "1 of 1 appliance left out" in page
    assert "and 1 more, in the .json file" not in page


def test_empty_fleet() -> None:
    """A page about no appliance says so."""
    page = report(assess(), exceptions_only=True).html()
    assert "There is no appliance in this report." in page
    assert "0 of 0 appliances left out; so are" in page
