"""Objects of the public API in a notebook and as text."""

import sys
from pathlib import Path
from types import SimpleNamespace

import html5lib
import nbclient
import nbformat
import pytest

import backupkit as bk
from backupkit.collection.snapshot import CollectionErrors
from backupkit.display import show
from backupkit.policy import Exclusion, Member, Policy
from backupkit.tables import ASSESSED_JOBS, ERRORS, OBSERVATIONS, POLLS, SCHEDULES
from tests.conftest import EPOCH, QUICK, Simulated, epoch

ROOT = Path(__file__).parent.parent.parent
DATA = ROOT / "data"
SECRET = "correct horse battery staple"
EVIL = "<script>alert(1)</script>"


def text(html: str) -> str:
    """Return the text that a reader sees."""
    tree = html5lib.parse(html.partition("</style>")[2], namespaceHTMLElements=False)
    return " ".join("".join(tree.itertext()).split())


def appliance(number: int = 1, **changes: object) -> bk.Appliance:
    """Return an appliance whose password is in the environment."""
    values = {
        "name": f"vc-{number}",
        "host": "vc.test",
        "user": "u@v",
        "password": bk.PasswordSource("env", "VCSA_PASSWORD"),
        **changes,
    }
    return bk.Appliance(**values)  # type: ignore[arg-type] # a test may put anything there


