"""The sample data is what its README says."""

from pathlib import Path

import backupkit as bk

DATA = Path(__file__).parent.parent / "data"


def test_sample_history() -> None:
    """The sample history, judged as its README says, has the verdict of a demo."""
    policy = bk.Policy.load(DATA / "fleet.example.toml")
    a = bk.evaluate(bk.History(DATA / "history"), policy, now="2026-11-23T23:30:00Z")
    assert a.verdict.sentence == "3 of 10 in scope breach their RPO, 1 unknown, 2 excluded"
    assert list(a.appliances.index[:4]) == ["vc-tyo-02", "vc-nyc-03", "vc-ham-03", "vc-tyo-03"]
    assert len(a.jobs) == 812
