"""Import of files of jobs: CSV, JSON, zip."""

import io
import json
import os
import runpy
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import backupkit as bk
from backupkit.cli import main
from backupkit.collection import Snapshot, read_job_files
from backupkit.collection.job_rows import parse_columns
from backupkit.errors import SettingsError
from backupkit.limits import Limits
from backupkit.tables import OBSERVATIONS
from tests.builders import Clock, assess_week

NOW = datetime(2026, 11, 12, tzinfo=UTC)
TIME = "2026-11-11T00:00:00Z"
ID = "20261109-010000-24322831"
BODY = {
    "id": ID,
    "state": "SUCCEEDED",
    "messages": [],
    "progress": 100,
    "start_time": "2026-11-09T01:00:00Z",
    "end_time": "2026-11-09T01:20:00Z",
}
DETAILS = {
    ID: {
        "status": "FAILED",
        "messages": [],
        "progress": {"completed": 1, "total": 2},
        "start_time": "2026-11-09T01:00:00Z",
        "end_time": "2026-11-09T01:20:00Z",
    }
}
HEAD = "appliance,job_id,state,start_time,end_time,messages\n"
GOOD = f"vc-1,{ID},SUCCEEDED,2026-11-09T01:00:00Z,2026-11-09T01:20:00Z,\n"


def read(folder: Path, name: str, content: str | bytes, **options: Any) -> Snapshot:  # noqa: ANN401 # any option
    """Write a file, and read it as of 11 November."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    options = {"observed_at": TIME, "clock": Clock(NOW), **options}
    return read_job_files([path], **options)


def errors(snapshot: Snapshot) -> list[str]:
    """Return the details of the errors."""
    return snapshot.errors["detail"].to_list()


def jobs(snapshot: Snapshot) -> list[tuple[str, str, str]]:
    """Return appliance, id and status of the observations."""
    frame = snapshot.observations
    return list(zip(frame["appliance"], frame["job_id"], frame["status"], strict=True))


def zip_of(files: dict[str, str]) -> bytes:
    """Return a zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class TestCsv:
    """Rows of CSV files."""

    def test_own_export(self, tmp_path: Path) -> None:
        """The .jobs.csv of a report gives the same jobs again."""
        week = assess_week()
        bk.report(week).save(tmp_path / "r.html")
        snapshot = read_job_files([tmp_path / "r.jobs.csv"], observed_at="2026-11-09T00:00:00Z")
        assert errors(snapshot) == []
        original = week.jobs[week.jobs["in_period"]].set_index(["appliance", "job_id"]).sort_index()
        imported = snapshot.observations.set_index(["appliance", "job_id"]).sort_index()
        for column in ("status", "start_time", "end_time", "type", "size", "build"):
            pd.testing.assert_series_equal(imported[column], original[column])

    def test_other_columns(self, tmp_path: Path) -> None:
        """Other headings, separators, words, encodings and times without a zone are read."""
        text = (
            "VM;Result;Started;Note\nvc-1;Success;2026-11-09 02:00;'=1\n"
            "vc-2;In Progress;2026-11-10 02:00;\n"
        )
        columns = parse_columns("appliance=VM,state=Result,start_time=Started,messages=Note")
        snapshot = read(
            tmp_path, "x.csv", text.encode("utf-16"), columns=columns, timezone="Europe/Berlin"
        )
        assert errors(snapshot) == []
        assert jobs(snapshot) == [
            ("vc-1", "imported-2026-11-09T01:00:00+00:00", "SUCCEEDED"),
            ("vc-2", "imported-2026-11-10T01:00:00+00:00", "INPROGRESS"),
        ]
        assert snapshot.observations["messages"][0][0]["default_message"] == "=1"

    def test_bad_rows(self, tmp_path: Path) -> None:
        """Each problem names file and row, and the good row is read."""
        rows = [
            ",a,ok,2026-11-09T01:00:00Z,,",
            "vc-1,b,broken,2026-11-09T01:00:00Z,,",
            "vc-1,c,ok,2026-11-09 01:00,,",
            "vc-1,,ok,,,",
            "vc-1,d,ok,,,",
            "vc-1,e,ok,2026-11-11T12:00:00Z,,",
        ]
        snapshot = read(tmp_path, "x.csv", HEAD + GOOD + "\n".join(rows))
        assert [text.partition(": ")[0] for text in errors(snapshot)] == [
            f"x.csv, row {number}" for number in range(3, 9)
        ]
        found = " ".join(errors(snapshot))
        assert "it names no appliance" in found
        assert 'state "broken" is none of succeeded,' in found
        assert "Without a zone in the file, name it: --timezone" in found
        assert "it has neither a job_id nor a start_time" in found
        assert "start_time is missing" in found
        assert "it has the time 2026-11-11T12:00:00Z, but the file is of 2026-11-11T00" in found
        assert [job_id for _, job_id, _ in jobs(snapshot)] == [ID, "d"]

    @pytest.mark.parametrize(
        ("text", "options", "problem"),
        [
            ("VM,state,start_time\n", {}, 'there is no column "appliance", but VM, state,'),
            ("", {}, 'there is no column "state", but none'),
            (HEAD, {"columns": {"size": "Bytes"}}, 'there is no column "Bytes"'),
            (HEAD + 'vc-1,"' + "x" * 140_000, {}, "it is no CSV after row"),
            (b"\xff\xff,", {}, "it is not in UTF-8"),
            (HEAD * 9, {"limits": Limits(body=100)}, "it is larger than"),
        ],
    )
    def test_bad_file(
        self, tmp_path: Path, text: str | bytes, options: dict[str, Any], problem: str
    ) -> None:
        """A file that cannot be used is one error, with the reason."""
        snapshot = read(tmp_path, "x.csv", text, **options)
        (found,) = errors(snapshot)
        assert found.startswith(f"x.csv: {problem}")
        assert len(snapshot.polls) == 0

    @pytest.mark.parametrize("text", ["VM=appliance", "appliance=", "appliance"])
    def test_bad_columns(self, text: str) -> None:
        """A wrong name of a column is an error with an example."""
        with pytest.raises(SettingsError, match="for example: --columns appliance=VM"):
            parse_columns(text)


