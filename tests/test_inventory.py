"""Nodes of the SSO domains: kept in the history, compared with fleet.toml, shown everywhere."""

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from backupkit import Policy, evaluate, evaluate_frames, report
from backupkit.analysis import compare_inventory
from backupkit.assessment import Assessment, describe_inventory
from backupkit.cli import main
from backupkit.cli.commands.check import format_verdict
from backupkit.diagnostics import Discovery, DomainNode
from backupkit.history import History
from backupkit.policy import Member
from backupkit.reports.monitoring import check_result
from backupkit.reports.openmetrics import openmetrics
from backupkit.reports.redaction import redact
from backupkit.simulator.faults import Fault
from backupkit.tables import INVENTORY, JOBS, POLLS, SCHEDULES, HistoryView, SeenNode
from backupkit.widgets.explorer_data import ExplorerData
from backupkit.widgets.selection import Selection
from backupkit.widgets.view import FilteredView
from backupkit.widgets.view_html import render_verdict_bar
from tests.builders import END, START, frame, nights, poll, schedule, snapshot
from tests.conftest import Simulated

NOW = datetime(2026, 11, 9, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FLEET = {"vc-1": "vc-1.test", "vc-2": "vc-2.test", "vc-3": "vc-3.test"}


def read(asked: str, *names: str, at: datetime = NOW) -> list[SeenNode]:
    """Return the list of an appliance that was read: its nodes, by their first labels."""
    nodes = [
        SeenNode(
            asked=asked,
            host=f"{name}.test",
            type="VCSA_EMBEDDED",
            appliance=name if name in FLEET else None,
            seen_at=at,
        )
        for name in names
    ]
    return [SeenNode(asked=asked, seen_at=at), *nodes]


def failed(asked: str, *, at: datetime = NOW, error: str = "timed out") -> list[SeenNode]:
    """Return the row of an appliance whose list could not be read."""
    return [SeenNode(asked=asked, seen_at=at, error=error)]


def results(
    nodes: Iterable[SeenNode],
    hosts: dict[str, str | None] | None = None,
    *,
    only: tuple[str, ...] | None = None,
) -> list[tuple[str, str]]:
    """Return host and result of each row."""
    frame = compare_inventory(nodes, FLEET if hosts is None else hosts, at=NOW, only=only)
    INVENTORY.check(frame)
    return list(zip(frame["host"], frame["result"], strict=True))


class TestDomainNodeLog:
    """`History.domain_nodes`, on both databases."""

    def test_life(self, make_history: Callable[[], History], tmp_path: Path) -> None:
        """A discovery is kept, copied by a backup, pruned and forgotten; no digest covers it."""
        history = make_history()
        assert history.domain_nodes.read() == ()
        assert "SSO domains" not in history.facts()
        history.append(snapshot(0))
        head = history.head
        rows = [*read("vc-1", "vc-1", "vc-é"), *failed("vc-3", at=NOW - HOUR)]
        history.domain_nodes.store(rows)
        assert history.domain_nodes.read() == tuple(rows)
        assert (history.head, history.verify().empty) == (head, True)
        copy = History(history.backup(tmp_path / "copy.db"))
        assert copy.domain_nodes.read() == tuple(rows)
        assert (
            history.facts()["SSO domains"] == "2 nodes, read 2026-11-09 12:00 UTC; unknown of vc-3"
        )
        assert len(history.info()["domain_nodes"]) == 4
        history.prune(NOW)
        assert history.domain_nodes.read() == tuple(rows[:3])
        history.forget("vc-1")
        assert history.domain_nodes.read() == ()

    def test_newer_lists(self, make_history: Callable[[], History]) -> None:
        """A list replaces older ones of its domain; one that could not be read keeps its own."""
        log = make_history().domain_nodes
        log.store([*read("vc-1", "vc-1", "vc-2", "vc-9", at=NOW - 2 * HOUR), *failed("vc-3")])
        log.store(failed("vc-1", at=NOW - HOUR))
        assert [(node.host, node.error) for node in log.read()] == [
            ("", "timed out"),
            *((f"vc-{number}.test", "") for number in (1, 2, 9)),
            ("", "timed out"),
        ]
        newer = read("vc-2", "vc-1", "vc-2")
        log.store(newer)
        log.store(newer)
        assert log.read() == (*newer, *failed("vc-3"))

    def test_facts(self, make_history: Callable[[], History]) -> None:
        """The figures of a history name the times of all lists, and an empty list."""
        history = make_history()
        history.append(snapshot(0))
        history.domain_nodes.store(read("vc-1"))
        assert history.facts()["SSO domains"] == "no nodes"
        history.domain_nodes.store(read("vc-2", "vc-2", at=NOW - HOUR))
        history.domain_nodes.store(read("vc-3", "vc-3"))
        assert history.facts()["SSO domains"] == (
            "2 nodes, read 2026-11-09 11:00 UTC to 2026-11-09 12:00 UTC"
        )


class TestRows:
    """Discovery.rows()."""

    def test_rows(self) -> None:
        """Each request is a row, and each node; a reason is one line of limited length."""
        node = DomainNode("vc-1.test", "VCSA_EMBEDDED", "vc-1", "vc-1")
        found = Discovery.of(
            {"vc-1": [node], "vc-2": []}, {"vc-3": "a\nb" + "x" * 900}, {}, known=[]
        )
        assert (found.nodes, found.unlisted, found.asked) == ((node,), ("vc-2",), 3)
        one, two, three, last = found.rows(NOW)
        assert [one.asked, two.asked, three.asked] == ["vc-1", "vc-2", "vc-3"]
        assert (one.error, two.error) == ("", "")
        assert three.error.startswith("a bxx")
        assert len(three.error) == 501
        assert last == read("vc-1", "vc-1")[1]


class TestCompare:
    """compare_inventory()."""

    def test_results(self) -> None:
        """A node that fleet.toml lacks is missing; an appliance is unlisted, or unknown."""
        nodes = [*read("vc-1", "vc-1", "vc-9"), *read("vc-2", "vc-8"), *failed("vc-3")]
        assert results(nodes) == [
            ("vc-8.test", "missing"),
            ("vc-9.test", "missing"),
            ("vc-2.test", "unlisted"),
            ("vc-3.test", "unknown"),
            ("vc-1.test", "matched"),
        ]

    def test_nothing(self) -> None:
        """Without a discovery, or before it, nothing is known; neither without a fleet.toml."""
        assert results([]) == []
        assert results(read("vc-1", "vc-9", at=NOW + HOUR)) == []
        assert results(read("vc-1", "vc-1", "vc-9"), {}) == []

    def test_not_asked(self) -> None:
        """An appliance that no discovery has asked is not said to be absent."""
        assert results(read("vc-1", "vc-1")) == [("vc-1.test", "matched")]

    def test_domain_of_others(self) -> None:
        """A domain without an appliance of fleet.toml is not compared."""
        assert results(read("other", "vc-8", "vc-9")) == []
        assert results(read("other", "vc-1", "vc-9"))[0] == ("vc-9.test", "missing")

    def test_later_fleet(self) -> None:
        """Appliances that were added, renamed or removed since are compared as they are now."""
        nodes = read("vc-1", "vc-1", "vc-2", "vc-9")
        hosts: dict[str, str | None] = {"vc-1": None, "new": "VC-2", "more": "vc-9.test:443"}
        assert results(nodes, hosts) == [
            ("vc-1.test", "matched"),
            ("vc-2.test", "matched"),
            ("vc-9.test", "matched"),
        ]
        assert results(nodes, {"vc-1": "vc-1.test"})[:2] == [
            ("vc-2.test", "missing"),
            ("vc-9.test", "missing"),
        ]

    def test_failed_since(self) -> None:
        """A list that could not be read again keeps what was missing, and is unknown otherwise."""
        older = read("vc-1", "vc-1", "vc-9", at=NOW - HOUR)[1:]
        assert results([*older, *failed("vc-1")]) == [
            ("vc-9.test", "missing"),
            ("vc-1.test", "unknown"),
        ]

    def test_platform_services_controller(self) -> None:
        """A Platform Services Controller is not missing."""
        psc = SeenNode(asked="vc-1", host="psc.test", type="PSC_EXTERNAL", seen_at=NOW)
        assert results([*read("vc-1", "vc-1"), psc]) == [
            ("psc.test", "no vCenter Server"),
            ("vc-1.test", "matched"),
        ]

    def test_selection(self) -> None:
        """A selection has its own appliances, and what is missing in their domains."""
        nodes = [*read("vc-1", "vc-1", "vc-2", "vc-9"), *read("vc-3", "vc-3", "vc-8")]
        assert results(nodes, only=("vc-2", "gone")) == [
            ("vc-9.test", "missing"),
            ("vc-2.test", "matched"),
        ]


class TestSentence:
    """describe_inventory()."""

    def describe(self, nodes: Iterable[SeenNode]) -> str:
        """Return the sentence an hour after now."""
        return describe_inventory(compare_inventory(nodes, FLEET, at=NOW), pd.Timestamp(NOW + HOUR))

    def test_nothing(self) -> None:
        """Matched and unknown appliances alone are no sentence."""
        assert self.describe([*read("vc-1", "vc-1"), *failed("vc-2")]) == ""

    def test_all(self) -> None:
        """It names vCenters, appliances, unknown domains and the age of the oldest list."""
        nodes = [
            *read("vc-1", "vc-1", *(f"new-{number}" for number in range(7)), at=NOW - HOUR),
            *read("vc-2"),
            *failed("vc-3"),
        ]
        assert self.describe(nodes) == (
            "7 vCenters of the SSO domains are not in fleet.toml (new-0.test, new-1.test, "
            "new-2.test, new-3.test, new-4.test and 2 more); in fleet.toml, but in no SSO domain: "
            "vc-2; SSO domain unknown of vc-3, read 2 h ago"
        )
        assert self.describe(read("vc-2")) == (
            "in fleet.toml, but in no SSO domain: vc-2, read 1 h ago"
        )


class TestAssessment:
    """`Assessment.inventory`."""

    @pytest.fixture
    def history(self, make_history: Callable[[], History]) -> History:
        """Return a history with two appliances and a discovery."""
        history = make_history()
        history.append(snapshot(0))
        history.domain_nodes.store([*read("vc-1", "vc-1", "vc-9"), *read("vc-2", "vc-2", "vc-8")])
        return history

    POLICY = Policy(
        members=[
            Member(appliance=name, host=host) for name, host in FLEET.items() if name != "vc-3"
        ]
    )

    def test_history(self, history: History) -> None:
        """The assessment of a history compares what was known at its time."""
        a = evaluate(history, self.POLICY, now=NOW + HOUR, last="7d")
        assert list(a.inventory["result"]) == ["missing", "missing", "matched", "matched"]
        earlier = evaluate(history, self.POLICY, now=NOW - HOUR, last="7d")
        assert earlier.inventory.empty

    def test_selection(self, history: History) -> None:
        """A selection shows its own domains, and compares them with all of fleet.toml."""
        a = evaluate(history, self.POLICY, now=NOW + HOUR, last="7d", appliances=["vc-1"])
        assert list(a.inventory["host"]) == ["vc-9.test", "vc-1.test"]


class TestSurfaces:
    """Everything that shows an assessment shows what fleet.toml lacks."""

    @pytest.fixture
    def good(self) -> Assessment:
        """Return a week in which all is well, but for two vCenters that fleet.toml lacks."""
        names = ("vc-1", "vc-2")
        a = evaluate_frames(
            frame(JOBS, [one for name in names for one in nights(name, "ssssssss")]),
            frame(POLLS, [poll(name) for name in names]),
            frame(SCHEDULES, [schedule(name) for name in names]),
            Policy(members=[Member(appliance=name) for name in names], target=0.5),
            start=START,
            end=END,
            now=END,
        )
        at = END.to_pydatetime() - HOUR
        nodes = [*read("vc-1", "vc-1", "vc-<b>|9", "vc-8", at=at), *failed("vc-2", at=at)]
        return a.replaced(inventory=compare_inventory(nodes, {"vc-1": None, "vc-2": None}, at=END))

    SENTENCE = (
        "2 vCenters of the SSO domains are not in fleet.toml (vc-8.test, vc-<b>|9.test); "
        "SSO domain unknown of vc-2, read 1 h ago"
    )

    def test_check(self, good: Assessment) -> None:
        """The check of the fleet warns and names them; the one of a selection does not."""
        result = check_result(good)
        assert (result.code, "sso_missing=2;0;;0" in result.performance) == (1, True)
        assert result.sentence.endswith(self.SENTENCE.replace("|", " "))
        selected = check_result(good.replaced(is_selection=True))
        assert (selected.code, "sso" in selected.line) == (0, False)

    def test_nothing_missing(self, good: Assessment) -> None:
        """Without a missing vCenter the check is OK, also if a domain is unknown."""
        rows = good.inventory[good.inventory["result"].ne("missing")]
        result = check_result(good.replaced(inventory=rows))
        assert (result.code, "sso_missing=0;0;;0" in result.performance) == (0, True)
        none = check_result(good.replaced(inventory=INVENTORY.empty()))
        assert (none.code, "sso" in none.line) == (0, False)

    def test_texts(self, good: Assessment) -> None:
        """Text, Markdown and both parts of the mail have the sentence."""
        document = report(good)
        assert self.SENTENCE in " ".join(document.to_text().split())
        assert "- **SSO domains:** 2 vCenters" in document.to_markdown()
        message = document.message()
        plain, page = (message.get_body((kind,)) for kind in ("plain", "html"))
        assert plain is not None
        assert page is not None
        assert f"SSO domains: {self.SENTENCE}" in plain.get_content()
        assert "<b>SSO domains:</b> 2 vCenters" in page.get_content()
        assert "vc-<b>" not in page.get_content()

    def test_page(self, good: Assessment) -> None:
        """The page has the sentence and a section; neither without anything to say."""
        page = report(good).html()
        assert '<section id="inventory"' in page
        assert "<strong>SSO domains:</strong> 2 vCenters" in page
        assert "vc-&lt;b&gt;|9.test" in page
        assert "vc-<b>" not in page
        quiet = report(good.replaced(inventory=INVENTORY.empty())).html()
        assert "SSO domains" not in quiet

    def test_files(self, good: Assessment) -> None:
        """The JSON has all rows; in a redacted report, hosts have aliases."""
        rows = json.loads(report(good).to_json())["inventory"]
        assert [row["result"] for row in rows] == ["missing", "missing", "unknown", "matched"]
        hidden = redact(good, secret=b"secret").assessment.inventory
        assert hidden["host"].dropna().str.startswith("host-").all()
        assert not hidden.to_string().count("vc-")

    def test_notebook(self, good: Assessment) -> None:
        """An assessment in a notebook or a terminal has the sentence, if there is one."""
        assert self.SENTENCE in repr(good)
        assert self.SENTENCE in format_verdict(good)
        assert self.SENTENCE.replace("<b>", "&lt;b&gt;") in good._repr_html_()
        quiet = good.replaced(inventory=INVENTORY.empty())
        assert "SSO" not in repr(quiet) + format_verdict(quiet) + quiet._repr_html_()

    def test_metrics(self, good: Assessment) -> None:
        """There is a count for each result, and a sample for each missing vCenter."""
        lines = openmetrics(good).splitlines()
        assert 'backupkit_sso_nodes{result="missing"} 2.0' in lines
        assert 'backupkit_sso_node_missing{host="vc-8.test"} 1.0' in lines
        [read_at] = [line for line in lines if line.startswith("backupkit_sso_read_timestamp")]
        assert float(read_at.split()[1]) == (END - HOUR).timestamp()
        none = openmetrics(good.replaced(inventory=INVENTORY.empty()))
        assert not re.search("^backupkit_sso", none, re.MULTILINE)

    def test_explorer(self) -> None:
        """The verdict of the explorer has the sentence."""
        view = HistoryView(
            JOBS.empty(),
            POLLS.empty(),
            SCHEDULES.empty(),
            domain_nodes=(*read("vc-1", "vc-1", "vc-9"),),
        )
        policy = Policy(members=[Member(appliance="vc-1", host="vc-1.test")])
        data = ExplorerData(view, policy, now=NOW + HOUR)  # type: ignore[arg-type] # no observations
        strip = render_verdict_bar(FilteredView(data, Selection(last="7d")))
        assert (
            "1 vCenter of the SSO domains is not in fleet.toml (vc-9.test), read 1 h ago" in strip
        )


class TestCommands:
    """Commands keep what they have read, if there is a history."""

    def run(self, *argv: object) -> int:
        """Run a command."""
        return main([str(one) for one in argv])

    def test_discover(
        self, own_demo: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The result of discover is in the info of the history and in the check."""
        path = tmp_path / "history.db"
        options = ("--fleet", own_demo.path, "--history", path)
        domain = own_demo.appliances["vc-ham-01"].domain
        domain.others.append(("vc-new.test", "VCSA_EMBEDDED"))
        assert self.run("discover", *options) == 3
        assert not path.exists()
        History(path).append(snapshot(0))
        assert self.run("discover", *options) == 3
        capsys.readouterr()
        assert self.run("history", "info", "--history", path) == 0
        assert "SSO domains        13 nodes, read 20" in capsys.readouterr().out
        self.run("check", *options, "--format", "json")
        assert json.loads(capsys.readouterr().out)["missing"] == ["vc-new.test"]
        text = own_demo.path.read_text(encoding="utf-8")
        entry = '[[appliance]]\nname = "off"\nhost = "vc-new.test"\nenabled = false\nuser = "u@v"\n'
        entry += 'password = { env = "VCSA_PASSWORD" }\n'
        own_demo.path.write_text(text + entry, encoding="utf-8")
        self.run("check", *options, "--format", "json")
        assert json.loads(capsys.readouterr().out)["missing"] == []

    def test_doctor(self, own_demo: Simulated, tmp_path: Path) -> None:
        """The checks keep the nodes that they have read, and which list could not be read."""
        history = History(tmp_path / "history.db")
        own_demo.appliances["vc-ham-01"].domain.others.append(("vc-new.test", "VCSA_EMBEDDED"))
        own_demo.appliances.set_faults([Fault("forbidden", 1, "vc-nyc-*", "other")])
        names = ("vc-ham-01", "vc-nyc-01")
        assert self.run("doctor", *names, "--fleet", own_demo.path, "--history", history.uri) == 0
        rows = history.domain_nodes.read()
        assert "vc-new.test" in {row.host for row in rows}
        [(asked, error)] = [(row.asked, row.error) for row in rows if row.error]
        assert asked == "vc-nyc-01"
        assert "needs the privilege System.Read) (403)" in error

    def test_broken_history(
        self, own_demo: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A history that cannot be written changes no result; the message says so."""
        broken = tmp_path / "broken.db"
        broken.write_text("this is a text, and no database" * 40)
        assert self.run("discover", "--fleet", own_demo.path, "--history", broken) == 0
        assert "are not kept for reports: " in capsys.readouterr().err
