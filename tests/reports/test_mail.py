"""The report as a mail."""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import html5lib
import pandas as pd
import pytest

import backupkit as bk
from backupkit.assessment import Assessment, Verdict
from backupkit.errors import OutputError
from backupkit.policy import Member
from backupkit.reports.mail import compose_mail, format_subject
from tests.builders import END, assess, nights, poll, schedule

EVIL = "<script>alert(1)</script>\r\nBcc: all@example.com"


def part(message: EmailMessage, kind: str) -> str:
    """Return one of the two forms of the text."""
    body = message.get_body((kind,))
    assert isinstance(body, EmailMessage)
    return str(body.get_content())


def with_verdict(assessment: Assessment, **counts: int) -> Assessment:
    """Return the assessment with another verdict."""
    return assessment.replaced(verdict=Verdict(**counts))


class TestSubject:
    """The subject begins with the verdicts."""

    @pytest.mark.parametrize(
        ("counts", "expected"),
        [
            (
                {"compliant": 193, "breach": 3, "unknown": 2},
                "[TARGET MISSED | BREACH 3 | UNKNOWN 2] vCenter backups 2026-11-09 - 193/198 ok",
            ),
            ({"breach": 1}, "[TARGET MISSED | BREACH 1] vCenter backups 2026-11-09 - 0/1 ok"),
            (
                {"compliant": 7, "unknown": 1, "unobserved": 1},
                "[TARGET MISSED | UNKNOWN 2] vCenter",
            ),
            (
                {"compliant": 2000},
                "[TARGET MISSED | OK] vCenter backups 2026-11-09 - 2,000/2,000 ok",
            ),
            (
                {"excluded": 3},
                "[TARGET MISSED | UNKNOWN] vCenter backups 2026-11-09 - 0/0 ok",
            ),
        ],
    )
    def test_counts(self, week: Assessment, counts: dict[str, int], expected: str) -> None:
        """The subject counts problems first, or else compliant appliances."""
        assert format_subject(with_verdict(week, **counts)).startswith(expected)


class TestBody:
    """Text and HTML have the same contents."""

    def test_verdict_and_worst(self, week: Assessment) -> None:
        """Both forms have verdict, changes, figures, and the worst appliances with next steps."""
        message = compose_mail(week, bk.compare(week, week))
        text = part(message, "plain")
        for form in (text, re.sub("<[^>]*>", "", part(message, "html"))):
            assert "BREACH 4 of 8" in form
            assert week.verdict.sentence in form
            assert "Since 2026-11-09 00:00 UTC: nothing changed" in form
            assert "25.0 % (2 of 8 appliances)" in form
            assert "vc-silent" in form
            assert "Enable its schedule" in form
            assert "vc-gone" in form
            assert "Compare the certificate" in form
            assert "data up to 2026-11-09 00:00 UTC" in form
        assert "&" not in text
        assert "No space left" in part(message, "html")
        assert "█████" in part(message, "html")

    def test_all_is_well(self) -> None:
        """Without a problem there is only the verdict."""
        message = compose_mail(assess(nights("a", "s" * 8), [poll("a")], [schedule("a")]))
        assert message["X-Backupkit-State"] == "compliant"
        for kind in ("plain", "html"):
            assert "OK 1 of 1" in part(message, kind)
            assert not re.search("act on these|could not be read", part(message, kind).lower())

    def test_made_for_mail_clients(self, week: Assessment) -> None:
        """The HTML is valid, has no links, no scripts and no style sheet."""
        html = part(compose_mail(week), "html")
        tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html.strip())
        tags = {element.tag for element in tree.iter()}
        assert not tags & {"script", "style", "link", "img", "svg", "details", "a", "form"}
        assert not re.search(r"https?:|url\(", html)

    def test_two_thousand_breaches(self) -> None:
        """With 2,000 breaches and long messages the mail is below 90 KiB and counts the others."""
        names = [f"vc-with-a-rather-long-name-{n:04}.datacenter.example.com" for n in range(2000)]
        month = assess([], [], [], [Member(appliance=name) for name in names])
        rows = month.appliances.assign(
            state="breach", reason="ä <&> reason " * 100, exposure=pd.Timedelta(days=9)
        )
        bad = with_verdict(month, breach=2000).replaced(
            appliances=rows.astype(month.appliances.dtypes.to_dict()),
        )
        message = compose_mail(bad)
        html = part(message, "html")
        assert len(html.encode()) < 90 * 1024
        assert html.count("✕ Breach") == 25
        assert "and 1,975 more" in html
        assert "and 1,990 more" in part(message, "plain")
        assert message["Subject"].startswith("[TARGET UNKNOWN | BREACH 2,000]")

    def test_many_unread(self) -> None:
        """Of many unreachable appliances ten are listed."""
        polls = [poll(f"vc-{n}", END, "unreachable") for n in range(103)]
        message = compose_mail(assess([], polls))
        for kind in ("plain", "html"):
            assert part(message, kind).count("? Unknown") == 10
            assert "and 93 more" in part(message, kind)

    def test_hostile_texts(self) -> None:
        """Markup is shown as text, and no name becomes a header."""
        jobs = nights(EVIL, "ssssffff")
        message = compose_mail(assess(jobs, [poll(EVIL)], [schedule(EVIL)]))
        assert "<script" not in part(message, "html")
        assert "&lt;script&gt;" in part(message, "html")
        sent = message_from_bytes(bytes(message), policy=policy.default)
        assert sent["Bcc"] is None


