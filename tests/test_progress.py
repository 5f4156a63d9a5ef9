"""Progress of long work."""

import pytest

from backupkit import progress
from backupkit.progress import open_bar


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Set a clock; its only item is the time [s]."""
    now = [1_000.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    return now


def test_lines(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe there is a plain line each half minute, and none of a short run."""
    with open_bar(2_000, "Collecting", progress=None) as bar:
        for _ in range(1_200):
            clock[0] += 1 / 16
            bar.update()
        bar.set_postfix(failed=1)
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err == (
        "Collecting: 480 of 2,000 appliances\nCollecting: 960 of 2,000 appliances\n"
    )


def test_hidden(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """A progress that nobody wants is not shown."""
    with open_bar(2, "Collecting", progress=False) as bar:
        clock[0] += 100
        bar.update()
    assert capsys.readouterr() == ("", "")


def test_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In a terminal there is a bar."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with open_bar(2, "Checking", progress=None) as bar:
        bar.update(2)
    assert "2/2" in capsys.readouterr().err
