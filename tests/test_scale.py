"""The judgement on a Dask cluster is the judgement of one process."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from backupkit import Assessment, History, evaluate, evaluate_dask
from backupkit.analysis import lately, twins
from backupkit.errors import HistoryError, SettingsError
from backupkit.policy import Member, Policy
from backupkit.scale import _opened
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES

START = pd.Timestamp("2026-11-02", tz="UTC")
HOUR = pd.Timedelta(hours=1)
DAY = pd.Timedelta(days=1)
NAMES = ("vc-ham-01", "vc-ham-02", "vc-nyc-01", "vc-nyc-02", "vc-tyo-01", "never-read")
POLICY = Policy(
    members=[
        Member(appliance=name, site=name[3:6], host=f"{name}.example.com") for name in NAMES[:4]
    ]
    + [Member(appliance="never-read")]
)


def same(one: Assessment, other: Assessment) -> None:
    """Hold two assessments to be equal, field by field."""
    for field in fields(Assessment):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, pd.DataFrame):
            assert_frame_equal(left, right, obj=field.name)
        else:
            assert left == right, field.name


@st.composite
def rounds(draw: st.DrawFn) -> list[SimpleNamespace]:
    """Draw some days of a small fleet: jobs, visits that fail, schedules that change."""
    fleet = NAMES[: draw(st.integers(1, 5))]
    seed, days = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 5))
    return [_round(np.random.default_rng([seed, day]), day, fleet) for day in range(days)]


def _round(random: np.random.Generator, day: int, fleet: tuple[str, ...]) -> SimpleNamespace:
    moment = START + day * DAY + 8 * HOUR
    rows: list[dict[str, Any]] = []
    polls: list[dict[str, Any]] = []
    plans: list[dict[str, Any]] = []
    for place, name in enumerate(fleet):
        seen = moment + place * pd.Timedelta(seconds=1)
        well = random.random() > 0.15
        skew = pd.Timedelta(seconds=int(random.integers(-400, 400)))
        polls.append(
            {
                "appliance": name,
                "polled_at": seen,
                "ok": well,
                "error": None if well else "timeout",
                "clock_skew": skew if well else None,
                "version": "8.0.3",
                "details": bool(place != 3),
            }
        )
        if not well:
            continue
        if day in {0, 3} and place != 3:
            plans.append(
                {
                    "appliance": name,
                    "schedule": "default",
                    "seen_at": seen,
                    "enabled": True,
                    "hour": int(random.integers(0, 6)),
                    "minute": 30,
                    "timezone": str(random.choice(["UTC", "Europe/Berlin", "nowhere"])),
                    "max_count": 3,
                    "location": f"sftp://nas-{place % 2}.example.com/vc",
                }
            )
        for number in range(int(random.integers(0, 3))):
            began = moment - (5 - number) * HOUR
            status = str(random.choice(["SUCCEEDED", "SUCCEEDED", "FAILED", "INPROGRESS"]))
            rows.append(
                {
                    "appliance": name,
                    "job_id": f"{day}-{number}",
                    "observed_at": seen,
                    "state": status,
                    "status": status,
                    "start_time": began,
                    "end_time": None if status == "INPROGRESS" else began + HOUR / 3,
                    "messages": [_message(random)] if status == "FAILED" else [],
                    "size": int(random.integers(1, 9)) << 30,
                    "location": f"sftp://nas-{place % 2}.example.com/vc/{name}",
                    "type": "SCHEDULED",
                    "build": str(random.choice(["1", "2"])),
                    "source": "details",
                }
            )
    return SimpleNamespace(
        observations=_frame(OBSERVATIONS, rows),
        polls=_frame(POLLS, polls),
        schedules=_frame(SCHEDULES, plans),
    )


def _message(random: np.random.Generator) -> dict[str, Any]:
    text = str(random.choice(["Disk full on host 7.", "Log-in to nas-1 refused.", ""]))
    return {"id": "x", "default_message": text, "args": [], "localized": None}


def _frame(table: Any, rows: list[dict[str, Any]]) -> pd.DataFrame:  # noqa: ANN401 # a table
    columns = {name: [row.get(name) for row in rows] for name in table.names}
    frame: pd.DataFrame = table.frame(columns)
    return frame


@pytest.mark.property
@settings(max_examples=12, deadline=None)
@given(told=rounds(), partitions=st.integers(1, 7), now=st.integers(0, 7), as_if=st.booleans())
def test_equal(
    tmp_path_factory: pytest.TempPathFactory,
    told: list[SimpleNamespace],
    partitions: int,
    now: int,
    *,
    as_if: bool,
) -> None:
    """Whatever the history and however it is cut, every figure is that of one process."""
    history = History(tmp_path_factory.mktemp("scale"))
    for snapshot in told:
        history.append(snapshot)
    asked: dict[str, Any] = {
        "start": START - DAY,
        "end": START + 5 * DAY,
        "now": START + now * DAY + 9 * HOUR,
        "as_if": as_if,
    }
    one = evaluate(history, POLICY, **asked)
    same(evaluate_dask(history, POLICY, partitions=partitions, **asked), one)


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Keep some rounds of five appliances."""
    history = History(tmp_path / "history")
    for day in range(5):
        history.append(_round(np.random.default_rng([7, day]), day, NAMES[:5]))
    return history


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """Start a cluster of two workers, each a process of its own."""
    with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=2,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            local_directory=str(tmp_path / "dask"),
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        yield client


