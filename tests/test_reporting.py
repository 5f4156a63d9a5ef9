"""``backupkit report``: against what it is compared, and the same bytes again."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from backupkit import History, collect
from backupkit.cli import main
from backupkit.simulator import Scenario
from tests.conftest import EPOCH, QUICK, simulated

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
    history = History(folder / "history")
    with simulated(Scenario.demo(seed=1, epoch=EPOCH - DAY), folder, clock=clock) as running:
        for moment in (EPOCH - DAY, EPOCH):
            clock.now = moment
            snapshot = collect(running.fleet, known=history, limits=QUICK, clock=clock)
            history.append(snapshot)
    return Kept(history.path, running.path)


@pytest.fixture
def kept(two_rounds: Kept, tmp_path: Path) -> Kept:
    """Give a copy of that history, which a test may change."""
    return Kept(Path(shutil.copytree(two_rounds.history, tmp_path / "history")), two_rounds.fleet)


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
            ("lately", "neither previous, none, a length of time such as 1d"),
            ("2027-01-01T00:00:00Z", "after this report's own moment"),
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
        """Hash seed, time zone, later visits and how the tables are stored change no byte."""
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
        assert told["data_version"].startswith("24-")
