"""The tables of the explorer: sort, filters, selection and copy."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import html5lib
import numpy as np
import pandas as pd
import pytest

from backupkit import History, Policy
from backupkit.display.format import format_duration, format_timestamp
from backupkit.errors import SettingsError
from backupkit.policy import Member
from backupkit.tables.notes import Note
from backupkit.widgets import Explorer, Selection, explore
from backupkit.widgets.explorer_data import ExplorerData
from backupkit.widgets.table_columns import NumberColumn, TableColumn, TextColumn
from backupkit.widgets.table_rows import TableOrder, TableRows
from backupkit.widgets.table_widget import TableWidget
from tests.widgets.conftest import DATA, find, open_sample, walk

DAY = 86_400.0
NOV_8 = pd.Timestamp("2026-11-08", tz="UTC").timestamp()


class Letters:
    """Five rows with a name and two numbers."""

    titles: Sequence[str] = ("Name", "First", "Second", "Gone")
    size = 5
    caption = "As they are."
    columns: Sequence[TableColumn] = (
        TextColumn(
            "Name", "", lambda: (np.array([0, 1, 2, 3, -1]), pd.Index(["b", "A", "c", "B"]))
        ),
        NumberColumn("First", "n", "number", lambda: np.array([2.0, 1, 2, np.nan, 1])),
        NumberColumn("Second", "n", "number", lambda: np.array([5.0, 6, 7, 8, 9])),
    )

    def list_cells(self, rows: Any) -> list[tuple[str, None, None]]:  # noqa: ANN401 # as numpy's
        """Return the numbers of rows."""
        return [(str(row), None, None) for row in rows]

    def name_of(self, row: int) -> str:
        """Return the number of a row."""
        return str(row)

    def frame(self, rows: Any) -> pd.DataFrame:  # noqa: ANN401 # as numpy's
        """Return the numbers of rows."""
        return pd.DataFrame({"row": rows})


class TestRows:
    """Sorted and filtered rows."""

    @pytest.mark.parametrize(
        ("sort", "rows"),
        [
            ((), [0, 1, 2, 3, 4]),
            (("Name",), [1, 0, 3, 2, 4]),
            (("-Name",), [2, 0, 3, 1, 4]),
            (("First",), [1, 4, 0, 2, 3]),
            (("-First",), [0, 2, 1, 4, 3]),
            (("First", "-Second"), [4, 1, 2, 0, 3]),
            (("-First", "-Second"), [2, 0, 4, 1, 3]),
            (("Gone", "-Second"), [4, 3, 2, 1, 0]),
        ],
    )
    def test_sort(self, sort: tuple[str, ...], rows: list[int]) -> None:
        """Later columns decide between equal values; a missing value is the last one."""
        assert TableRows(Letters(), TableOrder(sort)).positions.tolist() == rows

    @pytest.mark.parametrize(
        ("where", "rows"),
        [
            ({"Name": "b"}, [0, 3]),
            ({"Name": ["b", "c", "none"]}, [0, 2]),
            ({"Second": "6..8"}, [1, 2, 3]),
            ({"Second": "8.."}, [3, 4]),
            ({"Second": "..5"}, [0]),
            ({"Second": "7"}, [2]),
            ({"First": ".."}, [0, 1, 2, 4]),
            ({"Name": "b", "Second": "6.."}, [3]),
            ({"Name": "", "Second": (), "Gone": "x"}, [0, 1, 2, 3, 4]),
        ],
    )
    def test_filter(self, where: dict[str, Any], rows: list[int]) -> None:
        """All filters must match; a missing value is in no range and has no text."""
        table = TableRows(Letters(), TableOrder(where=where))
        assert table.positions.tolist() == rows
        assert table.errors == {}

    def test_unreadable(self) -> None:
        """A filter that is no range filters nothing, and says what is expected."""
        table = TableRows(Letters(), TableOrder(where={"Second": "many", "Name": "c"}))
        assert table.positions.tolist() == [2]
        assert table.errors == {
            "Second": 'Second: "many" is not a range; write from..to, for example 2..5, '
            "2.. for all from there on."
        }

    def test_unknown_column(self) -> None:
        """A column that does not exist is an error."""
        for order in (TableOrder(("-Nam",)), TableOrder(where={"Nam": "x"})):
            with pytest.raises(ValueError, match='no such column: "Nam"; there are: Name, First'):
                TableRows(Letters(), order)


class TestWidget:
    """The table of any source."""

    def test_pages(self) -> None:
        """Pages have a number of rows, and turning stops at both ends."""
        seen: list[str] = []
        table = TableWidget("row", on_pick=seen.append, page_size=2)
        table.order = TableOrder(("-Second",))
        table.show(Letters(), chosen=("1",), empty="Nothing.")
        page: Any = table.widget.children[1]
        assert (page.first, page.total) == (2, 5)  # the page of the chosen one
        for step, first in ((-1, 0), (-1, 0), (1, 2), (9, 4)):
            page._handle_custom_msg({"kind": "page", "step": step}, [])
            assert page.first == first
        answers: list[Any] = []
        page.send = answers.append
        page._handle_custom_msg({"kind": "copy", "rows": [3]}, [])
        page._handle_custom_msg({"kind": "pick", "row": 4}, [])
        page._handle_custom_msg({"kind": "pick", "row": 5}, [])
        assert (answers[0]["text"], seen) == ("row\r\n3\r\n", ["4"])
        table.show(Letters(), chosen=(), empty="Nothing.", turn_back=True)
        assert page.first == 0


class TestOrder:
    """Changes of the order."""

    def test_toggle(self) -> None:
        """A column goes from smallest first to largest first to none."""
        order, seen = TableOrder(), []
        for _ in range(3):
            order = order.toggle("A", add=False)
            seen.append(order.sort)
        assert seen == [("A",), ("-A",), ()]
        both = TableOrder(("A", "B"))
        assert both.toggle("A", add=False).sort == ("A",)
        assert both.toggle("C", add=False).sort == ("C",)
        assert both.toggle("A", add=True).sort == ("-A", "B")
        assert both.toggle("A", add=True).toggle("A", add=True).sort == ("B",)

    def test_arguments(self) -> None:
        """Only what is set is an argument; an empty filter is none."""
        order = TableOrder(["A"]).filter("B", ["x"]).filter("C", "y").filter("C", "")  # type: ignore[arg-type] # as users write it
        assert order.format_arguments() == {"sort": ("A",), "where": {"B": ("x",)}}
        assert TableOrder().format_arguments() == {}


class TestRanges:
    """Ranges in the units of a column."""

    @pytest.mark.parametrize(
        ("kind", "text", "values", "found"),
        [
            ("size", "1 KiB..2KB", [1_023, 1_024, 2_048, 2_049], [0, 1, 1, 0]),
            ("size", "10..20 B", [9, 10, 20, 21], [0, 1, 1, 0]),
            ("size", "1.5G..", [1.5 * 2**30 - 1, 1.5 * 2**30], [0, 1]),
            ("duration", "30m..1h 30m", [1_799, 1_800, 5_400, 5_401], [0, 1, 1, 0]),
            ("share", "90 %..100%", [89.9, 90, 100], [0, 1, 1]),
            ("number", "1,000..", [999, 1_000], [0, 1]),
            ("time", "2026-11-08", [NOV_8 - 1, NOV_8, NOV_8 + DAY - 1, NOV_8 + DAY], [0, 1, 1, 0]),
            ("time", "2026-11-08 12:00..2026-11-09T00:00Z", [NOV_8, NOV_8 + DAY], [0, 1]),
        ],
    )
    def test_read(self, kind: Any, text: str, values: list[float], found: list[int]) -> None:  # noqa: ANN401 # a Literal
        """Both ends are in the range; a day is a whole one in UTC."""
        column = NumberColumn("X", "n", kind, lambda: np.array(values, dtype="float64"))
        assert column.find(text).astype(int).tolist() == found

    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            ("size", "1 PB"),
            ("size", "1.2.3"),
            ("duration", "1 hour"),
            ("time", "8 Nov"),
            ("share", "a.."),
        ],
    )
    def test_unreadable(self, kind: Any, text: str) -> None:  # noqa: ANN401 # a Literal
        """The message has an example in the unit of the column."""
        column = NumberColumn("X", "n", kind, lambda: np.array([1.0]))
        with pytest.raises(SettingsError, match=re.escape(f'X: "{text}" is not a range')) as caught:
            column.find(text)
        assert column.example in str(caught.value)


@pytest.fixture(scope="module")
def opened() -> Explorer:
    """Return an explorer of the sample with twelve appliances, with a period of its own."""
    return Explorer(open_sample(), Selection(), tab="Jobs")


@pytest.fixture
def explorer(opened: Explorer) -> Explorer:
    """Return it without filters."""
    opened.tab = "Jobs"
    opened.tables = {}
    opened.value = Selection()
    return opened


def page_of(explorer: Explorer) -> Any:  # noqa: ANN401 # anywidget says no types
    """Return the table in the page, of the open tab."""
    (table,) = (
        one
        for one in walk(explorer._stack.children[explorer._stack.selected_index])
        if type(one).__name__ == "TablePage"
    )
    return table


def send(explorer: Explorer, **message: object) -> None:
    """Send a message as the page does."""
    page_of(explorer)._handle_custom_msg(message, [])


def column(explorer: Explorer, title: str) -> list[str]:
    """Return the cells of a column."""
    table = page_of(explorer)
    place = [one["title"] for one in table.head].index(title)
    tree = html5lib.parse(table.value, namespaceHTMLElements=False)
    return ["".join(list(row)[place].itertext()) for row in tree.findall(".//tbody/tr")]


class TestAppliances:
    """The table of appliances."""

    def test_two_columns(self, explorer: Explorer) -> None:
        """Headers sort, with Shift after the columns before, and the caption says so."""
        explorer.value = Selection(last="90d")  # figures of the whole history are shown
        explorer.tab = "Appliances"
        send(explorer, kind="sort", title="State", add=False)
        send(explorer, kind="sort", title="Appliance", add=True)
        send(explorer, kind="sort", title="Appliance", add=True)
        names = column(explorer, "Appliance")
        states = column(explorer, "State")
        assert states[:3] == ["✕ Breach"] * 3
        assert names[:3] == ["vc-tyo-02", "vc-nyc-03", "vc-ham-03"]
        assert "Sorted by State, then Appliance (largest first); equal ones: worst first" in (
            page_of(explorer).value
        )
        head = {one["title"]: one for one in page_of(explorer).head}
        assert [head[title]["place"] for title in ("State", "Appliance", "MTTR")] == [1, 2, 0]
        assert [head[title]["descending"] for title in ("State", "Appliance")] == [False, True]

    @pytest.mark.parametrize(
        ("title", "wanted", "count"),
        [
            ("Appliance", "HAM", 4),
            ("State", ["breach", "unknown"], 4),
            ("Time inside RPO", "100", 4),
            ("Exposure", "24h..", 3),
            ("Last success (UTC)", "2026-11-23", 7),
            ("Failures in a row", "1..", 2),
            ("Mean exposure", "12h..", 8),
            ("MTTR", "1h..", 2),
            ("Runs completed", "..99", 3),
            ("Why", "backup", 2),
        ],
    )
    def test_filters(
        self, explorer: Explorer, title: str, wanted: str | list[str], count: int
    ) -> None:
        """Each column has a filter; the figures stay."""
        explorer.value = Selection(last="90d")
        explorer.tab = "Appliances"
        send(explorer, kind="filter", title=title, wanted=wanted)
        assert len(column(explorer, "Appliance")) == count
        assert find(explorer.box, value=f"page 1 of 1, {count} of 12 appliances")
        assert explorer.value == Selection(last="90d")
        send(explorer, kind="clear")
        assert find(explorer.box, value="page 1 of 1, 12 appliances")

    @pytest.mark.parametrize(
        "end", [pd.Timestamp("2026-11-23T23:30Z"), pd.Timestamp("2026-11-20T00:00Z")]
    )
    def test_mean_time_to_restore(
        self, explorer: Explorer, sample: ExplorerData, end: pd.Timestamp
    ) -> None:
        """It is that of an assessment of the shown period, also after a longer one."""
        explorer.tab = "Appliances"
        for days in (30, 180, 30, 7):
            start = end - pd.Timedelta(days=days)
            explorer.value = Selection(start=start, end=end)
            wanted = sample.assess(sample.names, start, end).appliances["mttr"]
            shown = dict(zip(column(explorer, "Appliance"), column(explorer, "MTTR"), strict=True))
            assert shown == wanted.map(format_duration).to_dict()
            assert wanted.notna().any()

    def test_selection_of_other_tabs(
        self, explorer: Explorer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An appliance chosen elsewhere is marked on its page, among the others."""
        monkeypatch.setattr(explorer._tabs[1].table, "_page_size", 5)  # type: ignore[attr-defined] # of this tab
        explorer.value = Selection(appliances=("vc-nyc-02",))
        explorer.tab = "Appliances"
        assert find(explorer.box, value="page 2 of 3, 12 appliances")
        pressed = re.findall(r'aria-pressed="true">([^<]+)<', page_of(explorer).value)
        assert pressed == ["vc-nyc-02"]
        send(explorer, kind="page", step=-1)
        explorer.value = Selection(appliances=("vc-nyc-02",), last="7d")
        assert find(explorer.box, value="page 2 of 3, 12 appliances")

    def test_row(self, explorer: Explorer) -> None:
        """A row that is picked filters the figures, and its page stays."""
        explorer.tab = "Appliances"
        send(explorer, kind="sort", title="Appliance", add=False)
        row = column(explorer, "Appliance").index("vc-nyc-02")
        number = int(re.findall(r'data-pick="(\d+)"', page_of(explorer).value)[row])
        before = page_of(explorer).number
        send(explorer, kind="pick", row=number)
        assert explorer.value.appliances == ("vc-nyc-02",)
        assert set(explorer.jobs["appliance"]) == {"vc-nyc-02"}
        assert page_of(explorer).number == before + 1
        send(explorer, kind="pick", row=number)
        assert explorer.value == Selection()

    def test_notes(self, sample: ExplorerData, tmp_path: Path) -> None:
        """Notes on the shown period have a column, with the id of the incident."""
        shutil.copy(DATA / "history.db", tmp_path)
        history = History(tmp_path / "history.db")
        now = sample.now.to_pydatetime()
        index = sample.assessment_index(sample.now - pd.Timedelta(days=30))
        row: Any = index.assessment.incidents.iloc[-1]
        note = Note(
            appliance=row["appliance"],
            at=row["onset"].to_pydatetime(),
            by="Kim",
            ticket="",
            text="<b>disk</b>",
            added_at=now,
        )
        history.notes.add(note)
        explorer = explore(history, sample.policy, now=sample.now, last="180d", tab="Appliances")
        texts = dict(zip(column(explorer, "Appliance"), column(explorer, "Notes"), strict=True))
        assert texts.pop(note.appliance) == (
            f"{format_timestamp(row['onset'], 'UTC')}, incident {row['incident']}: "
            "<b>disk</b> (Kim)"
        )
        assert set(texts.values()) == {""}
        answers: list[Any] = []
        page_of(explorer).send = answers.append  # as if a page were there
        send(explorer, kind="copy", rows=[0])
        assert answers[0]["text"].split("\r\n")[0].endswith("\treason\tnotes")
        explorer.value = Selection(start=row["onset"] + pd.Timedelta(1, "us"), end=sample.now)
        assert "Notes" not in [one["title"] for one in page_of(explorer).head]

    def test_copy(self, explorer: Explorer) -> None:
        """Copied rows are those of the numbers, with tabs between the cells."""
        explorer.tab = "Appliances"
        answers: list[Any] = []
        page_of(explorer).send = answers.append  # as if a page were there
        send(explorer, kind="copy", rows=[1, 0, 99, -1])
        ((answer),) = answers
        lines = answer["text"].split("\r\n")
        names = column(explorer, "Appliance")
        assert lines[0].split("\t")[:4] == ["appliance", "state", "exposure_seconds", "rpo_strict"]
        assert [line.split("\t")[0] for line in lines[1:3]] == [names[1], names[0]]
        assert lines[3:] == [""]
        assert (answer["kind"], answer["said"]) == ("copied", "Copied 2 appliances.")

    def test_after_the_end(self, explorer: Explorer) -> None:
        """A message to a table that is no longer shown changes nothing."""
        explorer.tab = "Appliances"
        table = page_of(explorer)
        explorer.value = Selection(last="soon")
        table._handle_custom_msg({"kind": "pick", "row": 0}, [])
        assert table.value == ""
        assert explorer.value == Selection(last="soon")


