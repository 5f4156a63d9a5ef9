"""The judgement on a Dask cluster is the judgement of one process."""

import shutil
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

from backupkit import Assessment, History, evaluate, evaluate_dask, scale
from backupkit.errors import HistoryError, SettingsError
from backupkit.history.export_reader import MANIFEST, Export
from backupkit.policy import Member, Policy
from backupkit.tables import OBSERVATIONS, POLLS, SCHEDULES
from tests.conftest import repeats
from tests.postgres import PostgresServer

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


KINDS = ("sqlite", "postgresql", "export")


@pytest.mark.property
@settings(max_examples=repeats(2, 20))
@given(told=rounds(), partitions=st.integers(1, 7), now=st.integers(0, 7), as_if=st.booleans())
def test_equal(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,
    told: list[SimpleNamespace],
    partitions: int,
    now: int,
    *,
    as_if: bool,
) -> None:
    """Whatever the history and however it is cut, every figure is that of one process."""
    folder = tmp_path_factory.mktemp("scale")
    asked: dict[str, Any] = {
        "start": START - DAY,
        "end": START + 5 * DAY,
        "now": START + now * DAY + 9 * HOUR,
        "as_if": as_if,
    }
    with postgres_server.fresh_database() as url:
        histories = [History(folder / "history.db"), History(url)]
        for history in histories:
            for snapshot in told:
                history.append(snapshot)
            one = evaluate(history, POLICY, **asked)
            same(evaluate_dask(history, POLICY, partitions=partitions, **asked), one)
        history.export(folder / "export")
        same(evaluate_dask(folder / "export", POLICY, partitions=partitions, **asked), one)


def _keep(where: str | Path, *, days: int = 5) -> History:
    """Keep some rounds of five appliances."""
    history = History(where)
    for day in range(days):
        history.append(_round(np.random.default_rng([7, day]), day, NAMES[:5]))
    return history


@pytest.fixture(params=KINDS)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[History, Any]:
    """Keep some rounds of five appliances; return the history, and what to judge."""
    where: Any = tmp_path / "history.db"
    if request.param == "postgresql":
        where = request.getfixturevalue("postgres_url")
    history = _keep(where)
    if request.param != "export":
        return history, history
    history.export(tmp_path / "export")
    return history, (tmp_path / "export").as_uri()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Start a cluster of two workers, each a process of its own."""
    with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=2,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            local_directory=str(tmp_path_factory.mktemp("dask")),
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        yield client


@pytest.mark.parametrize("moment", [START + 3 * DAY, START + 9 * DAY])
def test_on_a_cluster(kept: tuple[History, Any], client: Client, moment: pd.Timestamp) -> None:
    """Workers read by themselves; of the past, too."""
    history, source = kept
    asked: dict[str, Any] = {"start": START, "now": moment}
    one = evaluate(history, POLICY, **asked)
    for partitions in (None, 3):
        same(evaluate_dask(source, POLICY, client=client, partitions=partitions, **asked), one)


def test_new_rows(kept: tuple[History, Any], client: Client) -> None:
    """Workers see what was appended, or exported, since."""
    history, source = kept
    asked: dict[str, Any] = {"start": START, "now": START + 9 * DAY}
    before = evaluate_dask(source, POLICY, client=client, **asked)
    history.append(_round(np.random.default_rng([7, 7]), 7, NAMES[:5]))
    if isinstance(source, str):
        folder = Path(source.removeprefix("file://"))
        shutil.rmtree(folder)
        history.export(folder)
    after = evaluate_dask(source, POLICY, client=client, **asked)
    same(after, evaluate(history, POLICY, **asked))
    assert after.version != before.version


def test_only_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an export whole rows are read of the months in which they are needed."""
    history = History(tmp_path / "history.db")
    first = pd.Timestamp("2026-01-01", tz="UTC") - START
    days = []
    for day in range(330):
        days.append(_round(np.random.default_rng([7, day % 9]), 1, ("a",)))
        _move(days[-1], first + day * DAY, str(day))
        # what is open is needed, however old
        days[-1].observations = days[-1].observations[lambda told: told["status"] != "INPROGRESS"]
    history.append(
        SimpleNamespace(
            **{
                name: pd.concat([getattr(told, name) for told in days], ignore_index=True)
                for name in vars(days[0])
            }
        )
    )
    history.export(tmp_path / "export")
    read = []
    reading = Export.read

    def spy(self: Any, name: str, **how: Any) -> Any:  # noqa: ANN401 # of any type
        rows = reading(self, name, **how)
        read.append((name, how.get("columns") is None, len(rows)))
        return rows

    monkeypatch.setattr(Export, "read", spy)
    asked: dict[str, Any] = {"last": "7d", "now": START + 26 * DAY}
    one = evaluate_dask(tmp_path / "export", Policy(), **asked)
    same(one, evaluate(history, Policy(), **asked))
    few, whole = (
        {name: rows for name, is_whole, rows in read if is_whole is wanted}
        for wanted in (False, True)
    )
    assert 0 < whole["jobs"] < few["jobs"] * 0.8  # the 100 newest are compared
    assert 0 < whole["polls"] < few["polls"] // 2
    assert "observations" not in whole