def test_on_a_cluster(history: History, client: Client) -> None:
    """Workers read the history by themselves, and see what was appended since."""
    asked: dict[str, Any] = {"start": START, "now": START + 9 * DAY}
    same(
        evaluate_dask(history, POLICY, client=client, partitions=3, **asked),
        evaluate(history, POLICY, **asked),
    )
    history.append(_round(np.random.default_rng([7, 7]), 7, NAMES[:5]))
    again = evaluate_dask(history, POLICY, client=client, partitions=3, **asked)
    same(again, evaluate(history, POLICY, **asked))


def test_only_the_jobs_of_the_period(history: History) -> None:
    """Without the other jobs no figure changes."""
    asked: dict[str, Any] = {"start": START + 3 * DAY, "now": START + 5 * DAY}
    all_of_it = evaluate(history, POLICY, **asked)
    some = evaluate_dask(history, POLICY, all_jobs=False, **asked)
    assert 0 < len(some.jobs) < len(all_of_it.jobs)
    for field in fields(Assessment):
        if field.name != "jobs" and isinstance(getattr(some, field.name), pd.DataFrame):
            assert_frame_equal(getattr(some, field.name), getattr(all_of_it, field.name))


def test_damage(history: History, client: Client) -> None:
    """What a worker cannot read is the same clear error as here."""
    _opened.cache_clear()
    (data, *_) = (history.path / "observations").rglob("part-*.parquet")
    data.unlink()
    for place in (None, client):
        with pytest.raises(HistoryError, match=r"is missing.*history verify"):
            evaluate_dask(history, POLICY, now=START + 9 * DAY, client=place)


def test_no_key_is_told(history: History, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that fails is logged with its arguments: the keys of a store are not among them."""
    told = []

    def submit(judge: object, *more: object, **how: object) -> None:
        told.append(repr((judge, more, how)))
        raise KeyboardInterrupt

    history.storage_options["AWS_SECRET_ACCESS_KEY"] = "Gr3ek-to-all"
    monkeypatch.setattr(client, "submit", submit)
    with pytest.raises(KeyboardInterrupt):
        evaluate_dask(history, POLICY, client=client)
    assert history.uri in told[0]
    assert "Gr3ek" not in told[0]


def test_nothing(tmp_path: Path) -> None:
    """An empty history and no appliance give what one process gives."""
    asked: dict[str, Any] = {"start": START, "now": START + DAY}
    history = History(tmp_path)
    same(evaluate_dask(history, Policy(), **asked), evaluate(history, Policy(), **asked))


def test_partitions(history: History) -> None:
    """No piece at all is not possible."""
    with pytest.raises(SettingsError, match="partitions must be 1 or more, got 0"):
        evaluate_dask(history, POLICY, partitions=0)


def test_few_jobs_are_enough_to_know_an_appliance() -> None:
    """Of very many jobs only the newest 1,000 are compared: two names of one are found by them."""
    times = pd.date_range("2020-01-01", periods=3_000, freq="1h", tz="UTC").as_unit("us")
    ids = [str(number) for number in range(3_000)]
    jobs = JOBS.frame(
        {
            "appliance": ["a"] * 3_000 + ["b"] * 3_000,
            "job_id": ids * 2,
            "start_time": [*times, *times],
            "end_time": [*(times + HOUR)] * 2,
        }
    )
    assert lately(jobs)["job_id"].to_list() == ids[2_000:] * 2
    assert twins(jobs).to_numpy().tolist() == [["a", "b", 1_000]]
    assert twins(lately(jobs)).equals(twins(jobs))
