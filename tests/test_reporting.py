"""``backupkit report``: comparison, reproducibility, mail and redaction."""

import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from backupkit import Fleet, History, collect
from backupkit.cli import main
from backupkit.simulator import Scenario
from tests.builders import Clock
from tests.conftest import EPOCH, QUICK, simulated
from tests.smtp import PASSWORD, USER, Serve, serving

DAY = timedelta(days=1)


@dataclass
class Stored:
    """A history of two collections and its fleet.toml."""

    history: Path
    fleet: Path

    def report(self, out: Path, *options: str) -> int:
        """Write a report, and return the exit code."""
        sources = ["--history", str(self.history), "--fleet", str(self.fleet)]
        return main(["report", *sources, "--out", str(out), *options])


@pytest.fixture(scope="module")
def two_collections(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """Collect the demo's 12 appliances a day before the epoch, and at the epoch."""
    folder = tmp_path_factory.mktemp("collections")
    clock = Clock(EPOCH - DAY)
    path = folder / "history.db"
    history = History(path)
    with simulated(Scenario.demo(seed=1, epoch=EPOCH - DAY), folder, clock=clock) as running:
        for moment in (EPOCH - DAY, EPOCH):
            clock.now = moment
            snapshot = collect(running.fleet, known=history, limits=QUICK, clock=clock)
            history.append(snapshot)
    return Stored(path, running.path)


@pytest.fixture
def stored(two_collections: Stored, tmp_path: Path) -> Stored:
    """Return a copy of that history for a test that changes it."""
    return Stored(
        Path(shutil.copy(two_collections.history, tmp_path / "history.db")), two_collections.fleet
    )


AS_OF = EPOCH.isoformat()


def changes(out: Path) -> str:
    """Return the page's section about changes."""
    html = out.read_text(encoding="utf-8")
    return html.partition('id="changes"')[2].partition("</section>")[0]


class TestComparison:
    """--compare-with."""

    def test_default(self, two_collections: Stored, tmp_path: Path) -> None:
        """The default is the period before, at whose end nothing was known."""
        out = tmp_path / "report.html"
        assert two_collections.report(out, "--as-of", AS_OF, "--last", "7d") == 0
        assert "2026-10-26 06:00 to 2026-11-02 06:00 UTC" in changes(out)
        assert "nothing was known yet then" in changes(out)
        html = out.read_text(encoding="utf-8")
        assert "points since the earlier report" not in html  # no change from nothing
        assert 'class="since"' not in html

    @pytest.mark.parametrize("other", ["23h", "2026-11-08T07:00:00Z"])
    def test_earlier_time(self, two_collections: Stored, tmp_path: Path, other: str) -> None:
        """A duration or a time is the as-of time of the other evaluation."""
        out = tmp_path / "report.html"
        options = ["--as-of", AS_OF, "--last", "7d", "--compare-with", other]
        assert two_collections.report(out, *options) == 0
        assert "the report as of 2026-11-08 07:00 UTC on 2026-11-01 07:00" in changes(out)
        assert "nothing was known yet" not in changes(out)

    @pytest.mark.parametrize(
        ("named", "form"),
        [
            ("first.html", ()),
            ("first.html", ("--compress",)),
            ("first.json.gz", ("--compress",)),
        ],
    )
    def test_earlier_report(
        self, two_collections: Stored, tmp_path: Path, named: str, form: tuple[str, ...]
    ) -> None:
        """As-of time and period of an earlier report are read from its .json or .json.gz."""
        first, second = tmp_path / "first.html", tmp_path / "second.html"
        early = ["--as-of", (EPOCH - DAY + timedelta(hours=1)).isoformat(), "--last", "3d"]
        assert two_collections.report(first, *early, *form, "--compare-with", "none") == 0
        assert "was not compared" in changes(first)
        options = ["--as-of", AS_OF, "--last", "7d", "--compare-with", str(tmp_path / named)]
        assert two_collections.report(second, *options) == 0
        assert "as of 2026-11-08 07:00 UTC on 2026-11-05 07:00" in changes(second)

    @pytest.mark.parametrize(
        ("other", "message"),
        [
            ("lately", "neither previous, none, a duration such as 1d"),
            ("2027-01-01T00:00:00Z", "later than the time of this report"),
            ("{folder}/broken.html", "is not the .json file of a report"),
            ("{folder}/broken.json.gz", "is not the .json file of a report"),
        ],
    )
    def test_invalid(
        self,
        two_collections: Stored,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        other: str,
        message: str,
    ) -> None:
        """An invalid comparison is an error, and no report is written."""
        (tmp_path / "broken.json").write_text('{"start": 7}', encoding="utf-8")
        (tmp_path / "broken.json.gz").write_bytes(gzip.compress(b'{"start": 7}')[:-4])
        out = tmp_path / "report.html"
        named = other.format(folder=tmp_path)
        assert two_collections.report(out, "--as-of", AS_OF, "--compare-with", named) == 1
        assert message in capsys.readouterr().err
        assert not out.exists()


class TestReproducible:
    """The same data version and as-of time give the same bytes."""

    def write(self, stored: Stored, folder: Path, *, seed: str, zone: str) -> dict[str, bytes]:
        """Write the report in another process, and return its files."""
        folder.mkdir()
        sources = ["--history", str(stored.history), "--fleet", str(stored.fleet)]
        options = ["--as-of", AS_OF, "--last", "7d", "--compare-with", "23h", "--xlsx"]
        out = ["--out", str(folder / "report.html")]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
        command = [sys.executable, "-m", "backupkit", "report", *sources, *options, *out]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    def test_other_process(self, stored: Stored, tmp_path: Path) -> None:
        """Hash seed, time zone and later polls change no byte."""
        first = self.write(stored, tmp_path / "first", seed="1", zone="Asia/Tokyo")
        later = Clock(EPOCH + DAY)
        scenario = Scenario.demo(seed=1, epoch=EPOCH - DAY)
        with simulated(scenario, tmp_path, clock=later) as running:
            history = History(stored.history)
            history.append(collect(running.fleet, known=history, limits=QUICK, clock=later))
        second = self.write(stored, tmp_path / "second", seed="2", zone="America/New_York")
        tables = ("", "jobs.", "verdicts.", "appliances.", "days.", "trend.")
        names = {*("html", "json", "xlsx"), *(f"{kind}csv" for kind in tables)}
        assert set(first) == {f"report.{name}" for name in names}
        assert first == second
        version = json.loads(first["report.json"])["data_version"]
        assert version in first["report.html"].decode()
        assert len(version) == 64
        assert History(stored.history).verify(head=version).empty


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Run SMTP servers on loopback whose authority is in ca.pem."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with serving(authority) as run:
        yield run


@pytest.fixture
def mailing(
    two_collections: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Stored]:
    """Return a function for that history with a fleet.toml that names a mail server."""
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)

    def stored(port: int, more: str = "") -> Stored:
        path = two_collections.fleet.with_name(f"{tmp_path.name}.toml")
        table = (
            f'\n[mail]\nhost = "127.0.0.1"\nport = {port}\nsender = "{USER}"\n'
            f'ca_bundle = "{tmp_path / "ca.pem"}"\n{more}'
        )
        path.write_text(two_collections.fleet.read_text(encoding="utf-8") + table, encoding="utf-8")
        return Stored(two_collections.history, path)

    return stored