class TestJobs:
    """The table of jobs."""

    def test_sort(self, explorer: Explorer) -> None:
        """Jobs are sorted by the values, not by their texts."""
        explorer.tab = "Jobs"
        for title in ("Start (UTC)", "Took", "Size", "Job", "Message", "Outcome", "Type"):
            explorer.tables = {"Jobs": {"sort": [f"-{title}", "Appliance"]}}
            assert len(column(explorer, title)) == 25
        explorer.tables = {"Jobs": {"sort": ["Outcome", "-Took"]}}
        assert set(column(explorer, "Outcome")) == {"● succeeded"}
        jobs = explorer.jobs
        longest = jobs.loc[jobs["outcome"] == "success", "duration"].nlargest(25)
        assert column(explorer, "Took") == [format_duration(one) for one in longest]

    @pytest.mark.parametrize(
        ("title", "wanted", "query"),
        [
            ("Outcome", ["failure"], "outcome == 'failure'"),
            ("Type", ["MANUAL"], "type == 'MANUAL'"),
            ("Size", "1 GiB..", "size >= 1073741824"),
            ("Took", "..30m", "duration <= '30m'"),
            ("Start (UTC)", "..2026-11-01", "start_time < '2026-11-02T00:00Z'"),
            ("Appliance", "tyo", "appliance.str.contains('tyo')"),
            ("Job", "20261101", "job_id.str.startswith('20261101')"),
            ("Message", "BROKEN pipe", "signature.str.contains('broken pipe', case=False)"),
        ],
    )
    def test_filters(
        self, explorer: Explorer, title: str, wanted: str | list[str], query: str
    ) -> None:
        """A filter has the jobs that a query of the frame has."""
        explorer.tab = "Jobs"
        send(explorer, kind="filter", title=title, wanted=wanted)
        count = len(explorer.jobs.query(query))
        assert 0 < count < len(explorer.jobs)
        label = explorer._tabs[-1].table._count.value  # type: ignore[attr-defined] # of this tab
        assert label.endswith(f", {count} of {len(explorer.jobs)} jobs")

    def test_no_match(self, explorer: Explorer) -> None:
        """Filters without a match keep the headers, to clear them."""
        explorer.tab = "Jobs"
        send(explorer, kind="filter", title="Message", wanted="nothing like it")
        assert column(explorer, "Job") == []
        assert len(page_of(explorer).head) == 8
        send(explorer, kind="filter", title="Message", wanted="")
        send(explorer, kind="filter", title="Size", wanted="huge")
        assert len(column(explorer, "Job")) == 25
        assert page_of(explorer).head[5]["error"].startswith('Size: "huge" is not a range')

    def test_copy(self, explorer: Explorer) -> None:
        """A job is copied with its times and messages, and the names of the contracts."""
        explorer.tab = "Jobs"
        answers: list[Any] = []
        page_of(explorer).send = answers.append
        send(explorer, kind="copy", rows=[2])
        send(explorer, kind="else")
        head, row, end = answers[0]["text"].split("\r\n")
        cells = dict(zip(head.split("\t"), row.split("\t"), strict=True))
        job = explorer.jobs.iloc[2]
        assert (cells["appliance"], cells["job_id"]) == (job["appliance"], job["job_id"])
        assert cells["start_time"] == f"{job['start_time']:%Y-%m-%dT%H:%M:%S.%fZ}"
        assert float(cells["duration_seconds"]) == job["duration"].total_seconds()
        assert (end, answers[0]["said"]) == ("", "Copied 1 job.")

    def test_formula(self, tmp_path: Path) -> None:
        """A copied text that a spreadsheet takes as a formula begins with a quote."""
        policy = Policy(members=[Member(appliance="=1+1"), Member(appliance="a\tb")])
        explorer = Explorer(ExplorerData(History(tmp_path / "h.db"), policy), Selection())
        explorer.tab = "Appliances"
        answers: list[Any] = []
        page_of(explorer).send = answers.append
        send(explorer, kind="copy", rows=[0, 1])
        lines = answers[0]["text"].split("\r\n")
        assert {lines[1].partition("\tunknown")[0], lines[2].partition("\tunknown")[0]} == {
            "'=1+1",
            '"a\tb"',
        }


