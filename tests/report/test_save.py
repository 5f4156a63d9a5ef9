"""The files: all four, whole, and readable by machines."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backupkit.assessment import Assessment
from backupkit.errors import OutputError
from backupkit.report import report
from backupkit.report.sidecars import SCHEMA_VERSION, jobs_csv, json_document, slots_csv
from backupkit.tables import SLOTS


class TestSave:
    """`Report.save`."""

    def test_four_files(self, week: Assessment, tmp_path: Path) -> None:
        """The page and its three sidecars are written, the page first, and nothing else stays."""
        paths = report(week).save(tmp_path / "report.html")
        names = ["report.html", "report.json", "report.csv", "report.jobs.csv"]
        assert [path.name for path in paths] == names
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
        html = paths[0].read_text(encoding="utf-8")
        assert all(name in html for name in names[1:])
        assert f"{len(week.jobs)} jobs" in html

    def test_saving_again_replaces(self, week: Assessment, tmp_path: Path) -> None:
        """A second save gives the same bytes in the same places."""
        paths = report(week).save(tmp_path / "report.html")
        before = [path.read_bytes() for path in paths]
        assert [path.read_bytes() for path in report(week).save(str(paths[0]))] == before

    def test_a_missing_folder(self, week: Assessment, tmp_path: Path) -> None:
        """A path that cannot be written is an error with path, reason and next step."""
        with pytest.raises(OutputError, match=r"(?s)gone.*No such file.*Check that the folder"):
            report(week).save(tmp_path / "gone" / "report.html")

    def test_a_failure_leaves_nothing_behind(self, week: Assessment, tmp_path: Path) -> None:
        """If a file cannot be put in place no part of one stays."""
        (tmp_path / "report.html").mkdir()
        with pytest.raises(OutputError):
            report(week).save(tmp_path / "report.html")
        assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


class TestJson:
    """`json_document`."""

    def test_verdict_and_tables(self, week: Assessment) -> None:
        """The document has its version, the verdict, and every row of every table."""
        document = json.loads(json_document(week))
        assert document["schema_version"] == SCHEMA_VERSION
        assert document["verdict"]["state"] == week.verdict.state
        assert document["verdict"]["breach"] == week.verdict.breach
        for name in ("fleet", "appliances", "intervals", "slots", "incidents", "coverage", "jobs"):
            assert len(document[name]) == len(getattr(week, name))

    def test_units(self, week: Assessment) -> None:
        """Times are ISO in UTC, durations seconds by their key, missing is null."""
        rows = {row["appliance"]: row for row in json.loads(json_document(week))["appliances"]}
        assert rows["vc-good"]["last_success"] == "2026-11-08T01:00:00.000000Z"
        assert rows["vc-good"]["exposure_seconds"] == 23 * 3600
        assert rows["vc-never"]["exposure_seconds"] is None
        assert rows["vc-never"]["last_success"] is None
        assert rows["vc-good"]["attempts"] == 7
        assert rows["vc-never"]["slot_strict"] is None

    def test_no_user_of_a_target(self, week: Assessment) -> None:
        """User and password in locations are taken out, in lists and messages too."""
        told = [[{"id": "a", "default_message": "ftp://joe:secret@x failed", "args": []}]]
        jobs = week.jobs.iloc[:1].assign(
            messages=pd.Series(told, week.jobs.index[:1], week.jobs["messages"].dtype)
        )
        document = json_document(dataclass_replace(week, jobs=jobs))
        assert b"secret" not in document
        assert b"ftp://***@x failed" in document


def dataclass_replace(assessment: Assessment, **frames: pd.DataFrame) -> Assessment:
    """Give the assessment with other frames."""
    values = {name: getattr(assessment, name) for name in assessment.__dataclass_fields__}
    return Assessment(**{**values, **frames})


def read(content: bytes) -> list[dict[str, str]]:
    """Read CSV back."""
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


class TestCsv:
    """`slots_csv` and `jobs_csv`."""

    def test_a_row_per_expected_run(self, week: Assessment) -> None:
        """Each expected run is a row; what is missing is empty."""
        rows = read(slots_csv(week))
        assert len(rows) == len(week.slots)
        assert rows[0]["slot"].endswith("Z")

    def test_a_row_per_job(self, week: Assessment) -> None:
        """Each job is a row, its messages a text, its duration in seconds."""
        rows = read(jobs_csv(week.jobs))
        assert len(rows) == len(week.jobs)
        failed = [row for row in rows if row["outcome"] == "failure"]
        assert {row["messages"] for row in failed} == {"No space left"}
        assert {row["duration_seconds"] for row in rows if row["outcome"] == "success"} == {
            "1200.0"
        }
        assert "secret" not in jobs_csv(week.jobs).decode()

    @pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
    def test_formulas_are_text(self, week: Assessment, start: str) -> None:
        """A cell that a spreadsheet would run gets a quote in front."""
        evil = f"{start}HYPERLINK(1)"
        slots = SLOTS.frame({"appliance": [evil], "state": ["met"]})
        (row,) = read(slots_csv(dataclass_replace(week, slots=slots)))
        assert row["appliance"] == f"'{evil}"
        assert row["slot"] == ""

    def test_negative_numbers_stay_numbers(self, week: Assessment) -> None:
        """Only text is quoted: a negative duration is a number."""
        jobs = week.jobs.assign(
            duration=pd.Series(
                np.full(len(week.jobs), -60, "timedelta64[s]").astype("timedelta64[us]"),
                week.jobs.index,
            )
        )
        assert read(jobs_csv(jobs))[0]["duration_seconds"] == "-60.0"
