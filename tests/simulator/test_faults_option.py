"""The command line's ``simulate --fault``."""

import pytest

from backupkit.cli import main
from backupkit.simulator import KINDS, ROUTES

SHORT = ["simulate", "--appliances", "3", "--jobs", "1", "--for", "0"]


class TestFaultOption:
    """The option `--fault`."""

    @pytest.mark.parametrize(
        "text",
        [
            "reset=0.05",
            "session_limit=1",
            "unavailable=0.2@vc-00*",
            "unavailable=0.2@vc-00*:job",
            "drip=1@vc-0002:log-*",
        ],
    )
    def test_taken(self, capsys: pytest.CaptureFixture[str], text: str) -> None:
        """Kind and rate are enough; appliances and routes may follow."""
        assert main([*SHORT, "--fault", text, "--fault", "slow=0.1"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 3

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("reset", '"reset" must be KIND=RATE, KIND=RATE@APPLIANCE or'),
            ("reset=often", "for example: reset=0.05@vc-00*:job"),
            ("reset=1@vc-0001:", "KIND=RATE@APPLIANCE:ROUTE"),
            ("plague=0.1", "No fault 'plague'; there are reset, "),
            ("reset=2", "must lie between 0 and 1: 2.0"),
            ("reset=1@vc-0001:jobs", "No route 'jobs'; there are log-in, "),
            ("gone=1@vc-0001:log-in", "'gone' cannot apply to 'log-in', only job, details"),
            ("reset=1@nobody", "no appliance has this name; the first one is 'vc-0001'"),
        ],
    )
    def test_refused(self, capsys: pytest.CaptureFixture[str], text: str, words: str) -> None:
        """Wrong input is an error that says what was expected."""
        assert main([*SHORT, "--fault", text]) == 1
        streams = capsys.readouterr()
        assert streams.out == ""
        assert streams.err.startswith("backupkit: --fault: ")
        assert words in streams.err
        assert len(streams.err.splitlines()) == 1

    def test_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The help has every kind with its sentence, and every route."""
        assert main(["simulate", "--help"]) == 0
        text = capsys.readouterr().out
        assert [name for name, kind in KINDS.items() if f"{name}: {kind.about}" not in text] == []
        assert [route for route in ROUTES if route not in text] == []