class TestStill:
    """The still picture."""

    def test_no_job(self, sample: ExplorerData) -> None:
        """A still of a period without a job says so in place of the table."""
        explorer = Explorer(sample, Selection(text="nothing like it"))
        html = explorer._repr_mimebundle_()["text/html"]
        assert "No job of this period matches the search “nothing like it”" in html


class TestFailures:
    """The table of error patterns."""

    def test_pattern(self, explorer: Explorer) -> None:
        """A row selects its pattern; the others stay, and can be chosen too."""
        explorer.tab = "Failures"
        count = len(column(explorer, "Error pattern"))
        send(explorer, kind="pick", row=1)
        (signature,) = explorer.value.signatures
        assert column(explorer, "Error pattern")[1].startswith(signature)
        assert len(column(explorer, "Error pattern")) == count
        assert set(explorer.jobs["signature"]) == {signature}
        send(explorer, kind="sort", title="Appliances", add=False)
        send(explorer, kind="filter", title="What it means, what to look at", wanted="target")
        assert 0 < len(column(explorer, "Error pattern")) < count
        send(explorer, kind="clear")
        answers: list[Any] = []
        page_of(explorer).send = answers.append
        send(explorer, kind="copy", rows=[1])
        assert answers[0]["said"] == "Copied 1 error pattern."
        assert answers[0]["text"].startswith("signature\tjobs\tappliances\tfirst_seen")

    @pytest.mark.parametrize("title", ["Share of failures", "First seen (UTC)", "Last seen (UTC)"])
    def test_sort(self, explorer: Explorer, title: str) -> None:
        """Shares and times are sorted."""
        explorer.tab = "Failures"
        send(explorer, kind="sort", title=title, add=False)
        cells = column(explorer, title)
        if title != "Share of failures":
            assert cells == sorted(cells)
        else:
            assert float(cells[0].split(" %")[0]) < float(cells[-1].split(" %")[0])


