"""Notes of operators in the report."""

import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import html5lib
import jsonschema
import pandas as pd

from backupkit.assessment import Assessment
from backupkit.reports import report
from backupkit.reports.schema import schema
from backupkit.tables.incident_ids import format_incident_id
from backupkit.tables.notes import Note
from tests.builders import END

AT = (END - pd.Timedelta(days=1)).to_pydatetime()
EVIL = "<script>alert(1)</script>"
NOTE = Note(appliance="vc-strikes", at=AT, by="Kim", ticket="CHG-1", text=EVIL, added_at=AT)


def test_shown_beside_the_appliance(week: Assessment) -> None:
    """A note is escaped on the page, names the incident, and is in the JSON."""
    document = report(week, notes=[NOTE, replace(NOTE, appliance="vc-good", ticket="", text="ok")])
    page = document.html()
    html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    assert EVIL not in page
    assert (
        "Note: 2026-11-08 00:00 UTC, incident vc-strikes/2026-11-06T01:20:00Z: "
        "&lt;script&gt;alert(1)&lt;/script&gt; (Kim, CHG-1)</td>"
    ) in page
    assert "Note: 2026-11-08 00:00 UTC: ok (Kim)</td>" in page
    assert (
        '<p class="quiet">Incident vc-strikes/2026-11-06T01:20:00Z: began with a failed job, open, '
        "at least 70 h 40 min"
    ) in page
    data = json.loads(document.to_json())
    jsonschema.validate(data, schema())
    assert data["notes"] == [
        {
            "appliance": "vc-strikes",
            "at": "2026-11-08T00:00:00+00:00",
            "incident": "vc-strikes/2026-11-06T01:20:00Z",
            "incident_onset": "2026-11-06T01:20:00+00:00",
            "by": "Kim",
            "ticket": "CHG-1",
            "text": EVIL,
        },
        {
            "appliance": "vc-good",
            "at": "2026-11-08T00:00:00+00:00",
            "incident": None,
            "incident_onset": None,
            "by": "Kim",
            "ticket": "",
            "text": "ok",
        },
    ]


def test_selection(week: Assessment) -> None:
    """Valid notes on the period about appliances of the report are shown, as known at its time."""
    day = pd.Timedelta(days=1)
    later, earlier = (END + day).to_pydatetime(), (week.start - day).to_pydatetime()
    kept = [NOTE, replace(NOTE, withdrawn_at=later, withdrawn_by="Lee")]
    left_out = [
        replace(NOTE, appliance="vc-other"),
        replace(NOTE, at=earlier),
        replace(NOTE, added_at=later),
        replace(NOTE, withdrawn_at=AT, withdrawn_by="Lee"),
    ]
    assert report(week, notes=[*kept, *left_out]).notes == tuple(kept)


def test_stated_incident(week: Assessment) -> None:
    """A note that states its incident is shown with it, also if it was written later."""
    onset = datetime(2026, 11, 6, 1, 20, tzinfo=UTC)
    day = pd.Timedelta(days=1)
    early = (week.start - day).to_pydatetime()
    stated = replace(NOTE, at=early, onset=onset)
    other = replace(NOTE, onset=early)
    document = report(week, notes=[stated, other, replace(other, at=early)])
    assert document.notes == (stated, other)
    records = json.loads(document.to_json())["notes"]
    assert [(note["incident"], note["incident_onset"]) for note in records] == [
        ("vc-strikes/2026-11-06T01:20:00Z", "2026-11-06T01:20:00+00:00"),
        (f"vc-strikes/{early:%Y-%m-%d}T00:00:00Z", early.isoformat()),
    ]


def test_mail_and_tickets(week: Assessment, tmp_path: Path) -> None:
    """Mail, text and Markdown have the id of the open incident, and the newest notes."""
    notes = [replace(NOTE, text=f"{number} {EVIL}") for number in range(5)]
    document = report(week, notes=notes)
    mail = document.message()
    [plain, rich] = [part.get_content() for part in mail.iter_parts()]
    incident = "vc-strikes/2026-11-06T01:20:00Z"
    for text in (plain, document.to_text()):
        assert f"    Incident: {incident}\n" in text
        assert "and 2 earlier notes, in the report" in text
    assert f"    Note: 2026-11-08 00:00 UTC, incident {incident}: 4 {EVIL} (Kim, CHG-1)" in plain
    assert f"<br>Incident: {incident}<br>and " not in rich
    assert f"<br>Note: 2026-11-08 00:00 UTC, incident {incident}: 4 &lt;script" in rich
    assert EVIL not in rich
    table = document.to_markdown()
    assert "| Next step | Incident, notes |" in table
    assert f"| Incident: {incident}; Note: 2026-11-08 00:00 UTC, incident" in table
    paths = document.save_pack(tmp_path / "a.zip")
    with zipfile.ZipFile(paths) as pack:
        rows = pack.read("notes.csv").decode().splitlines()
        assert len(rows) == 6
        assert "notes.csv" in pack.read("README.txt").decode()


def test_redacted(week: Assessment) -> None:
    """A redacted report has no notes, and ids with aliases: any word may be a name."""
    redacted = report(week, before=week, notes=[NOTE]).redacted(b"secret")
    assert redacted.notes == ()
    rows = redacted.assessment.incidents
    pairs = zip(rows["appliance"], rows["onset"], strict=True)
    assert list(rows["incident"]) == [format_incident_id(*pair) for pair in pairs]
    assert "vc-strikes" not in redacted.html() + redacted.to_json() + redacted.to_text()
