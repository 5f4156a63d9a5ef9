"""``backupkit report``: against what it is compared, and the same bytes again."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import trustme

from backupkit import Fleet, History, collect
from backupkit.cli import main
from backupkit.simulator import Scenario
from tests.conftest import EPOCH, QUICK, simulated
from tests.smtp import PASSWORD, USER, Serve, serving

DAY = timedelta(days=1)


@dataclass
class Clock:
    """A clock that a test sets."""

    now: datetime

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now


@dataclass
class Kept:
    """A history of some rounds and its fleet.toml."""

    history: Path
    fleet: Path

    def report(self, out: Path, *options: str) -> int:
        """Write a report."""
        where = ["--history", str(self.history), "--fleet", str(self.fleet), "--out", str(out)]
        return main(["report", *where, *options])


@pytest.fixture(scope="module")
def two_rounds(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Visit the demo's 12 appliances a day before the epoch, and at the epoch."""
    folder = tmp_path_factory.mktemp("two-rounds")
    clock = Clock(EPOCH - DAY)
    path = folder / "history.db"
    history = History(path)
    with simulated(Scenario.demo(seed=1, epoch=EPOCH - DAY), folder, clock=clock) as running:
        for moment in (EPOCH - DAY, EPOCH):
            clock.now = moment
            snapshot = collect(running.fleet, known=history, limits=QUICK, clock=clock)
            history.append(snapshot)
    return Kept(path, running.path)


@pytest.fixture
def kept(two_rounds: Kept, tmp_path: Path) -> Kept:
    """Give a copy of that history, which a test may change."""
    return Kept(Path(shutil.copy(two_rounds.history, tmp_path / "history.db")), two_rounds.fleet)


AS_OF = EPOCH.isoformat()


def changes(out: Path) -> str:
    """Give the page's section of what changed."""
    html = out.read_text(encoding="utf-8")
    return html.partition('id="changes"')[2].partition("</section>")[0]


class TestCompared:
    """What changed since when."""

    def test_the_period_before(self, two_rounds: Kept, tmp_path: Path) -> None:
        """By default it is compared with the period before, at whose end nothing was known yet."""
        out = tmp_path / "report.html"
        assert two_rounds.report(out, "--as-of", AS_OF, "--last", "7d") == 0
        assert "2026-10-26 06:00 to 2026-11-02 06:00 UTC" in changes(out)
        assert "nothing was known yet then" in changes(out)

    @pytest.mark.parametrize("what", ["23h", "2026-11-08T07:00:00Z"])
    def test_so_long_ago(self, two_rounds: Kept, tmp_path: Path, what: str) -> None:
        """A length or a time names the moment of the other judgement; the period is as long."""
        out = tmp_path / "report.html"
        options = ["--as-of", AS_OF, "--last", "7d", "--compare-with", what]
        assert two_rounds.report(out, *options) == 0
        assert "the report as of 2026-11-08 07:00 UTC on 2026-11-01 07:00" in changes(out)
        assert "nothing was known yet" not in changes(out)

    def test_an_earlier_report(self, two_rounds: Kept, tmp_path: Path) -> None:
        """Moment and period of an earlier report are read from its .json."""
        first, second = tmp_path / "first.html", tmp_path / "second.html"
        early = ["--as-of", (EPOCH - DAY + timedelta(hours=1)).isoformat(), "--last", "3d"]
        assert two_rounds.report(first, *early, "--compare-with", "none") == 0
        assert "was not compared" in changes(first)
        options = ["--as-of", AS_OF, "--last", "7d", "--compare-with", str(first)]
        assert two_rounds.report(second, *options) == 0
        assert "as of 2026-11-08 07:00 UTC on 2026-11-05 07:00" in changes(second)

    @pytest.mark.parametrize(
        ("what", "told"),
        [
            ("lately", "neither previous, none, a duration such as 1d"),
            ("2027-01-01T00:00:00Z", "later than the time of this report"),
            ("{broken}", "is not the .json file of a report"),
        ],
    )
    def test_nothing_to_compare_with(
        self,
        two_rounds: Kept,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        what: str,
        told: str,
    ) -> None:
        """What names no earlier judgement is an error, and no report is written."""
        (tmp_path / "broken.json").write_text('{"start": 7}', encoding="utf-8")
        out = tmp_path / "report.html"
        named = what.format(broken=tmp_path / "broken.html")
        assert two_rounds.report(out, "--as-of", AS_OF, "--compare-with", named) == 1
        assert told in capsys.readouterr().err
        assert not out.exists()