class TestCode:
    """The line that restores the tables."""

    def test_round_trip(self, sample: ExplorerData) -> None:
        """Sort and filters are in the line of code."""
        tables: dict[str, Any] = {
            "Appliances": {"sort": ("-Exposure",)},
            "Jobs": {"sort": ("Took",), "where": {"Message": "it's", "Outcome": ("failure",)}},
        }
        explorer = Explorer(sample, Selection(), tab="Jobs", tables=tables)
        assert explorer.tables == tables
        assert f"tab='Jobs', tables={tables!r}" in explorer.code()
        explorer.tables = {}
        assert "tables" not in explorer.code()

    def test_unknown(self, explorer: Explorer, sample: ExplorerData) -> None:
        """A table or a column that does not exist is an error, and changes nothing."""
        with pytest.raises(ValueError, match='no such table: "Matrix"; there are: Appliances, Fai'):
            explorer.tables = {"Matrix": {}}
        wrong = {"Jobs": {"sort": ["Sise"]}}
        with pytest.raises(ValueError, match='no such column: "Sise"; there are: Appliance, Start'):
            explorer.tables = wrong
        assert explorer.tables == {}
        opened = Explorer(sample, Selection(), tab="Jobs", tables=wrong)
        assert "no such column: &#34;Sise&#34;" in opened._error.value