class TestJson:
    """Job details, single jobs and lists of jobs."""

    def test_kinds(self, tmp_path: Path) -> None:
        """The file, its folder or an option names the appliance."""
        body = {name: value for name, value in BODY.items() if name != "id"}
        for name, content, options, expected in [
            ("vc-1.json", [BODY], {}, ("vc-1", ID, "SUCCEEDED")),
            ("vc-2.json", DETAILS, {}, ("vc-2", ID, "FAILED")),
            ("vc-2.json", DETAILS, {"appliance": "vc-3"}, ("vc-3", ID, "FAILED")),
            (f"vc-4/{ID}.json", body, {}, ("vc-4", ID, "SUCCEEDED")),
            ("vc-5.json", {"value": BODY}, {}, ("vc-5", ID, "SUCCEEDED")),
        ]:
            snapshot = read(tmp_path, name, json.dumps(content), **options)
            assert errors(snapshot) == []
            assert jobs(snapshot) == [expected]

    def test_bad_items(self, tmp_path: Path) -> None:
        """An item that is no job, and a job with an odd time, are errors with their place."""
        odd = {**BODY, "id": "b", "start_time": "yesterday"}
        snapshot = read(tmp_path, "vc-1.json", json.dumps([BODY, 7, odd]))
        assert [text.partition(": ")[0] for text in errors(snapshot)] == [
            "vc-1.json, item 2",
            "vc-1.json, job b",
        ]
        assert [job_id for _, job_id, _ in jobs(snapshot)] == [ID, "b"]

    def test_no_jobs(self, tmp_path: Path) -> None:
        """A list of ids, broken JSON, and a file without the name of an appliance are errors."""
        assert (
            "it is the job list, not the jobs" in errors(read(tmp_path, "a.json", f'["{ID}"]'))[0]
        )
        assert len(errors(read(tmp_path, "a.json", "{"))) == 1
        archive = zip_of({f"{ID}.json": json.dumps(BODY)})
        assert "it names no appliance" in errors(read(tmp_path, "x.zip", archive))[0]

    def test_better_record(self, tmp_path: Path) -> None:
        """Of two records of a job, the one that ended is kept, whatever the order."""
        running = {**BODY, "state": "INPROGRESS", "end_time": None, "progress": 50}
        for items in ([running, BODY], [BODY, running]):
            snapshot = read(tmp_path, "vc-1.json", json.dumps(items))
            assert jobs(snapshot) == [("vc-1", ID, "SUCCEEDED")]