class TestFleet:
    """`Fleet`."""

    def test_capped(self) -> None:
        """Of two thousand appliances twenty are listed, and the others are counted."""
        shown = bk.Fleet(appliance(n) for n in range(2000))._repr_html_()
        assert shown.count('<th scope="row">') == 20
        assert "and 1,980 more" in shown

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            (bk.PasswordSource("env", "VCSA_PASSWORD"), "env: VCSA_PASSWORD"),
            (bk.PasswordSource("keyring", "vcsa"), "keyring: vcsa"),
            (bk.PasswordSource("prompt", "the fleet"), "prompt: the fleet"),
        ],
    )
    def test_where_passwords_are_kept(self, source: bk.PasswordSource, said: str) -> None:
        """The place of a password is shown."""
        assert said in text(bk.Fleet([appliance(password=source)])._repr_html_())

    def test_no_secret(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A password of any source is in no display, also after it was read."""
        monkeypatch.setenv("VCSA_PASSWORD", SECRET)
        file = tmp_path / "secret"
        file.write_text(SECRET)
        fleet = bk.Fleet(
            [appliance(), appliance(2, password=bk.PasswordSource("file", str(file)), user=EVIL)]
        )
        assert {one.password.read(one.user) for one in fleet} == {SECRET}
        shown = fleet._repr_html_()
        assert SECRET not in shown + repr(fleet)
        assert str(file) in text(shown)
        assert "<script" not in shown


class TestSnapshot:
    """`Snapshot`."""

    def test_counts_and_errors(self, demo: Simulated) -> None:
        """The counts of polls and jobs are shown, and each error in its sentence."""
        shown = text(bk.collect(demo.fleet, clock=epoch, limits=QUICK)._repr_html_())
        assert "Snapshot: 11 of 12 appliances read" in shown
        assert " failed, 1 running. " in shown
        assert "1 appliance could not be read completely" in shown
        assert "vc-tyo-03unreachable127.0.0.1" in shown
        assert "whether the appliance is on." in shown

    def test_hostile_errors(self) -> None:
        """Errors are escaped and limited; an empty snapshot has its own text."""
        errors = ERRORS.frame(
            {
                "appliance": [f"vc-{n}" for n in range(25)],
                "error": [EVIL] * 25,
                "detail": [EVIL] * 25,
            }
        )
        snapshot = bk.Snapshot(OBSERVATIONS.empty(), POLLS.empty(), SCHEDULES.empty(), errors)
        shown = snapshot._repr_html_()
        assert "<script" not in shown
        assert "Jobs: none." in shown
        assert "25 appliances could not be read completely" in shown
        assert "and 5 more" in shown


class TestErrorTable:
    """The table at the end of `collect`."""

    def test_in_a_notebook(self, demo: Simulated, tmp_path: Path) -> None:
        """In a notebook errors are listed below the cell, escaped as HTML."""
        code = f"""
import backupkit as bk
fleet = bk.Fleet.load({str(demo.path)!r})
snapshot = bk.collect(fleet, limits=bk.Limits(connect=2, read=5))
quiet = bk.collect(fleet, known=snapshot, progress=False)
"""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        nbclient.NotebookClient(
            notebook,
            timeout=120,
            startup_timeout=120,
            resources={"metadata": {"path": str(tmp_path)}},
        ).execute()
        tables = [
            one.data
            for one in notebook.cells[0].outputs
            if one.output_type == "display_data" and "vc-tyo-03" in one.data.get("text/html", "")
        ]
        [shown] = tables
        assert "refused the connection" in shown["text/html"]
        assert shown["text/plain"].startswith("vc-tyo-03: 127.0.0.1")

    def test_both_forms(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A notebook gets the errors as text and as an escaped table."""
        given: list[object] = []
        notebook = SimpleNamespace(
            get_ipython=lambda: SimpleNamespace(kernel=object()),
            display=SimpleNamespace(display=given.append),
        )
        monkeypatch.setitem(sys.modules, "IPython", notebook)
        rows = {"appliance": ["vc-1"], "error": ["unreachable"], "detail": [EVIL]}
        errors = CollectionErrors(ERRORS.frame(rows))
        assert show(errors)
        assert given == [errors]
        assert repr(errors) == f"vc-1: {EVIL}"
        assert "&lt;script&gt;" in errors._repr_html_()
        assert EVIL not in errors._repr_html_()


class TestHistory:
    """`History`."""

    def test_counts(self) -> None:
        """The number of rows, their period and the place are shown."""
        history = bk.History(DATA / "history.db")
        shown = text(history._repr_html_())
        jobs = history.jobs()
        assert f"Jobs{len(jobs)}" in shown
        assert "Appliances12" in shown
        assert "Polls12, of which 1 failed" in shown
        assert "Last poll2026-11-23 23:29 UTC" in shown
        assert "MiB" in shown

    def test_empty(self, tmp_path: Path) -> None:
        """A new history says that it is empty."""
        assert "Keptnothing yet" in text(bk.History(tmp_path / "h.db")._repr_html_())

    def test_only_failures(self, tmp_path: Path) -> None:
        """A history of failed polls has polls and no job."""
        history = bk.History(tmp_path / "h.db")
        polls = POLLS.frame({"appliance": ["vc-1"], "polled_at": [EPOCH], "ok": [False]})
        empty = bk.Snapshot(OBSERVATIONS.empty(), polls, SCHEDULES.empty(), ERRORS.empty())
        history.append(empty)
        shown = text(history._repr_html_())
        assert "Jobs0" in shown
        assert "First observationnone" in shown
        assert "Polls1, of which 1 failed" in shown

    def test_damaged(self, tmp_path: Path) -> None:
        """A history that cannot be read shows the error without a traceback."""
        path = tmp_path / "<h>.db"
        history = bk.History(path)
        path.write_bytes(b"something else")
        shown = history._repr_html_()
        assert "&lt;h&gt;.db cannot be read" in shown


class TestPolicy:
    """`Policy`."""

    def test_numbers_and_exclusions(self) -> None:
        """Numbers have their units, exclusions their reasons."""
        policy = Policy(
            rpo="24h",
            grace="90m",
            completion="3h",
            staleness="6h",
            unknown_mode="evidence",
            window="22:00-06:00",
            duration_limit="4h",
            retention=7,
            parts=["seat", "common"],
            schedule="02:30",
            target=0.995,
            members=[
                Member(appliance="vc-1", policy="gold"),
                Member(appliance="vc-2", exclude="being <b>retired"),
            ],
            named={"gold": Policy(rpo="12h")},
            exclusions=[
                Exclusion(reason="storage move", sites=["Hamburg"], start="2026-11-07T20:00:00Z"),
                Exclusion(
                    reason="freeze", start="2026-12-24T00:00:00Z", end="2026-12-27T00:00:00Z"
                ),
                Exclusion(reason="before us", appliances=["vc-3"], end="2026-01-01T00:00:00Z"),
                Exclusion(reason="lab", groups=["test"]),
            ],
            changes={"2026-11-01": Policy(rpo="8h")},
        )
        shown = text(policy._repr_html_())
        for fact in (
            "RPO24 h",
            "In breach beyond25 h 30 min",
            "Target99.5 %",
            "A run must be donewithin 3 h",
            "Unknown isnot compliant once the last recovery point is too old",
            "Data valid for6 h",
            "Backup window22:00-06:00",
            "A run may take4 h",
            "Backups to keepat least 7",
            "Parts to saveseat, common",
            "Schedule if none is reported02:30",
            "A backup day begins at12:00",
            "Appliances2",
            "policy goldRPO 12 h",
            "from 2026-11-01 00:00RPO 8 h",
            "vc-2being <b>retired",
            "Hamburgfrom 2026-11-07 20:00storage move",
            "allfrom 2026-12-24 00:00 to 2026-12-27 00:00freeze",
            "vc-3until 2026-01-01 00:00before us",
            "testlab",
        ):
            assert fact in shown
        assert "<b>retired" not in policy._repr_html_()
        assert repr(policy).endswith("2 members, 1 named, 4 exclusions, 1 changes>")

    def test_plain(self) -> None:
        """The default policy is a table of numbers, and one line."""
        shown = text(Policy()._repr_html_())
        assert "Appliancesall in the data" in shown
        assert "A run must be donebefore the next one" in shown
        assert "Excluded" not in shown
        assert repr(Policy()) == f"<Policy: {Policy()}>"


class TestAssessment:
    """`Assessment`."""

    def test_as_the_report_has_it(self) -> None:
        """Verdict, figures with fractions and the worst appliances have the report's words."""
        a = bk.evaluate(
            bk.History(DATA / "history.db"),
            Policy.load(DATA / "fleet.example.toml"),
            now="2026-11-23T23:30:00Z",
        )
        shown = text(a._repr_html_())
        assert "BREACH" in shown
        assert a.verdict.sentence in shown
        assert "inside their RPO (strict)60.0 % (6 of 10 appliances)" in shown
        assert "vc-tyo-02✕ Breach2026-08-27 21:30, never backed upover " in shown
        assert "vc-tyo-03? Unknown" in shown
        assert "vc-ham-01" not in shown  # compliant
        report = text(bk.report(a)._repr_html_())
        assert "60.0 % (6 of 10 appliances)" in report
        assert "strict  60.0 % (6 of 10 appliances)" in str(a).splitlines()

    def test_nothing_at_all(self) -> None:
        """Without data the verdict is unknown, and every figure has no data."""
        empty = bk.evaluate_frames(
            ASSESSED_JOBS.empty(),
            POLLS.empty(),
            SCHEDULES.empty(),
            Policy(),
            start="2026-11-01T00:00:00Z",
            end="2026-11-02T00:00:00Z",
            now="2026-11-02T00:00:00Z",
        )
        shown = text(empty._repr_html_())
        assert "UNKNOWN" in shown
        assert "inside their RPO (strict)no data" in shown
        assert "No appliance in scope is out of its RPO." in shown
