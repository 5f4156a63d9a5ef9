"""The HTML page: valid, self-contained, escaped, legible, small and reproducible."""

import base64
import dataclasses
import hashlib
import re
from xml.etree.ElementTree import Element

import html5lib
import pandas as pd
import pytest

from backupkit.assessment import Assessment
from backupkit.display import style_sheet
from backupkit.plots import timeline
from backupkit.policy import Member
from backupkit.reports import Report, report
from backupkit.reports.facts import build_data_uri
from backupkit.reports.page import render_page
from tests.builders import assess, assess_large_fleet, schedule
from tests.colours import contrast

EVIL = "<script>alert(1)</script>"
VOID_ATTRIBUTES = {"src", "href", "srcset", "action", "data", "poster", "background"}


def parse(html: str) -> Element:
    """Parse a page and fail at its first error."""
    tree: Element = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)
    return tree


def text(element: Element | None) -> str:
    """Return the text of an element in one line."""
    assert element is not None
    return " ".join("".join(element.itertext()).split())


def digest(element: Element) -> str:
    """Return the digest of an inline style or script as a content policy has it."""
    text = (element.text or "").encode()
    return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"


def section(html: str, name: str) -> Element:
    """Return the section with this id."""
    found = parse(html).find(f".//section[@id='{name}']")
    assert found is not None
    return found


HEAD = "0123456789abcdef" * 4
CHECK = "backupkit history verify --history HISTORY --head"


@pytest.mark.parametrize(
    ("version", "said", "footer"),
    [
        (
            HEAD,
            f"History digest {HEAD}; {CHECK} {HEAD} checks whether a history still contains ",
            ' UTC, history 0123456789abcdef"',
        ),
        (
            "12-00000000000000ff",
            "Data version 12-00000000000000ff (number of polls, digest). Policy digest ",
            ' UTC, history 12-0000000000000"',
        ),
        ("", "An empty history. Policy digest ", ' UTC"; '),
    ],
)
def test_what_it_was_made_from(week: Assessment, version: str, said: str, footer: str) -> None:
    """A report names the history that it was made from, and the command that verifies it."""
    html = report(dataclasses.replace(week, version=version)).html()
    assert said in text(section(html, "method"))
    assert footer in html


class TestStructure:
    """Headings, landmarks, tables and links."""

    def test_headings_and_landmarks(self, week: Assessment) -> None:
        """There is one h1, an h2 per section, a language, a nav, a main and a skip link to it."""
        tree = parse(report(week).html())
        assert tree.get("lang") == "en"
        assert len(tree.findall(".//h1")) == 1
        sections = tree.findall(".//section")
        assert [len(s.findall(".//h2")) for s in sections] == [0] + [1] * (len(sections) - 1)
        assert tree.find(".//nav") is not None
        assert tree.find(".//main") is not None
        skip = tree.find(".//body/a")
        assert skip is not None
        assert tree.find(f".//*[@id='{skip.get('href', '')[1:]}']") is not None

    def test_tables_have_captions_and_scopes(self, week: Assessment) -> None:
        """Every table of a section has a caption, and every header cell a scope."""
        tree = parse(report(week).html())
        outer = [t for s in tree.iter("section") for t in s.findall("./div/table")]
        assert outer
        assert all(table.find("caption") is not None for table in outer)
        assert all(cell.get("scope") in {"col", "row", "rowgroup"} for cell in tree.iter("th"))

    def test_every_fragment_link_has_a_target(self, week: Assessment) -> None:
        """Each link points to an existing id, and no id is repeated."""
        tree = parse(report(week).html())
        ids = [found for element in tree.iter() if (found := element.get("id"))]
        assert len(ids) == len(set(ids))
        links = {link.get("href", "") for link in tree.iter("a")}
        assert links
        assert {link.removeprefix("#") for link in links} <= set(ids)

    def test_title(self, week: Assessment) -> None:
        """Title and heading begin with the verdict and its count, and name the period."""
        html = report(week).html()
        title = (
            "TARGET MISSED, BREACH 4 of 8 now - vCenter backups - "
            "2026-11-02 to 2026-11-09 00:00 UTC"
        )
        assert report(week).title == title
        assert text(parse(html).find(".//title")) == title
        assert text(parse(html).find(".//h1")) == title