class TestZip:
    """Zip files of CSV and JSON files."""

    def test_members(self, tmp_path: Path) -> None:
        """Files in folders are read, hidden ones are not, and others are named."""
        archive = zip_of(
            {
                "jobs.csv": HEAD + GOOD,
                "site/": "",
                f"vc-2/{ID}.json": json.dumps(BODY),
                "__MACOSX/x.csv": "",
                "notes.txt": "",
                "large.csv": "x" * 2_000,
            }
        )
        snapshot = read(tmp_path, "x.zip", archive, limits=Limits(body=1_000))
        assert jobs(snapshot) == [("vc-1", ID, "SUCCEEDED"), ("vc-2", ID, "SUCCEEDED")]
        assert errors(snapshot)[0] == "x.zip/notes.txt: it is neither a .csv nor a .json file"
        assert errors(snapshot)[1].startswith("x.zip/large.csv: it is larger than")

    def test_damaged(self, tmp_path: Path) -> None:
        """A damaged file in a zip file is an error, and the next one is read."""
        archive = zip_of({"a.csv": HEAD + "damaged", "b.csv": HEAD + GOOD})
        snapshot = read(tmp_path, "x.zip", archive.replace(b"damaged", b"DAMAGED"))
        assert errors(snapshot)[0].startswith("x.zip/a.csv: it cannot be read: Bad CRC")
        assert len(jobs(snapshot)) == 1

    def test_no_zip(self, tmp_path: Path) -> None:
        """A file that is no zip file, and one that is missing, are errors."""
        assert "it cannot be read" in errors(read(tmp_path, "x.zip", b"no zip"))[0]
        snapshot = read_job_files([tmp_path / "none.csv"], clock=Clock(NOW))
        assert errors(snapshot) == ["none.csv: it cannot be read: No such file or directory"]


class TestComplete:
    """An appliance counts as read, or does not."""

    def test_incomplete(self, tmp_path: Path) -> None:
        """By default no appliance counts as read, since jobs may be missing."""
        polls = read(tmp_path, "x.csv", HEAD + GOOD).polls
        assert polls["ok"].isna().all()

    def test_complete(self, tmp_path: Path) -> None:
        """With `complete`, it counts as read, and jobs that are missing are no longer listed."""
        history = bk.History(tmp_path / "history.db")
        first = HEAD + GOOD + GOOD.replace(ID, "b")
        history.append(
            read(tmp_path, "x.csv", first, complete=True, observed_at="2026-11-10T00:00:00Z")
        )
        snapshot = read(tmp_path, "x.csv", HEAD + GOOD, complete=True, known=history)
        assert snapshot.polls["ok"].to_list() == [True]
        history.append(snapshot)
        listed = history.jobs().set_index("job_id")["vanished_at"].isna()
        assert listed.to_dict() == {ID: True, "b": False}

    def test_bad_row(self, tmp_path: Path) -> None:
        """With a row that cannot be used, its appliance is read in part, the other one is read."""
        bad = "vc-1,b,broken,2026-11-09T01:00:00Z,,\n" + GOOD.replace("vc-1", "vc-2")
        polls = read(tmp_path, "x.csv", HEAD + GOOD + bad, complete=True).polls
        polls = polls.set_index("appliance")
        assert polls["ok"].fillna(value=False).to_dict() == {"vc-1": False, "vc-2": True}
        assert polls["jobs_unread"].to_dict() == {"vc-1": 1, "vc-2": 0}

    def test_row_of_nobody(self, tmp_path: Path) -> None:
        """A row without an appliance may be of any, so none counts as read."""
        rows = HEAD + GOOD + ",b,ok,2026-11-09T01:00:00Z,,\n"
        assert read(tmp_path, "x.csv", rows, complete=True).polls["ok"].isna().all()

    def test_time_of_file(self, tmp_path: Path) -> None:
        """Without a stated time it is that of the file."""
        path = tmp_path / "x.csv"
        path.write_text(HEAD + GOOD, "utf-8")
        os.utime(path, (NOW.timestamp() - 60, NOW.timestamp() - 60))
        polls = read_job_files([path], clock=Clock(NOW)).polls
        assert polls["polled_at"][0] == pd.Timestamp(NOW) - pd.Timedelta(minutes=1)

    def test_impossible_time(self, tmp_path: Path) -> None:
        """A stated time in the future is an error."""
        with pytest.raises(SettingsError, match="2026-11-13T00:00:00Z is not a possible time"):
            read(tmp_path, "x.csv", HEAD, observed_at="2026-11-13T00:00:00Z")