def _move(told: SimpleNamespace, by: pd.Timedelta, name: str) -> None:
    """Move what was told in time."""
    for frame in vars(told).values():
        for column in frame.select_dtypes("datetimetz"):
            frame[column] += by
    told.observations["job_id"] = name + told.observations["job_id"]


def test_damage(client: Client, tmp_path: Path) -> None:
    """What cannot be read is a clear error, here and of a worker."""
    source = str(tmp_path / "export")
    _keep(tmp_path / "history.db").export(source)
    (data, *_) = (tmp_path / "export" / "jobs").rglob("*.parquet")
    asked: dict[str, Any] = {"now": START + 9 * DAY, "client": client}
    data.write_bytes(data.read_bytes()[:-20])
    with pytest.raises(HistoryError, match=r"export .* cannot be read: .*Export the history again"):
        evaluate_dask(source, POLICY, **asked)
    data.unlink()
    with pytest.raises(HistoryError, match=r"incomplete: jobs has \d+ rows of \d+"):
        evaluate_dask(source, POLICY, **asked)
    (tmp_path / "export" / MANIFEST).unlink()
    with pytest.raises(HistoryError, match="is no whole export of a history"):
        client.submit(scale._assess_partition, source, "", None).result()
    with pytest.raises(HistoryError, match="holds no history yet"):
        evaluate_dask(tmp_path / "none.db", POLICY, **asked)


@pytest.mark.parametrize("exported", [False, True])
def test_merged(tmp_path: Path, *, exported: bool) -> None:
    """Of a moment within what came at once, the data have the same name, too."""
    _keep(tmp_path / "first.db", days=3)
    history = History(tmp_path / "history.db")
    history.merge(tmp_path / "first.db")
    history.export(tmp_path / "export")
    asked: dict[str, Any] = {"start": START, "now": START + 2 * DAY}
    one = evaluate(history, POLICY, **asked)
    source = tmp_path / ("export" if exported else "history.db")
    same(evaluate_dask(source, POLICY, partitions=3, **asked), one)
    assert one.version == history.head


@pytest.mark.parametrize("exported", [False, True])
def test_nothing(tmp_path: Path, *, exported: bool) -> None:
    """An empty history and no appliance give what one process gives."""
    asked: dict[str, Any] = {"start": START, "now": START + DAY}
    history = History(tmp_path / "history.db")
    history.export(tmp_path / "export")
    source = tmp_path / ("export" if exported else "history.db")
    for policy in (Policy(), POLICY):
        same(evaluate_dask(source, policy, **asked), evaluate(history, policy, **asked))


def test_partitions(tmp_path: Path) -> None:
    """No piece at all is not possible."""
    with pytest.raises(SettingsError, match="partitions must be 1 or more, got 0"):
        evaluate_dask(tmp_path / "history.db", POLICY, partitions=0)


@given(sizes=st.lists(st.integers(0, 100), max_size=20), number=st.integers(1, 30))
def test_pieces(sizes: list[int], number: int) -> None:
    """Pieces hold each appliance once, in order, and about as many rows each."""
    rows = pd.Series(sizes, [f"{place:02}" for place in range(len(sizes))], dtype="int64")
    partitions = scale._partition(rows, number)
    assert 1 <= len(partitions) <= number
    assert [name for partition in partitions for name in partition] == rows.index.to_list()
    most = max((int(rows[partition].sum()) for partition in partitions), default=0)
    assert most <= sum(sizes) / number + len(sizes) / number + max(sizes, default=0) + 1
