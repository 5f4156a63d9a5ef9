"""Notes of operators in the report."""

import json
from dataclasses import replace

import html5lib
import jsonschema
import pandas as pd

from backupkit.assessment import Assessment
from backupkit.reports import report
from backupkit.reports.schema import schema
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
        "Note: 2026-11-08 00:00 UTC, incident since 2026-11-06 01:20 UTC: "
        "&lt;script&gt;alert(1)&lt;/script&gt; (Kim, CHG-1)</td>"
    ) in page
    assert "Note: 2026-11-08 00:00 UTC: ok (Kim)</td>" in page
    data = json.loads(document.to_json())
    jsonschema.validate(data, schema())
    assert data["notes"] == [
        {
            "appliance": "vc-strikes",
            "at": "2026-11-08T00:00:00+00:00",
            "incident_onset": "2026-11-06T01:20:00+00:00",
            "by": "Kim",
            "ticket": "CHG-1",
            "text": EVIL,
        },
        {
            "appliance": "vc-good",
            "at": "2026-11-08T00:00:00+00:00",
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


def test_redacted(week: Assessment) -> None:
    """A redacted report has no notes: any of their words may be a name."""
    assert report(week, before=week, notes=[NOTE]).redacted(b"secret").notes == ()