class TestMessage:
    """Headers and attachments."""

    def test_headers(self, week: Assessment) -> None:
        """The headers mark the mail as automatic and let filters sort it."""
        message = compose_mail(week, date=pd.Timestamp("2026-11-09T06:00Z"))
        assert message["X-Backupkit-State"] == "breach"
        assert message["Auto-Submitted"] == "auto-generated"
        assert "reports.backupkit" in message["List-Id"]
        assert message["Date"] == "Mon, 09 Nov 2026 06:00:00 +0000"
        assert message["Message-ID"] != compose_mail(week)["Message-ID"]

    def test_files(self, week: Assessment, tmp_path: Path) -> None:
        """Files are attached unchanged, under their names, and named in the text."""
        files = bk.report(week).save(tmp_path / "report.html")
        odd = tmp_path / "odd.bin"
        odd.write_bytes(b"\x00\xff")
        message = compose_mail(week, attachments=[*files, odd])
        sent = message_from_bytes(bytes(message), policy=policy.default)
        assert isinstance(sent, EmailMessage)
        attached = {part.get_filename(): part for part in sent.iter_attachments()}
        assert set(attached) == {*(path.name for path in files), "odd.bin"}
        for path in (*files, odd):
            assert attached[path.name].get_payload(decode=True) == path.read_bytes()
        assert attached["report.html"].get_content_type() == "text/html"
        assert attached["odd.bin"].get_content_type() == "application/octet-stream"
        assert "Attached: report.html, report.json" in part(message, "plain")

    def test_a_missing_file(self, week: Assessment, tmp_path: Path) -> None:
        """A missing file is an error that names it."""
        with pytest.raises(OutputError, match=r"gone\.html cannot be attached"):
            compose_mail(week, attachments=[tmp_path / "gone.html"])


def test_a_site_that_is_excluded() -> None:
    """A site of which every appliance is excluded has no target, and the mail says so."""
    members = [
        Member(appliance="vc", site="Hamburg"),
        Member(appliance="old", site="Tokyo", exclude="retired"),
    ]
    html = part(compose_mail(assess([], [], [], members)), "html")
    tokyo = html[html.index("site Tokyo") :]
    assert "- No target" in tokyo
    assert "- Excluded" in tokyo