class TestCommand:
    """``backupkit history import``."""

    def run(self, history: Path, *argv: object) -> int:
        """Import into a history."""
        return main(["history", "import", "--history", str(history), *map(str, argv)])

    def test_import(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A dry run stores nothing, an import stores the good rows, a second one adds nothing."""
        history, file = tmp_path / "history.db", tmp_path / "x.csv"
        file.write_text(HEAD.replace("appliance", "VM") + GOOD + "vc-1,b,odd,,,\n", "utf-8")
        argv = (file, "--columns", "appliance=VM", "--observed-at", TIME)
        assert self.run(history, *argv, "--dry-run") == 3
        output = capsys.readouterr()
        assert "Dry run: at most 1 observation, 1 poll and 0 schedules would be added" in output.out
        assert 'x.csv, row 3: state "odd" is none of' in output.err
        assert not history.exists()
        assert self.run(history, *argv) == 3
        assert "1 observation, 1 poll and 0 schedules added" in capsys.readouterr().out
        assert self.run(history, *argv) == 3
        assert "0 observations, 0 polls and 0 schedules added" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("argv", "problem"),
        [
            (("none.csv",), "There is no file none.csv"),
            (("other.db", "--complete"), "--complete is only for files of jobs"),
            (
                ("other.db", "--observed-at", TIME),
                "are only for saved answers of the API and files of jobs",
            ),
        ],
    )
    def test_wrong_use(
        self,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        argv: tuple[str, ...],
        problem: str,
    ) -> None:
        """A missing file, and an option that no source needs, are errors."""
        assert self.run(tmp_path / "history.db", *argv) == 1
        assert problem in capsys.readouterr().err

    def test_nothing_read(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A file without a job adds nothing, and its problem is printed."""
        file = tmp_path / "x.csv"
        file.write_text("nothing\n", "utf-8")
        assert self.run(tmp_path / "history.db", file) == 3
        output = capsys.readouterr()
        assert "0 observations, 0 polls and 0 schedules added" in output.out
        assert 'x.csv: there is no column "state"' in output.err
        assert "read completely" not in output.err


def test_columns_are_of_the_contract() -> None:
    """Each column that is read is one of an observation."""
    from backupkit.collection.job_rows import COLUMNS  # noqa: PLC0415 # beside its only use

    assert set(COLUMNS) <= set(OBSERVATIONS.names)


def test_frames_of_docs(tmp_path: Path) -> None:
    """The example of docs/evidence.md assesses frames from anywhere."""
    page = Path(__file__).parent.parent / "docs" / "evidence.md"
    code = page.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    script = tmp_path / "example.py"
    script.write_text(code, encoding="utf-8")
    assert runpy.run_path(str(script))["a"].verdict.compliant == 1