class TestAgain:
    """The same history version and the same moment give the same bytes."""

    def written(self, kept: Kept, folder: Path, *, seed: str, zone: str) -> dict[str, bytes]:
        """Write the report in a process of its own."""
        folder.mkdir()
        where = ["--history", str(kept.history), "--fleet", str(kept.fleet)]
        how = ["--as-of", AS_OF, "--last", "7d", "--compare-with", "23h", "--xlsx"]
        out = ["--out", str(folder / "report.html")]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
        command = [sys.executable, "-m", "backupkit", "report", *where, *how, *out]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    def test_in_another_process(self, kept: Kept, tmp_path: Path) -> None:
        """Hash seed, time zone and later polls change no byte."""
        first = self.written(kept, tmp_path / "first", seed="1", zone="Asia/Tokyo")
        later = Clock(EPOCH + DAY)
        scenario = Scenario.demo(seed=1, epoch=EPOCH - DAY)
        with simulated(scenario, tmp_path, clock=later) as running:
            history = History(kept.history)
            history.append(collect(running.fleet, known=history, limits=QUICK, clock=later))
        second = self.written(kept, tmp_path / "second", seed="2", zone="America/New_York")
        assert sorted(first) == [
            "report.csv",
            "report.html",
            "report.jobs.csv",
            "report.json",
            "report.xlsx",
        ]
        assert first == second
        told = json.loads(first["report.json"])
        assert told["data_version"] in first["report.html"].decode()
        assert len(told["data_version"]) == 64
        assert History(kept.history).verify(head=told["data_version"]).empty


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Run SMTP servers on loopback, whose authority is in ca.pem."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with serving(authority) as run:
        yield run


@pytest.fixture
def mailing(
    two_rounds: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Kept]:
    """Give the history with a fleet.toml that leads to a mail server, too."""
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)

    def kept(port: int, more: str = "") -> Kept:
        path = two_rounds.fleet.with_name(f"{tmp_path.name}.toml")
        table = (
            f'\n[mail]\nhost = "127.0.0.1"\nport = {port}\nsender = "{USER}"\n'
            f'ca_bundle = "{tmp_path / "ca.pem"}"\n{more}'
        )
        path.write_text(two_rounds.fleet.read_text(encoding="utf-8") + table, encoding="utf-8")
        return Kept(two_rounds.history, path)

    return kept