class TestSelfContained:
    """One file without requests."""

    def test_no_external_reference(self, week: Assessment) -> None:
        """All references are fragments or data, and the style has no URL."""
        tree = parse(report(week).html())
        used = {value for e in tree.iter() for name, value in e.items() if name in VOID_ATTRIBUTES}
        assert used
        assert all(value.startswith(("#", "data:")) for value in used)
        assert not re.search(r"url\(|@import", style_sheet())
        assert not {"link", "iframe", "object", "embed", "base"} & {e.tag for e in tree.iter()}

    def test_content_policy(self, week: Assessment) -> None:
        """The policy allows only data images, the page's own styles and its own script."""
        tree = parse(report(week).html())
        policy = tree.find(".//meta[@http-equiv='Content-Security-Policy']")
        assert policy is not None
        allowed = dict(rule.strip().split(" ", 1) for rule in policy.get("content", "").split(";"))
        assert allowed == {
            "default-src": "'none'",
            "img-src": "data:",
            "style-src": " ".join(digest(style) for style in tree.iter("style")),
            "script-src": " ".join(digest(script) for script in tree.iter("script")),
            "base-uri": "'none'",
            "form-action": "'none'",
        }
        assert len(list(tree.iter("script"))) == 1
        assert not [e for e in tree.iter() if e.get("style")]
        assert not [name for e in tree.iter() for name, _ in e.items() if name.startswith("on")]

    def test_same_bytes_twice(self, week: Assessment) -> None:
        """The same assessment has the same text."""
        assert report(week).html() == report(week).html()

    def test_the_figure_states_its_finding(self, week: Assessment) -> None:
        """The figure is an SVG image whose alternative text states what it shows."""
        picture = section(report(week).html(), "why").find(".//img")
        assert picture is not None
        assert "No space left" in picture.get("alt", "")
        kind, _, data = picture.get("src", "").partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert b"<svg" in base64.b64decode(data)


class TestEscaping:
    """Texts from outside are escaped."""

    def test_markup_in_every_text_appears_as_text(self) -> None:
        """A script in any field of an appliance or of fleet.toml is shown as text."""
        job = {
            "appliance": EVIL,
            "job_id": f"1{EVIL}",
            "state": "FAILED",
            "status": "FAILED",
            "outcome": "failure",
            "type": EVIL,
            "location": f"sftp://{EVIL}",
            "build": EVIL,
            "start_time": pd.Timestamp("2026-11-03T01:00Z"),
            "end_time": pd.Timestamp("2026-11-03T02:00Z"),
            "messages": [{"id": EVIL, "default_message": EVIL, "args": [EVIL], "localized": EVIL}],
        }
        poll = {
            "appliance": EVIL,
            "polled_at": pd.Timestamp("2026-11-09T00:00Z"),
            "ok": True,
            "version": EVIL,
            "api": EVIL,
        }
        failed = {**poll, "appliance": f"b{EVIL}", "ok": False, "error": EVIL, "detail": EVIL}
        schedule = {
            "appliance": EVIL,
            "schedule": EVIL,
            "enabled": True,
            "hour": 1,
            "minute": 0,
            "days": ["MONDAY"],
            "timezone": EVIL,
            "location": EVIL,
            "seen_at": pd.Timestamp("2026-11-01T00:00Z"),
        }
        members = [
            Member(appliance=EVIL, site=EVIL, group=EVIL),
            Member(appliance=f"b{EVIL}"),
            Member(appliance=f"c{EVIL}", exclude=EVIL),
        ]
        judged = assess([job], [poll, failed], [schedule], members)
        for html in (report(judged).html(), f"<!DOCTYPE html><title>x</title>{fragment(judged)}"):
            tree = parse(html)
            assert not [s for s in tree.iter("script") if "alert" in (s.text or "")]
            assert text(tree).count("alert(1)") > 5
        rows = text(section(report(judged).html(), "appliances"))
        assert rows.count(EVIL) > 5

    def test_no_user_of_a_target_is_shown(self, week: Assessment) -> None:
        """User and password in a location are not on the page."""
        html = report(week).html()
        assert "secret" not in html
        assert "sftp://***@10.0.0.250/vc" in html


def fragment(assessment: Assessment) -> str:
    """Return what a notebook shows."""
    return report(assessment)._repr_html_()


class TestFragment:
    """The form for notebooks."""

    def test_it_is_the_page_without_the_page(self, week: Assessment) -> None:
        """The fragment has verdict and worst appliances, but no document and no ids of the page."""
        html = fragment(week)
        assert "<html" not in html
        assert "BREACH 4 of 8" in html
        assert "vc-strikes" in html
        assert 'href="#' not in html


