"""Time limits and concurrency: in fleet.toml, by appliance, and in a collection."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from backupkit import Fleet, Limits, collect
from backupkit.cli import main
from backupkit.client import ApplianceClient, tls
from backupkit.client.session import LOGOUT_TIMEOUT
from backupkit.collection.local_state import WaitingPolls
from backupkit.errors import SettingsError, UnreachableError
from backupkit.fleet import limits_of
from backupkit.simulator import Fault
from tests.builders import appliance, scenario
from tests.conftest import QUICK, Simulated, epoch, simulated

APPLIANCE = """
[[appliance]]
name = "vc-1"
host = "vc-1.example.com"
user = "u@v"
password = { env = "A" }
"""


def load(folder: Path, text: str) -> Fleet:
    """Load a fleet.toml with one appliance, and a text below it."""
    path = folder / "fleet.toml"
    path.write_text(APPLIANCE + text, encoding="utf-8")
    return Fleet.load(path)


class TestSettings:
    """Limits in fleet.toml."""

    def test_all(self, tmp_path: Path) -> None:
        """The table [limits] is for all appliances; an appliance can have limits of its own."""
        fleet = load(
            tmp_path,
            'limits = { poll = "10m", attempts = 2 }\n[limits]\npoll = "90s"\nread = "1m30s"\n'
            'concurrency = 8\ndeadline = "1h"\n',
        )
        assert fleet.limits == Limits(poll=90, read=90, concurrency=8, deadline=3600)
        own = limits_of(fleet, None).override(fleet["vc-1"].limits)
        assert own == Limits(poll=600, read=90, concurrency=8, deadline=3600, attempts=2)
        assert limits_of(fleet, QUICK) is QUICK
        assert limits_of(list(fleet), None) == Limits()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('[limits]\npolls = "1m"', '[limits]: unknown key "polls"; did you mean "poll"?'),
            ("[limits]\npoll = 5", '[limits]: "poll" must be a duration above 0; for example: '),
            ('[limits]\nread = "0s"', '[limits]: "read" must be a duration above 0; for example'),
            ('[limits]\nread = "soon"', '[limits]: read: "soon" is not a duration; write numbers'),
            ('[limits]\nattempts = "4"', '"attempts" must be a whole number from 1 to 10000; for'),
            ("[limits]\nconcurrency = 0", '"concurrency" must be a whole number from 1 to 10000'),
            ("[limits]\nattempts = true", '"attempts" must be a whole number from 1 to 10000; for'),
            ('limits = { deadline = "1m" }', '("vc-1"): limits: unknown key "deadline"; known'),
            ("limits = 5", '("vc-1"): "limits": expected object, got int; for example: limits = {'),
        ],
    )
    def test_invalid(self, tmp_path: Path, text: str, message: str) -> None:
        """A wrong limit is an error with the file, the table and the key."""
        with pytest.raises(SettingsError) as caught:
            load(tmp_path, text)
        assert message in str(caught.value)

    def test_own_limits_by_code(self) -> None:
        """An appliance built in Python cannot have an unknown limit either."""
        with pytest.raises(SettingsError, match='limits: unknown key "deadline"; known keys'):
            appliance(limits={"deadline": 5})

    def test_options(self, running: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
        """An option counts more than [limits]; a wrong one is an error with its name."""
        path = running.path
        path.write_text(path.read_text() + '\n[limits]\ndeadline = "1ms"\n')
        assert main(["doctor", "--fleet", str(path)]) == 1
        assert '[limits]: deadline: "1ms" is not a duration' in capsys.readouterr().err
        path.write_text(path.read_text().replace("1ms", "0.001s"))
        place = str(path.with_name("history.db"))
        arguments = ["--fleet", str(path), "--history", place]
        assert main(["collect", *arguments]) == 4
        assert "deadline of the collection passed" in capsys.readouterr().err
        assert main(["collect", *arguments, "--deadline", "1m", "--poll", "1m"]) == 0
        assert main(["watch", *arguments, "--deadline", "1m", "--every", "1s"]) == 0
        assert main(["collect", *arguments, "--poll", "soon"]) == 1
        assert '--poll: "soon" is not a duration' in capsys.readouterr().err
        assert main(["doctor", "--fleet", str(path), "--deadline", "1m", "--read", "9s"]) == 0


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Simulated]:
    """Run six appliances with three jobs each."""
    names = {f"vc-{number}": "8.0.3" for number in range(1, 7)}
    with simulated(scenario(names, jobs=3), tmp_path, clock=epoch) as fleet:
        yield fleet


def errors_of(running: Simulated, limits: Limits) -> dict[str, tuple[str, str]]:
    """Collect, and return kind and text of the error of each appliance."""
    errors = collect(running.fleet, limits=limits, clock=epoch).errors
    rows = zip(errors["appliance"], errors["error"], errors["detail"], strict=True)
    return {name: (kind, detail) for name, kind, detail in rows}


class TestSilence:
    """A silent appliance."""

    def test_default(self) -> None:
        """By default, all waits of one poll end within 90 s."""
        limits = Limits()
        assert limits.connect + limits.silence + LOGOUT_TIMEOUT <= 90

    def test_total(self, running: Simulated) -> None:
        """Retries do not multiply the time; the poll ends and says so, and the others are read."""
        running.appliances.set_faults([Fault("silence", 1.0, "vc-1", "data")])
        began = time.monotonic()
        errors = errors_of(running, replace(QUICK, read=0.8, silence=1.2, attempts=9))
        assert time.monotonic() - began < 6  # nine attempts take 7 s
        assert set(errors) == {"vc-1"}
        assert errors["vc-1"][0] == "unreachable"
        assert running.appliances.open_sessions == 0
        assert sum(bool(one.fault) for one in running.appliances.requests) == 2

    @pytest.mark.parametrize("routes", [("details",), ("version", "details")])
    def test_optional(self, running: Simulated, routes: tuple[str, ...]) -> None:
        """Time is left to read the jobs one by one if other requests get no response."""
        running.appliances.set_faults([Fault("silence", 1.0, "vc-1", name) for name in routes])
        limits = replace(QUICK, read=0.5, silence=1.25)
        snapshot = collect(running.fleet, limits=limits, clock=epoch)
        assert snapshot.jobs["appliance"].value_counts()["vc-1"] == 3
        assert snapshot.polls["ok"].all()

    def test_used_up(self, running: Simulated) -> None:
        """Once the time is used up, nothing more is requested, and the error says so."""
        running.appliances.set_faults([Fault("silence", 1.0, "vc-1", "version")])
        snapshot = collect(running.fleet, limits=replace(QUICK, read=0.4, silence=0.4), clock=epoch)
        details = snapshot.errors["detail"].to_list()
        assert any("was silent for 0.4 s in all, without " in text for text in details)


class TestPoll:
    """The time of one whole poll."""

    def test_slow(self, running: Simulated) -> None:
        """A poll ends after its time, whatever it does; other appliances are read."""
        running.appliances.set_faults([Fault("slow", 1.0, "vc-1", "data", wait=0.7)])
        began = time.monotonic()
        kind, detail = errors_of(running, replace(QUICK, poll=1))["vc-1"]
        assert time.monotonic() - began < 5
        assert kind == "deadline"
        assert detail.startswith("the poll took longer than 1 s, and ended before reading the ")
        assert "Allow more time (poll in fleet.toml, or --poll)" in detail

    def test_own(self, running: Simulated) -> None:
        """An appliance that is known to be slow can have more time than the others."""
        running.appliances.set_faults([Fault("slow", 1.0, "vc-[12]", "list", wait=1.2)])
        path = running.path
        text = path.read_text().replace('name = "vc-2"\n', 'name = "vc-2"\nlimits = {poll="1m"}\n')
        path.write_text(text)
        assert set(errors_of(running, replace(QUICK, poll=1))) == {"vc-1"}

    def test_wait(self, running: Simulated) -> None:
        """An appliance that asks for a longer wait than its poll has is not waited for."""
        running.appliances.set_faults([Fault("too_many", 1.0, "vc-1", "list", retry_after=60)])
        began = time.monotonic()
        kind, _ = errors_of(running, replace(QUICK, poll=20))["vc-1"]
        assert kind == "busy"
        assert time.monotonic() - began < 10


class TestWaiting:
    """An appliance that is waited for holds up no other one."""

    @pytest.mark.parametrize("route", ["log-in", "list"])
    def test_others_go_first(self, running: Simulated, route: str) -> None:
        """Appliances that are to wait give their places to all others, and are then read."""
        busy = ("vc-1", "vc-2", "vc-3")
        faults = [Fault("unavailable", 1.0, name, route, times=1, retry_after=2) for name in busy]
        running.appliances.set_faults(faults)
        snapshot = collect(running.fleet, limits=replace(QUICK, concurrency=2), clock=epoch)
        assert snapshot.polls["ok"].all()
        ended = [one.appliance for one in running.appliances.requests if one.method == "DELETE"]
        assert set(ended[:3]) == {"vc-4", "vc-5", "vc-6"}
        assert snapshot.polls["elapsed"].dt.total_seconds().sum() > 6

    def test_silent(self, running: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
        """Silent appliances give their places up, too: all are silent at the same time."""
        monkeypatch.setattr(tls, "SILENT_AFTER", 0.3)
        faults = [Fault("silence", 1.0, f"vc-{number}", "data") for number in (1, 2, 3)]
        running.appliances.set_faults(faults)
        limits = replace(QUICK, read=3, silence=3, concurrency=1)
        began = time.monotonic()
        snapshot = collect(running.fleet, limits=limits, clock=epoch)
        assert time.monotonic() - began < 8  # one after the other take 9 s
        ended = [one.appliance for one in running.appliances.requests if one.method == "DELETE"]
        assert set(ended[:3]) == {"vc-4", "vc-5", "vc-6"}
        assert snapshot.polls["ok"].to_list() == [False] * 3 + [True] * 3

    def test_total_time(self, running: Simulated) -> None:
        """All wait at the same time, also more of them than there are places."""
        running.appliances.set_faults(
            [Fault("unavailable", 1.0, "vc-*", "log-in", times=1, retry_after=2)]
        )
        began = time.monotonic()
        snapshot = collect(running.fleet, limits=replace(QUICK, concurrency=1), clock=epoch)
        assert snapshot.polls["ok"].all()
        assert time.monotonic() - began < 8  # one after the other take 12 s

    def test_helper_thread(self, running: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
        """A thread that only helps a poll has no place to give up."""
        monkeypatch.setattr(tls, "SILENT_AFTER", 0.1)
        running.appliances.set_faults([Fault("silence", 1.0, "vc-1", "list")])
        waiting, counts = WaitingPolls(), list[int]()
        waiting.on_change = lambda: counts.append(waiting.count)
        client = ApplianceClient(
            running.fleet["vc-1"],
            running.appliances["vc-1"].password,
            limits=replace(QUICK, read=0.5, attempts=1),
            clock=epoch,
            waiting=waiting.wait,
        )
        with client, ThreadPoolExecutor(1) as threads:
            for read, expected in (
                (threads.submit(client.job_ids).result, []),
                (client.job_ids, [1, 0]),
            ):
                with pytest.raises(UnreachableError):
                    read()
                assert counts == expected

    def test_count(self) -> None:
        """Each change of the number is reported, also after an error."""
        waiting, counts = WaitingPolls(), list[int]()
        waiting.on_change = lambda: counts.append(waiting.count)
        with pytest.raises(ZeroDivisionError), waiting.wait(), waiting.wait():
            raise ZeroDivisionError
        assert counts == [1, 2, 1, 0]