class TestMailed:
    """--mail, --mail-to, --mail-if, and exit 6."""

    quick = ("--as-of", AS_OF, "--last", "7d", "--compare-with", "none")

    def test_to_the_configured(
        self,
        serve: Serve,
        mailing: Callable[..., Kept],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """--mail sends verdict, worst and file to those whom fleet.toml names, with a log-in."""
        box = serve(login=True)
        more = (
            f'to = ["ops@example.com"]\nuser = "{USER}"\npassword = {{ env = "MAIL_PASSWORD" }}\n'
        )
        out = tmp_path / "report.html"
        assert mailing(box.port, more).report(out, *self.quick, "--mail") == 0
        (message,) = box.messages
        assert str(message["Subject"]).startswith(
            "[BREACH 3 | UNKNOWN 1] vCenter backups 2026-11-09"
        )
        assert message["To"] == "ops@example.com"
        attached = [part for part in message.walk() if part.get_filename()]
        assert [part.get_filename() for part in attached] == ["report.html"]
        assert attached[0].get_payload(decode=True) == out.read_bytes()
        told = capsys.readouterr()
        assert told.out.splitlines()[-1] == "Mailed to: ops@example.com"
        assert PASSWORD not in told.out + told.err + out.read_text(encoding="utf-8")

    def test_to_others(
        self,
        serve: Serve,
        mailing: Callable[..., Kept],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """--mail-to names the recipients, as often as it is given; --json tells them."""
        box = serve()
        to = ["--mail-to", "a@example.com", "--mail-to", "b@example.com", "--json"]
        assert mailing(box.port).report(tmp_path / "report.html", *self.quick, *to) == 0
        assert [one.rcpt_tos for one in box.got] == [["a@example.com", "b@example.com"]]
        assert json.loads(capsys.readouterr().out)["mailed_to"] == [
            "a@example.com",
            "b@example.com",
        ]

    def test_only_if(self, serve: Serve, mailing: Callable[..., Kept], tmp_path: Path) -> None:
        """The report is always written, and mailed only for a verdict that was asked for."""
        box = serve()
        kept = mailing(box.port)
        out = tmp_path / "report.html"
        to = (*self.quick, "--mail-to", "a@example.com", "--mail-if")
        assert kept.report(out, *to, "unknown") == 0
        assert out.exists()
        assert box.got == []
        assert kept.report(out, *to, "breach,unknown") == 0
        assert len(box.got) == 1

    @pytest.mark.parametrize(
        ("more", "options", "told"),
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
    def test_trouble(  # a fixture each
        self,
        serve: Serve,
        mailing: Callable[..., Kept],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        more: str,
        options: list[str],
        told: str,
    ) -> None:
        """Whatever is wrong with the mail, the file is written, and the exit code is 6."""
        out = tmp_path / "report.html"
        fail = ["--fail-on", "breach"]  # the mail's trouble goes before
        assert mailing(serve().port, more).report(out, *self.quick, *options, *fail) == 6
        assert out.stat().st_size > 10_000
        said = capsys.readouterr()
        assert f"{out} was written, but not mailed." in said.err
        assert told in said.err
        assert "Traceback" not in said.err
        assert said.out.startswith("BREACH: ")

    def test_no_server(
        self, two_rounds: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without [mail] in fleet.toml the error says what to write there."""
        out = tmp_path / "report.html"
        assert two_rounds.report(out, *self.quick, "--mail-to", "a@example.com") == 6
        assert "[mail]" in capsys.readouterr().err
        assert out.exists()

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--mail-if", "breach"], "--mail-if needs --mail"),
            (["--mail", "--mail-if", "bad"], '--mail-if: "bad" is none of'),
            (["--fail-on", "breach,ok"], '--fail-on: "ok" is none of'),
        ],
    )
    def test_wrong_options(
        self,
        two_rounds: Kept,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        options: list[str],
        told: str,
    ) -> None:
        """What makes no sense is refused before anything is done."""
        assert two_rounds.report(tmp_path / "report.html", *options) == 1
        assert told in capsys.readouterr().err
        assert not (tmp_path / "report.html").exists()

    def test_fail_on(self, two_rounds: Kept, tmp_path: Path) -> None:
        """The report is written, and the exit code is 5."""
        out = tmp_path / "report.html"
        assert two_rounds.report(out, *self.quick, "--fail-on", "breach") == 5
        assert out.exists()


class TestRedacted:
    """--redact and --redact-key."""

    quick = ("--as-of", AS_OF, "--last", "7d", "--compare-with", "23h")

    def test_with_the_history(self, kept: Kept, tmp_path: Path) -> None:
        """Aliases are the same in each report of one history; no key is written."""
        names = [appliance.name for appliance in Fleet.load(kept.fleet)]
        texts = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            out = tmp_path / name / "report.html"
            assert kept.report(out, *self.quick, "--redact") == 0
            files = sorted(out.parent.iterdir())
            assert len(files) == 4
            texts.append([file.read_text(encoding="utf-8") for file in files])
        assert texts[0] == texts[1]
        assert not [name for name in names for text in texts[0] if name in text]

    def test_with_a_key(self, kept: Kept, tmp_path: Path) -> None:
        """The key tells what each alias stands for; a history that cannot be written will do."""
        key, out = tmp_path / "key.json", tmp_path / "report.html"
        assert kept.report(out, *self.quick, "--redact-key", str(key)) == 0
        aliases = json.loads(key.read_text(encoding="utf-8"))["aliases"]
        names = {appliance.name for appliance in Fleet.load(kept.fleet)}
        shown = {alias for alias in aliases if alias.startswith("appliance-")}
        assert names <= {aliases[alias] for alias in shown}
        page = out.read_text(encoding="utf-8")
        assert all(alias in page for alias in shown)