TEXTS = ("ink", "muted", "good", "bad", "warn", "unknown", "link")
GROUNDS = ("paper", "card", "soft")
TINTED = [
    (word, f"{tone}-soft")
    for tone in ("good", "bad", "unknown")
    for word in (tone, "ink", "muted", "link")
]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), [*((t, g) for t in TEXTS for g in GROUNDS), *TINTED])
def test_contrast(theme: int, ink: str, ground: str) -> None:
    """Text and background have a contrast of at least 4.5, in light and in dark."""
    blocks = re.findall(r"\.bk \{\s*(--paper.*?)\}", style_sheet(), re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[theme]))
    assert contrast(colours[ink], colours[ground]) >= 4.5


class TestSpecialFleets:
    """Special cases of fleets."""

    def test_an_empty_fleet(self) -> None:
        """An empty fleet has a page that is unknown, not compliant."""
        html = report(assess()).html()
        assert report(assess()).title.startswith("TARGET UNKNOWN, UNKNOWN 0 of 0 now - ")
        assert "There is no appliance to read" in text(section(html, "unread"))
        assert "There is no appliance to read" in fragment(assess())
        assert "no data" in text(section(html, "verdict"))

    def test_all_unreachable(self) -> None:
        """Appliances that never answered are listed with the error and the next step."""
        polls = [
            {
                "appliance": f"vc-{n:03}",
                "polled_at": pd.Timestamp("2026-11-08T00:00Z"),
                "ok": False,
                "error": "unreachable",
                "detail": "refused",
            }
            for n in range(103)
        ]
        html = report(assess([], polls)).html()
        assert report(assess([], polls)).title.startswith("TARGET UNKNOWN, UNKNOWN 103 of 103 now")
        unread = section(html, "unread")
        assert len(unread.findall(".//tbody/tr")) == 100
        assert "and 3 more" in text(unread)
        assert "HTTPS port" in text(unread)

    def test_more_to_do_than_fits(self) -> None:
        """The list of problems ends after 25 and counts the others."""
        act = section(report(assess_large_fleet(400)).html(), "act")
        assert len(act.findall(".//tbody/tr")) == 25
        assert "and 5 more" in text(act)

    @pytest.mark.parametrize(("appliances", "lines"), [(100, 2), (102, 1)])
    def test_lines_of_a_good_appliance(self, appliances: int, lines: int) -> None:
        """Of a fleet above 100 an appliance without issues and without listed jobs has one line."""
        html = report(assess_large_fleet(appliances)).html()
        bodies = section(html, "appliances").findall(".//table[@class]/tbody")
        listed = [body for body in bodies if body.get("class") == "good"]
        assert len(listed) >= 80
        assert {len(body.findall("./tr")) for body in listed} == {lines}

    def test_all_compliant(self, week: Assessment) -> None:
        """Without problems each section is one line, and the title says OK."""
        jobs = week.assessed_jobs[week.assessed_jobs["appliance"] == "vc-good"]
        polls = [{"appliance": "vc-good", "polled_at": week.now, "ok": True}]
        html = report(assess(jobs, polls, [schedule("vc-good")])).html()
        assert text(parse(html).find(".//h1")).startswith("TARGET MET, OK 1 of 1 now - ")
        for name in ("act", "unread", "why"):
            assert section(html, name).find(".//table") is None
            assert text(section(html, name))


class TestSize:
    """Limits of size."""

    @pytest.mark.parametrize(("appliances", "kib"), [(50, 380), (2000, 2048)])
    def test_within_the_budget(self, appliances: int, kib: int) -> None:
        """A month of 50 appliances stays below 380 KiB, of 2,000 below 2 MiB."""
        html = render_page(assess_large_fleet(appliances))
        assert len(html.encode()) <= kib * 1024
        assert len(re.findall('<tr id="a[0-9]+">', html)) == appliances

    def test_a_crowded_figure_is_a_picture(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A figure with many marks is a PNG, one with few an SVG; of very many no SVG is drawn."""
        jobs = assess_large_fleet(50).assessed_jobs
        assert build_data_uri(timeline(jobs[:20])).startswith("data:image/svg+xml;base64,")
        assert build_data_uri(timeline(jobs[:400])).startswith("data:image/png;base64,")
        monkeypatch.delattr("backupkit.reports.facts.render_svg")
        assert build_data_uri(timeline(jobs)).startswith("data:image/png;base64,")


def test_report_and_its_class(week: Assessment) -> None:
    """`report` returns a `Report` of an assessment."""
    assert report(week) == Report(week)
