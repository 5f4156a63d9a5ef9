"""The options --appliance, --group and --site, on each command that reads a fleet or a history."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from pandas.testing import assert_frame_equal

import backupkit as bk
from backupkit.cli import main
from backupkit.cli.selection import Selection
from backupkit.errors import SettingsError
from backupkit.simulator import Scenario
from tests.builders import appliance
from tests.conftest import Simulated, simulated

ROOT: Final = Path(__file__).parent.parent
NOW: Final = "2026-11-23T23:30:00Z"
FLEET: Final = bk.Fleet(
    [
        appliance("vc-1", site="Oslo", group="production"),
        appliance("vc-2", site="Oslo", group="test"),
        appliance("vc-3", site="Bergen", group="production"),
        appliance("vc-off", site="Bergen", enabled=False),
    ],
    source="fleet.toml",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with the sample as fleet.toml and history.db."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "data" / "history.db", tmp_path)
    shutil.copy(ROOT / "data" / "fleet.example.toml", tmp_path / "fleet.toml")
    return tmp_path


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """Run three appliances with the clock of the machine."""
    scenario = Scenario.steady(appliances=3, jobs=3, epoch=datetime.now(UTC), flavours=("api",))
    with simulated(scenario, tmp_path_factory.mktemp("live"), clock=None) as running:
        yield running


class TestFind:
    """Selection of appliances of a fleet."""

    @pytest.mark.parametrize(
        ("selection", "names"),
        [
            (Selection(), ["vc-1", "vc-2", "vc-3"]),
            (Selection(["vc-3", "vc-1"]), ["vc-1", "vc-3"]),
            (Selection(["vc-off"]), ["vc-off"]),
            (Selection(sites=["Bergen"]), ["vc-3"]),
            (Selection(groups=["production"]), ["vc-1", "vc-3"]),
            (Selection(groups=["production", "test"], sites=["Oslo"]), ["vc-1", "vc-2"]),
        ],
    )
    def test_found(self, selection: Selection, names: list[str]) -> None:
        """Names of one option are alternatives, and each option narrows the selection."""
        assert [one.name for one in selection.find(FLEET)] == names

    @pytest.mark.parametrize(
        ("selection", "expected"),
        [
            (Selection(["vc-9"]), 'fleet.toml: no appliance is named "vc-9"; did you mean "vc-3"?'),
            (Selection(["x"]), 'named "x"; there are vc-1, vc-2, vc-3, vc-off.'),
            (Selection(groups=["x"]), 'no group is named "x"; there are production, test.'),
            (Selection(sites=["x\n"]), 'no site is named "x"; there are Oslo, Bergen.'),
            (Selection(groups=["test"], sites=["Bergen"]), "no appliance matches all of --appli"),
        ],
    )
    def test_not_found(self, selection: Selection, expected: str) -> None:
        """A wrong name is an error that suggests or lists what exists."""
        with pytest.raises(SettingsError) as caught:
            selection.find(FLEET)
        assert expected in str(caught.value)

    def test_disabled(self) -> None:
        """A disabled appliance cannot be polled or assessed."""
        with pytest.raises(SettingsError, match=r'"vc-off" is disabled\. Remove enabled = false'):
            Selection(["vc-off"]).apply(FLEET)

    def test_nothing_to_find(self) -> None:
        """A fleet without any site says so."""
        with pytest.raises(SettingsError, match='no site is named "x"; there is none'):
            Selection(sites=["x"]).find(bk.Fleet([appliance("vc-1")]))


class TestEvaluate:
    """`evaluate` of some appliances."""

    def test_same_figures(self) -> None:
        """The figures of an appliance do not depend on the others."""
        history, policy, now = bk.sample()
        names = ["vc-ham-01", "vc-tyo-02"]
        whole = bk.evaluate(history, policy, now=now)
        some = bk.evaluate(history, policy, now=now, appliances=names)
        assert_frame_equal(some.figures.sort_index(), whole.figures.loc[names].sort_index())
        assert (whole.is_selection, some.is_selection) == (False, True)
        view = history.view(at=now)
        for source in (view, _Frames(view)):
            assert_frame_equal(
                bk.evaluate(source, policy, now=now, appliances=names).figures, some.figures
            )


class _Frames:
    """Three frames, as a snapshot has them."""

    def __init__(self, view: Any) -> None:  # noqa: ANN401 # a view of a history
        self.jobs, self.polls, self.schedules = view.jobs, view.polls, view.schedules


class TestReading:
    """Commands that read a history."""

    def test_report(self, folder: Path) -> None:
        """The report has the selected appliances alone, says so, and is reproduced with them."""
        options = ["--as-of", NOW, "--last", "7d", "--site", "Tokyo"]
        assert main(["report", *options, "--group", "edge", "--group", "test"]) == 0
        data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        names = {row["appliance"] for row in data["appliances"]}
        assert names == {"vc-tyo-02", "vc-tyo-03", "vc-tyo-04"}
        page = (folder / "report.html").read_text(encoding="utf-8")
        assert "vc-ham-01" not in page
        assert "Some appliances of the fleet were selected." in page

    def test_check(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The check counts the selected appliances."""
        assert main(["check", "--appliance", "vc-tyo-01", "--json"]) == 3
        document = json.loads(capsys.readouterr().out)
        assert document["unknown"] == 1
        assert document["breach"] == document["compliant"] == document["excluded"] == 0
        assert main(["check", "--site", "Tokio"]) == 3
        assert capsys.readouterr().out == (
            'UNKNOWN: fleet.toml: no site is named "Tokio"; did you mean "Tokyo"?\n'
        )
        assert folder.exists()

    def test_metrics(self, folder: Path) -> None:
        """The metrics are those of the selected appliances."""
        assert main(["metrics", "--out", "b.prom", "--site", "New York"]) == 0
        text = (folder / "b.prom").read_text(encoding="utf-8")
        assert 'appliance="vc-nyc-01"' in text
        assert "vc-ham" not in text

    def test_policy_alone(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """If fleet.toml lists no appliance, names are those of the history."""
        (folder / "fleet.toml").write_text('[policy]\nrpo = "24h"\n', encoding="utf-8")
        assert main(["check", "--appliance", "vc-tyo-01", "--json"]) == 3
        assert json.loads(capsys.readouterr().out)["unknown"] == 1
        assert main(["check", "--appliance", "vc-tyo-00"]) == 3
        assert 'did you mean "vc-tyo-0' in capsys.readouterr().out
        assert main(["check", "--json"]) == 3
        printed = capsys.readouterr()
        assert json.loads(printed.out)["unknown"] > 1
        assert "fleet.toml lists no enabled appliance: all appliances of the his" in printed.err


class TestPolling:
    """Commands that poll."""

    @pytest.mark.parametrize("command", ["collect", "watch"])
    def test_stored(self, live: Simulated, tmp_path: Path, command: str) -> None:
        """Only the selected appliances are polled and stored."""
        history = str(tmp_path / "history.db")
        argv = [command, "--fleet", str(live.path), "--history", history]
        assert main([*argv, "--appliance", "vc-0002", "--appliance", "vc-0003"]) == 0
        assert set(bk.History(history).polls()["appliance"]) == {"vc-0002", "vc-0003"}
        assert main([*argv, "--appliance", "vc-4"]) == 1

    def test_doctor(self, live: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
        """Names may be arguments or options of doctor."""
        argv = ["doctor", "--fleet", str(live.path), "--json"]
        assert main([*argv, "vc-0001", "--appliance", "vc-0003"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert {row["appliance"] for row in rows} == {"vc-0001", "vc-0003"}


class TestGate:
    """backupkit check --max-age: a gate of a pipeline."""

    def gate(self, capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str]:
        """Run the gate, and return its exit code and its one line."""
        capsys.readouterr()
        code = main(["check", *map(str, argv)])
        [line] = capsys.readouterr().out.splitlines()
        return code, line

    def test_collect_first(
        self, live: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With --collect one command polls the appliance, stores the result and judges it."""
        options = ("--fleet", live.path, "--history", tmp_path / "history.db")
        one = (*options, "--appliance", "vc-0001")
        code, line = self.gate(capsys, *one, "--max-age", "30d", "--collect")
        assert code == 0
        assert line.startswith("OK: vc-0001: the newest recovery point is ")
        code, line = self.gate(capsys, *one, "--max-age", "1s")
        assert code == 2
        assert line.startswith("CRITICAL: vc-0001: the newest recovery point is ")
        code, line = self.gate(capsys, *options, "--appliance", "vc-0002", "--max-age", "30d")
        assert (code, line) == (
            3,
            "UNKNOWN: vc-0002: it was never read | worst_exposure=U;;2592000;0",
        )
        code, line = self.gate(capsys, *options, "--max-age", "12 hours and a bit")
        assert code == 3
        assert "--max-age" in line

    def test_without_files(
        self,
        live: Simulated,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """With --host neither fleet.toml nor a history is needed, and nothing is written."""
        monkeypatch.chdir(tmp_path)
        one = next(iter(live.fleet))
        monkeypatch.setenv("BACKUPKIT_PASSWORD", one.password.read(one.user))
        direct = ("--host", one.host, "--user", one.user, "--ca-bundle", one.ca_bundle)
        code, line = self.gate(capsys, *direct, "--max-age", "30d")
        assert code == 0
        assert line.startswith(f"OK: {one.host}: the newest recovery point is ")
        assert self.gate(capsys, *direct, "--max-age", "1s")[0] == 2
        monkeypatch.setenv("BACKUPKIT_PASSWORD", "wrong")
        code, line = self.gate(capsys, *direct, "--max-age", "30d")
        assert code == 3
        assert "it was never read" in line
        assert "login failed (401)" in line
        assert "wrong" not in line
        assert list(tmp_path.iterdir()) == []

    def test_prompt(
        self, live: Simulated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without the variable a terminal prompts for the password, and a pipeline ends."""
        one = next(iter(live.fleet))
        password = one.password.read(one.user)
        monkeypatch.delenv("BACKUPKIT_PASSWORD", raising=False)
        monkeypatch.setattr("getpass.getpass", lambda _text: password)
        direct = ("--host", one.host, "--user", one.user, "--ca-bundle", one.ca_bundle)
        monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
        code, line = self.gate(capsys, *direct, "--max-age", "30d")
        assert code == 3
        assert "BACKUPKIT_PASSWORD is not set" in line
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        assert self.gate(capsys, *direct, "--max-age", "30d")[0] == 0

    @pytest.mark.parametrize(
        ("argv", "expected"),
        [
            (["--host", "vc"], "--host needs --max-age and --user"),
            (["--host", "vc", "--user", "u"], "--host needs --max-age and --user"),
            (
                ["--host", "vc", "--user", "u", "--max-age", "1h", "--site", "x"],
                "and no --appliance, --group or --site",
            ),
            (["--max-age", "1h", "--ca-bundle", "x"], "--ca-bundle needs --host"),
            (["--as-of", "2026-11-01", "--collect"], "leave out --collect and --host"),
            (
                ["--host", "vc", "--user", "u", "--max-age", "1h", "--ca-bundle", "none.pem"],
                '--ca-bundle: no such file "none.pem"',
            ),
        ],
    )
    def test_wrong_options(
        self, argv: list[str], expected: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Options that do not go together are UNKNOWN, with what is needed."""
        code, line = self.gate(capsys, *argv)
        assert code == 3
        assert expected in line

    def test_json(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """--json has each appliance."""
        assert main(["check", "--max-age", "12h", "--site", "Hamburg", "--json"]) == 3
        document = json.loads(capsys.readouterr().out)
        assert (document["code"], document["max_age"]) == (3, 43_200)
        assert [one["appliance"] for one in document["appliances"]] == [
            f"vc-ham-0{n}" for n in range(1, 5)
        ]
        assert folder.exists()
