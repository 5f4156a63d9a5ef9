"""The files: complete and machine-readable."""

import gzip
import io
import json
import subprocess
import sys
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import openpyxl
import pandas as pd
import pytest

from backupkit.assessment import Assessment
from backupkit.errors import OutputError
from backupkit.policy import Exclusion, Member, Policy
from backupkit.reports import report
from backupkit.reports.exports import (
    SCHEMA_VERSION,
    build_trend_rows,
    stream_json,
)
from backupkit.reports.period import select_period_jobs
from backupkit.reports.schema import schema
from backupkit.reports.workbook import build_workbook
from backupkit.tables import SLOTS
from tests.builders import assess, assess_large_fleet
from tests.exported import parse_csv, parse_json


class TestSave:
    """`Report.save`."""

    def test_files(self, week: Assessment, tmp_path: Path) -> None:
        """The page and its data files are written, the page first, and no other file remains."""
        paths = report(week).save(tmp_path / "report.html")
        kinds = ("", "jobs.", "verdicts.", "appliances.", "days.", "trend.")
        tables = [f"report.{kind}csv" for kind in kinds]
        names = ["report.html", "report.json", *tables]
        assert [path.name for path in paths] == names
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
        html = paths[0].read_text(encoding="utf-8")
        assert all(name in html for name in names[1:])
        assert f"{len(select_period_jobs(week))} jobs" in html

    def test_saving_again_replaces(self, week: Assessment, tmp_path: Path) -> None:
        """A second save writes the same bytes to the same files."""
        paths = report(week).save(tmp_path / "report.html")
        before = [path.read_bytes() for path in paths]
        assert [path.read_bytes() for path in report(week).save(str(paths[0]))] == before

    def test_files_of_others_stay(self, week: Assessment, tmp_path: Path) -> None:
        """A data file is replaced or removed only if the earlier page names it."""
        page, foreign = tmp_path / "a, b &.html", tmp_path / "a, b &.json"
        foreign.write_text("{}")
        for content in ("", "<p>Data files</p>"):
            page.write_text(content)
            with pytest.raises(OutputError, match=r"b &\.json exists, and is not of the report"):
                report(week).save(page)
            assert (page.read_text(), foreign.read_text()) == (content, "{}")
        foreign.unlink()
        report(week).save(page)
        report(week).save(page)
        (tmp_path / "a, b &.csv.gz").write_text("mine")
        report(week).save(page)
        assert (tmp_path / "a, b &.csv.gz").read_text() == "mine"
        (tmp_path / "a, b &.xlsx").write_text("mine")
        with pytest.raises(OutputError, match="xlsx exists"):
            report(week).save(page, xlsx=True)

    def test_compressed(
        self, week: Assessment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The large files are compressed, with the same content and the same bytes each time."""
        plain = {path.name: path.read_bytes() for path in report(week).save(tmp_path / "r.html")}
        paths = report(week).save(tmp_path / "r.html", compress=True)
        packed = {path.name: path.read_bytes() for path in paths}
        large = {"r.json", "r.csv", "r.jobs.csv"}
        names = {f"{name}.gz" if name in large else name for name in plain}
        assert set(packed) == names
        assert {path.name for path in tmp_path.iterdir()} == names
        for name in large:
            assert gzip.decompress(packed[f"{name}.gz"]) == plain[name]
        assert "r.jobs.csv.gz" in paths[0].read_text(encoding="utf-8")
        monkeypatch.setattr("time.time", lambda: 0.0)
        again = report(week).save(tmp_path / "r.html", compress=True)
        assert [path.read_bytes() for path in again] == list(packed.values())
        report(week).save(tmp_path / "r.html")
        assert {path.name for path in tmp_path.iterdir()} == set(plain)

    def test_a_missing_folder(self, week: Assessment, tmp_path: Path) -> None:
        """A path that cannot be written is an error with path, reason and next step."""
        with pytest.raises(OutputError, match=r"(?s)gone.*No such file.*Check that the folder"):
            report(week).save(tmp_path / "gone" / "report.html")

    def test_a_failure_leaves_nothing_behind(self, week: Assessment, tmp_path: Path) -> None:
        """If a file cannot be replaced, no part of another one remains."""
        (tmp_path / "report.html").mkdir()
        with pytest.raises(OutputError, match=r"\(.*/report\.html\)"):
            report(week).save(tmp_path / "report.html")
        assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


class TestJson:
    """`stream_json`."""

    def test_verdict_and_tables(self, week: Assessment) -> None:
        """The document has its version, the verdict, and every row of every table."""
        document = parse_json(week)
        assert document["schema_version"] == SCHEMA_VERSION
        assert document["verdict"]["state"] == week.verdict.state
        assert document["verdict"]["breach"] == week.verdict.breach
        for name in ("fleet", "appliances", "intervals", "slots", "incidents", "coverage"):
            assert len(document[name]) == len(getattr(week, name))
        assert len(document["jobs"]) == len(week.assessed_jobs) - 7  # a night before the period

    def test_units(self, week: Assessment) -> None:
        """Times are ISO in UTC, durations seconds by their key, missing values null."""
        rows = {row["appliance"]: row for row in parse_json(week)["appliances"]}
        assert rows["vc-good"]["last_success"] == "2026-11-08T01:00:00.000000Z"
        assert rows["vc-good"]["exposure_seconds"] == 23 * 3600
        assert rows["vc-never"]["exposure_seconds"] is None
        assert rows["vc-never"]["last_success"] is None
        assert rows["vc-good"]["attempts"] == 7
        assert rows["vc-never"]["slot_strict"] is None

    def test_no_user_of_a_target(self, week: Assessment) -> None:
        """User and password in locations are removed, in lists and messages too."""
        messages = [[{"id": "a", "default_message": "ftp://joe:secret@x failed", "args": []}]]
        first = week.assessed_jobs[week.assessed_jobs["in_period"]].iloc[:1]
        jobs = first.assign(messages=pd.Series(messages, first.index, first["messages"].dtype))
        document = b"".join(stream_json(week.replaced(assessed_jobs=jobs)))
        assert b"secret" not in document
        assert b"ftp://***@x failed" in document


class TestSchema:
    """The JSON Schema."""

    def test_the_file_is_up_to_date(self) -> None:
        """The file is what `python -m backupkit.reports.schema` prints, and a valid schema."""
        shipped = files("backupkit.reports").joinpath("report.schema.json").read_text("utf-8")
        assert json.loads(shipped) == schema()
        jsonschema.Draft202012Validator.check_schema(schema())

    def test_printed(self) -> None:
        """The module prints the schema."""
        command = [sys.executable, "-m", "backupkit.reports.schema"]
        printed = subprocess.run(command, check=True, capture_output=True).stdout
        assert json.loads(printed) == schema()

    def test_documents_are_valid(self, week: Assessment) -> None:
        """Documents of different fleets and policies are valid."""
        stricter = Policy(rpo="12h", completion="1h", window="22:00-06:00", parts=["common"])
        policy = Policy(
            members=[Member(appliance="a", policy="gold")],
            named={"gold": Policy(changes={"2026-11-05": stricter})},
            groups={"prod": "gold"},
            exclusions=[
                Exclusion(reason="gone", sites=["b"]),
                Exclusion(reason="move", start="2026-11-05", end="2026-11-06"),
            ],
            schedule="22:00",
        )
        full = assess().replaced(policy=policy)
        validator = jsonschema.Draft202012Validator(
            schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        unread = assess(members=[Member(appliance="a")])
        for one in (week, assess(), unread, full, assess_large_fleet(50)):
            validator.validate(parse_json(one))
        assert parse_json(full)["policy"]["named"][0]["changes"] == [
            {
                "valid_from": "2026-11-05T00:00:00+00:00",
                "numbers": {
                    "rpo_seconds": 43_200,
                    "grace_seconds": 7_200,
                    "early_seconds": 3_600,
                    "late_seconds": 3_600,
                    "completion_seconds": 3_600,
                    "anchor": "start",
                    "count_local": False,
                    "target": 0.99,
                    "rpo_target": None,
                    "runs_target": None,
                    "window_target": None,
                    "duration_target": None,
                    "staleness_seconds": None,
                    "unknown_mode": "strict",
                    "window": "22:00-06:00",
                    "window_tolerance_seconds": 0,
                    "duration_limit_seconds": None,
                    "lookback_seconds": 604_800,
                    "backup_day_seconds": 43_200,
                    "retention": None,
                    "parts": ["common"],
                    "report_timezone": "Etc/UTC",
                    "schedule": None,
                },
            }
        ]

    def test_what_is_not_valid(self, week: Assessment) -> None:
        """A missing table, an additional table, and a text for a number are invalid."""
        good = parse_json(week)
        validator = jsonschema.Draft202012Validator(schema())
        (row, *rest) = good["appliances"]
        for bad in (
            {key: value for key, value in good.items() if key != "loads"},
            {**good, "more": []},
            {**good, "appliances": [{**row, "attempts": "7"}, *rest]},
        ):
            assert not validator.is_valid(bad)


class TestWorkbook:
    """`build_workbook`."""

    def test_sheets(self, week: Assessment, tmp_path: Path) -> None:
        """The verdict comes first, then a sheet per table; times are times."""
        paths = report(week).save(tmp_path / "report.html", xlsx=True)
        assert paths[-1].name == "report.xlsx"
        assert "report.xlsx" in paths[0].read_text(encoding="utf-8")
        book = openpyxl.load_workbook(paths[-1])
        assert book.sheetnames[:3] == ["Verdict", "Appliances", "Expected runs"]
        assert book["Verdict"]["B4"].value == "TARGET MISSED"
        assert book["Verdict"]["B6"].value == "BREACH 4 of 8"
        assert book["Jobs"].max_row == len(select_period_jobs(week)) + 1
        head, *rows = book["Appliances"].iter_rows(values_only=True)
        facts = dict(zip(head, rows[-2], strict=True))
        good = {row[0]: dict(zip(head, row, strict=True)) for row in rows}["vc-good"]
        assert set(facts) == {
            f"{name}_seconds"
            if week.appliances.dtypes.get(name, np.dtype("O")).kind == "m"
            else name
            for name in ["appliance", *week.appliances.columns]
        }
        assert good["last_success"] == datetime(2026, 11, 8, 1, 0)  # noqa: DTZ001 # xlsx has no zones
        assert good["exposure_seconds"] == 23 * 3600
        assert book["Jobs"].auto_filter.ref.startswith("A1:")

    def test_texts_are_texts(self, week: Assessment) -> None:
        """No text is a formula or an error, too long, or has characters that the format forbids."""
        said = "x" * 40_000
        texts = ["=1+1", "#N/A", "+1", "a\x00b\ufffe", said, ""]
        slots = SLOTS.frame({"appliance": texts, "state": ["met"] * len(texts)})
        sheet = openpyxl.load_workbook(io.BytesIO(build_workbook(week.replaced(slots=slots))))[
            "Expected runs"
        ]
        cells = [cell for (cell,) in sheet.iter_rows(min_row=2, max_col=1)]
        assert [cell.value for cell in cells[:4]] == ["=1+1", "#N/A", "+1", "a\ufffdb\ufffd"]
        assert {cell.data_type for cell in cells[:5]} == {"s"}
        assert len(str(cells[4].value)) == 32_767
        assert str(cells[4].value).endswith("(cut; the .json file has all)")
        assert cells[5].value is None

    def test_too_many_rows(self, week: Assessment, monkeypatch: pytest.MonkeyPatch) -> None:
        """Rows that do not fit a sheet are left to the other files."""
        monkeypatch.setattr(sys.modules["backupkit.reports.workbook"], "_MAX_ROWS", 3)
        book = openpyxl.load_workbook(io.BytesIO(build_workbook(week)))
        assert book["Jobs"].max_row == 3

    def test_the_same_bytes(self, week: Assessment, monkeypatch: pytest.MonkeyPatch) -> None:
        """The file has no time of writing."""
        first = build_workbook(week)
        monkeypatch.setattr("zipfile.time.localtime", lambda *_: (2031, 1, 1, 0, 0, 0))
        assert build_workbook(week) == first

    def test_without_xlsxwriter(self, week: Assessment, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without xlsxwriter the error says how to install it."""
        monkeypatch.setitem(sys.modules, "xlsxwriter", None)
        with pytest.raises(OutputError, match=r'pip install "backupkit\[xlsx\]"'):
            build_workbook(week)


class TestCsv:
    """`stream_csv`."""

    def test_a_row_per_expected_run(self, week: Assessment) -> None:
        """Each expected run is a row, and a missing value is empty."""
        rows = parse_csv(week.slots)
        assert len(rows) == len(week.slots)
        assert rows[0]["slot"].endswith("Z")

    def test_a_row_per_appliance(self, week: Assessment) -> None:
        """Each appliance is a row with all its figures, durations in seconds."""
        rows = {row["appliance"]: row for row in parse_csv(week.appliances)}
        assert list(rows) == week.appliances.index.to_list()
        assert rows["vc-good"]["mean_exposure_seconds"] == "44400.0"
        assert rows["vc-good"]["mtbf_seconds"] == ""
        assert rows["vc-good"]["incident_free_seconds"] == str(168 * 3600.0)

    def test_a_row_per_day_week_and_month(self, week: Assessment) -> None:
        """A week has its days; a long period has its weeks and months, too, in both files."""
        assert [row["by"] for row in parse_csv(build_trend_rows(week))] == ["day"] * 7
        year = week.replaced(start=week.end - pd.Timedelta(days=365))
        rows = parse_csv(build_trend_rows(year))
        assert {row["by"]: row["day"][:10] for row in reversed(rows)} == {
            "month": "2025-11-01",
            "week": "2025-11-03",
            "day": "2025-11-09",
        }
        for by in ("day", "week", "month"):
            met = [int(row["slots_met"]) for row in rows if row["by"] == by]
            assert sum(met) == week.slots["state"].eq("met").sum()
        exported = parse_json(year)["trend"]
        assert [row["by"] for row in exported] == [row["by"] for row in rows]

    def test_a_row_per_job(self, week: Assessment) -> None:
        """Each job is a row, with its messages as text and its duration in seconds."""
        rows = parse_csv(week.assessed_jobs)
        assert len(rows) == len(week.assessed_jobs)
        failed = [row for row in rows if row["outcome"] == "failure"]
        assert {row["messages"] for row in failed} == {"No space left"}
        assert {row["duration_seconds"] for row in rows if row["outcome"] == "success"} == {
            "1200.0"
        }
        assert "secret" not in str(rows)

    @pytest.mark.parametrize(
        "start",
        [
            "=",
            "+",
            "-",
            "@",
            "\t",
            "\r",
            " =",
            "\t =",
            "\u200b=",
            "\ufeff@",
            "\uff1d",
            "\uff0b",
            "\uff0d",
            "\uff20",
        ],
    )
    def test_formulas_are_text(self, start: str) -> None:
        """A cell that a spreadsheet would evaluate begins with a quote."""
        evil = f"{start}HYPERLINK(1)"
        slots = SLOTS.frame({"appliance": [evil], "state": ["met"]})
        (row,) = parse_csv(slots)
        assert row["appliance"] == f"'{evil}"
        assert row["slot"] == ""

    @pytest.mark.parametrize(
        ("evil", "expected"),
        [
            ("a;=1+1", "a;'=1+1"),
            ("a\n@x", "a\n'@x"),
            ("a\t-2", "a\t'-2"),
            ("1-2; a=b", "1-2; a=b"),
            ("a\x00b\x1b[31m", "a\ufffdb\ufffd[31m"),
            ("\x00=1", "'\ufffd=1"),
        ],
    )
    def test_cells_inside_a_cell(self, evil: str, expected: str) -> None:
        """A spreadsheet that splits at semicolons, tabs or lines finds no formula either."""
        slots = SLOTS.frame({"appliance": [evil], "state": ["met"]})
        (row,) = parse_csv(slots)
        assert row["appliance"] == expected

    def test_negative_numbers_stay_numbers(self, week: Assessment) -> None:
        """Only text is quoted: a negative duration is a number."""
        jobs = week.assessed_jobs.assign(
            duration=pd.Series(
                np.full(len(week.assessed_jobs), -60, "timedelta64[s]").astype("timedelta64[us]"),
                week.assessed_jobs.index,
            )
        )
        assert parse_csv(jobs)[0]["duration_seconds"] == "-60.0"