class TestMail:
    """--mail, --mail-to, --mail-if, and exit code 6."""

    quick = ("--as-of", AS_OF, "--last", "7d", "--compare-with", "none")

    def test_mail(
        self,
        serve: Serve,
        mailing: Callable[..., Stored],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """--mail sends verdict, worst appliances and file to the recipients in fleet.toml."""
        box = serve(login=True)
        more = (
            f'to = ["ops@example.com"]\nuser = "{USER}"\npassword = {{ env = "MAIL_PASSWORD" }}\n'
        )
        out = tmp_path / "report.html"
        assert mailing(box.port, more).report(out, *self.quick, "--mail") == 0
        (message,) = box.messages
        assert (
            str(message["Subject"])
            .strip()
            .startswith("[TARGET MISSED | BREACH 3 | UNKNOWN 1] vCenter backups 2026-11-09")
        )
        assert message["To"] == "ops@example.com"
        attached = [part for part in message.walk() if part.get_filename()]
        assert [part.get_filename() for part in attached] == ["report.html"]
        assert attached[0].get_payload(decode=True) == out.read_bytes()
        printed = capsys.readouterr()
        assert printed.out.splitlines()[-1] == "Mailed to: ops@example.com"
        assert PASSWORD not in printed.out + printed.err + out.read_text(encoding="utf-8")

    def test_mail_to(
        self,
        serve: Serve,
        mailing: Callable[..., Stored],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """--mail-to names a recipient and may be repeated; the JSON has the recipients."""
        box = serve()
        to = ["--mail-to", "a@example.com", "--mail-to", "b@example.com", "--json"]
        assert mailing(box.port).report(tmp_path / "report.html", *self.quick, *to) == 0
        assert [one.rcpt_tos for one in box.got] == [["a@example.com", "b@example.com"]]
        assert json.loads(capsys.readouterr().out)["mailed_to"] == [
            "a@example.com",
            "b@example.com",
        ]

    def test_only_if(self, serve: Serve, mailing: Callable[..., Stored], tmp_path: Path) -> None:
        """--mail-if sends a mail only for the named verdicts; the report is always written."""
        box = serve()
        history = mailing(box.port)
        out = tmp_path / "report.html"
        to = (*self.quick, "--mail-to", "a@example.com", "--mail-if")
        assert history.report(out, *to, "unknown") == 0
        assert out.exists()
        assert box.got == []
        assert history.report(out, *to, "breach,unknown") == 0
        assert len(box.got) == 1

    @pytest.mark.parametrize(
        ("more", "options", "message"),
        [
            ("", ["--mail-to", "nobody@example.com"], "no such user"),
            ("", ["--mail"], "has no recipient"),
            (
                'user = "u"\npassword = { env = "NOT_SET" }\n',
                ["--mail-to", "a@b.example"],
                "NOT_SET",
            ),
        ],
    )
    def test_failure(
        self,
        serve: Serve,
        mailing: Callable[..., Stored],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        more: str,
        options: list[str],
        message: str,
    ) -> None:
        """The report is written even if the mail fails, and the exit code is 6."""
        out = tmp_path / "report.html"
        fail = ["--fail-on", "breach"]  # 6 takes precedence over 5
        assert mailing(serve().port, more).report(out, *self.quick, *options, *fail) == 6
        assert out.stat().st_size > 10_000
        printed = capsys.readouterr()
        assert f"{out} was written, but not mailed." in printed.err
        assert message in printed.err
        assert "Traceback" not in printed.err
        assert printed.out.startswith("TARGET MISSED, BREACH ")

    def test_no_server(
        self, two_collections: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without [mail] in fleet.toml, the error says what to write there."""
        out = tmp_path / "report.html"
        assert two_collections.report(out, *self.quick, "--mail-to", "a@example.com") == 6
        assert "[mail]" in capsys.readouterr().err
        assert out.exists()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--mail-if", "breach"], "--mail-if needs --mail"),
            (["--mail", "--mail-if", "bad"], '--mail-if: "bad" is none of'),
            (["--fail-on", "breach,ok"], '--fail-on: "ok" is none of'),
        ],
    )
    def test_invalid_options(
        self,
        two_collections: Stored,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        options: list[str],
        message: str,
    ) -> None:
        """Invalid options are an error before anything is done."""
        assert two_collections.report(tmp_path / "report.html", *options) == 1
        assert message in capsys.readouterr().err
        assert not (tmp_path / "report.html").exists()

    def test_fail_on(self, two_collections: Stored, tmp_path: Path) -> None:
        """With --fail-on the report is written, and the exit code is 5."""
        out = tmp_path / "report.html"
        assert two_collections.report(out, *self.quick, "--fail-on", "breach") == 5
        assert out.exists()

    def test_month(
        self, two_collections: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A closed month in a zone missed its targets, and is compared with the month before."""
        out = tmp_path / "report.html"
        month = ("--as-of", AS_OF, "--last-month", "--timezone", "Europe/Berlin")
        assert two_collections.report(out, *month, "--fail-on", "missed") == 5
        assert capsys.readouterr().out.startswith("TARGET MISSED, BREACH ")
        document = json.loads(out.with_suffix(".json").read_bytes())
        assert document["period"] == "October 2026, Europe/Berlin"
        assert document["start"] == "2026-09-30T22:00:00+00:00"
        assert document["period_verdict"]["state"] == "missed"
        assert two_collections.report(out, *month, "--fail-on", "met", "--month", "2026-10") == 1
        assert "--month and --last-month exclude each other" in capsys.readouterr().err

    def test_long_period(self, two_collections: Stored, tmp_path: Path) -> None:
        """A period that has none of its length before it is compared with none."""
        out = tmp_path / "report.html"
        assert two_collections.report(out, "--as-of", AS_OF, "--start", "2001-01-01") == 0
        assert "Since " not in out.read_text(encoding="utf-8").split('id="act"')[0]


class TestRedact:
    """--redact and --redact-key."""

    quick = ("--as-of", AS_OF, "--last", "7d", "--compare-with", "23h")

    def test_aliases(self, stored: Stored, tmp_path: Path) -> None:
        """Aliases are the same in each report of one history, and no name is written."""
        names = [appliance.name for appliance in Fleet.load(stored.fleet)]
        texts = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            out = tmp_path / name / "report.html"
            assert stored.report(out, *self.quick, "--redact") == 0
            files = sorted(out.parent.iterdir())
            assert len(files) == 8
            texts.append([file.read_text(encoding="utf-8") for file in files])
        assert texts[0] == texts[1]
        assert not [name for name in names for text in texts[0] if name in text]

    def test_key(self, stored: Stored, tmp_path: Path) -> None:
        """The key names what each alias in the report stands for."""
        key, out = tmp_path / "key.json", tmp_path / "report.html"
        assert stored.report(out, *self.quick, "--redact-key", str(key)) == 0
        aliases = json.loads(key.read_text(encoding="utf-8"))["aliases"]
        names = {appliance.name for appliance in Fleet.load(stored.fleet)}
        shown = {alias for alias in aliases if alias.startswith("appliance-")}
        assert names <= {aliases[alias] for alias in shown}
        page = out.read_text(encoding="utf-8")
        assert all(alias in page for alias in shown)


class TestOneDocument:
    """``--output -`` and ``--format``: one document instead of a page with data files."""

    def options(self, stored: Stored, *options: str) -> list[str]:
        """Return the arguments of a report as of the last collection."""
        sources = ["--history", str(stored.history), "--fleet", str(stored.fleet)]
        return ["report", *sources, "--as-of", AS_OF, "--compare-with", "none", *options]

    @pytest.mark.parametrize(
        ("kind", "start"), [("text", "TARGET "), ("json", '{"schema_version":')]
    )
    def test_stdout(
        self,
        two_collections: Stored,
        capfdbinary: pytest.CaptureFixture[bytes],
        kind: str,
        start: str,
    ) -> None:
        """A format other than the page goes to stdout, and nothing else does."""
        assert main(self.options(two_collections, "--format", kind)) == 0
        printed = capfdbinary.readouterr().out.decode()
        assert printed.startswith(start)
        if kind == "json":
            assert json.loads(printed)["verdict"]["state"] == "breach"

    def test_file(
        self,
        two_collections: Stored,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """With a name, the document is the one file that is written."""
        path = tmp_path / "summary.md"
        options = ("--format", "markdown", "--output", str(path))
        assert main(self.options(two_collections, *options)) == 0
        assert path.read_text("utf-8").startswith("### TARGET ")
        assert capsys.readouterr().out == f"Report: {path}\n"
        assert list(tmp_path.iterdir()) == [path]

    def test_page(
        self,
        two_collections: Stored,
        capfdbinary: pytest.CaptureFixture[bytes],
    ) -> None:
        """``--output -`` prints only the page; the exit code is that of the verdict."""
        options = ("--output", "-", "--exceptions-only", "--fail-on", "breach")
        assert main(self.options(two_collections, *options)) == 5
        page = capfdbinary.readouterr().out.decode()
        assert page.startswith("<!DOCTYPE html>")
        assert page.endswith("</html>")
        assert "Only what needs attention:" in page

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (("--mail-to", "a@example.com"), "--mail needs --format html and a file"),
            (("--xlsx",), "--xlsx needs --format html and a file"),
            (("--compress",), "--compress needs --format html and a file"),
            (("--json",), "--json lists the files of the report, and none is written"),
            (("--pack", "e.zip"), "--pack excludes --format and --out: it has the page"),
            (("--sign", "key"), "--sign needs --pack FILE"),
        ],
    )
    def test_page_options(
        self,
        two_collections: Stored,
        capsys: pytest.CaptureFixture[str],
        options: tuple[str, ...],
        problem: str,
    ) -> None:
        """An option that needs the page in a file is an error before anything is assessed."""
        assert main(self.options(two_collections, "--output", "-", *options)) == 1
        output = capsys.readouterr()
        assert not output.out
        assert problem in output.err


class TestPack:
    """``report --pack``: evidence in one zip file."""

    def pack(self, stored: Stored, path: Path, *options: str) -> int:
        """Write the evidence as of the last collection, and return the exit code."""
        sources = ["--history", str(stored.history), "--fleet", str(stored.fleet)]
        return main(["report", *sources, "--as-of", AS_OF, "--pack", str(path), *options])

    def test_stdout(self, two_collections: Stored, capsys: pytest.CaptureFixture[str]) -> None:
        """A zip file is not written to stdout, nor to a file with that name."""
        assert self.pack(two_collections, Path("-")) == 1
        assert "--pack needs a file; for example: --pack evidence.zip" in capsys.readouterr().err
        assert not Path("-").exists()

    def test_compute_again(
        self, two_collections: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The policy of a pack gives the same figures again, and the ledger has the head."""
        path = tmp_path / "e.zip"
        assert self.pack(two_collections, path) == 0
        assert capsys.readouterr().out == f"Evidence: {path}\n"
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path)
        ledger = json.loads((tmp_path / "ledger.json").read_bytes())
        head = History(two_collections.history).head
        assert ledger == {"head": head, "data_version": head, "problems": []}
        again = Stored(two_collections.history, tmp_path / "policy.toml")
        assert again.report(tmp_path / "again.html", "--as-of", AS_OF) == 0
        for kind in ("csv", "jobs.csv", "appliances.csv", "verdicts.csv"):
            computed = (tmp_path / f"again.{kind}").read_bytes()
            assert computed == (tmp_path / f"report.{kind}").read_bytes()

    def test_problems(
        self, stored: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A changed history is written down, by its number alone in a redacted pack."""
        with closing(sqlite3.connect(stored.history)) as database, database:
            database.execute("UPDATE appends SET collector = 'changed' WHERE id = 1")
        path = tmp_path / "e.zip"
        assert self.pack(stored, path, "--redact") == 1
        with zipfile.ZipFile(path) as archive:
            ledger = json.loads(archive.read("ledger.json"))
        assert ledger["problems"]
        assert {row["problem"] for row in ledger["problems"]} == {"left out, it may have names"}
        assert "problems, which are in" in capsys.readouterr().err
