"""An evaluation on a Dask cluster equals one in one process."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st

from backupkit import History, evaluate, evaluate_dask, scale
from backupkit.errors import HistoryError, SettingsError
from backupkit.history.export_reader import MANIFEST, Export
from backupkit.policy import Member, Policy
from tests.builders import message, snapshot_of
from tests.conftest import repeats
from tests.equal import assert_equal
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


@st.composite
def some_days(draw: st.DrawFn) -> list[SimpleNamespace]:
    """Draw some days of a small fleet: jobs, failed polls, changed schedules."""
    fleet = NAMES[: draw(st.integers(1, 5))]
    seed, days = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 5))
    return [_day(np.random.default_rng([seed, day]), day, fleet) for day in range(days)]


def _day(random: np.random.Generator, day: int, fleet: tuple[str, ...]) -> SimpleNamespace:
    moment = START + day * DAY + 8 * HOUR
    observations: list[dict[str, Any]] = []
    polls: list[dict[str, Any]] = []
    schedules: list[dict[str, Any]] = []
    for place, name in enumerate(fleet):
        seen = moment + place * pd.Timedelta(seconds=1)
        ok = random.random() > 0.15
        skew = pd.Timedelta(seconds=int(random.integers(-400, 400)))
        polls.append(
            {
                "appliance": name,
                "polled_at": seen,
                "ok": ok,
                "error": None if ok else "timeout",
                "clock_skew": skew if ok else None,
                "version": "8.0.3",
                "details": bool(place != 3),
            }
        )
        if not ok:
            continue
        if day in {0, 3} and place != 3:
            schedules.append(
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
            start = moment - (5 - number) * HOUR
            status = str(random.choice(["SUCCEEDED", "SUCCEEDED", "FAILED", "INPROGRESS"]))
            observations.append(
                {
                    "appliance": name,
                    "job_id": f"{day}-{number}",
                    "observed_at": seen,
                    "state": status,
                    "status": status,
                    "start_time": start,
                    "end_time": None if status == "INPROGRESS" else start + HOUR / 3,
                    "messages": [_message(random)] if status == "FAILED" else [],
                    "size": int(random.integers(1, 9)) << 30,
                    "location": f"sftp://nas-{place % 2}.example.com/vc/{name}",
                    "type": "SCHEDULED",
                    "build": str(random.choice(["1", "2"])),
                    "source": "details",
                }
            )
    return snapshot_of(observations, polls, schedules)


def _message(random: np.random.Generator) -> dict[str, Any]:
    return message(str(random.choice(["Disk full on host 7.", "Log-in to nas-1 refused.", ""])))


KINDS = ("sqlite", "postgresql", "export")


@pytest.mark.property
@settings(max_examples=repeats(2, 20))
@given(days=some_days(), partitions=st.integers(1, 7), now=st.integers(0, 7), as_if=st.booleans())
def test_equal(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,
    days: list[SimpleNamespace],
    partitions: int,
    now: int,
    *,
    as_if: bool,
) -> None:
    """Every figure equals that of one process, for any number of partitions."""
    folder = tmp_path_factory.mktemp("scale")
    options: dict[str, Any] = {
        "start": START - DAY,
        "end": START + 5 * DAY,
        "now": START + now * DAY + 9 * HOUR,
        "as_if": as_if,
    }
    with postgres_server.fresh_database() as url:
        histories = [History(folder / "history.db"), History(url)]
        for history in histories:
            for snapshot in days:
                history.append(snapshot)
            one = evaluate(history, POLICY, **options)
            assert_equal(evaluate_dask(history, POLICY, partitions=partitions, **options), one)
        history.export(folder / "export")
        assert_equal(
            evaluate_dask(folder / "export", POLICY, partitions=partitions, **options), one
        )


def _store(target: str | Path, *, days: int = 5) -> History:
    """Return a history of some days of five appliances."""
    history = History(target)
    for day in range(days):
        history.append(_day(np.random.default_rng([7, day]), day, NAMES[:5]))
    return history


@pytest.fixture(params=KINDS)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[History, Any]:
    """Return a history of some days, and itself or its export as the source."""
    target: Any = tmp_path / "history.db"
    if request.param == "postgresql":
        target = request.getfixturevalue("postgres_url")
    history = _store(target)
    if request.param != "export":
        return history, history
    history.export(tmp_path / "export")
    return history, (tmp_path / "export").as_uri()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Start a cluster of two worker processes."""
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


@pytest.mark.parametrize(("moment", "partitions"), [(START + 3 * DAY, 3), (START + 9 * DAY, None)])
def test_cluster(
    stored: tuple[History, Any], client: Client, moment: pd.Timestamp, partitions: int | None
) -> None:
    """Workers read the source themselves, also as of a past time."""
    history, source = stored
    options: dict[str, Any] = {"start": START, "now": moment, "client": client}
    several = evaluate_dask(source, POLICY, partitions=partitions, **options)
    assert_equal(several, evaluate(history, POLICY, start=START, now=moment))


def test_new_rows(stored: tuple[History, Any], client: Client) -> None:
    """Workers see rows that were appended or exported later."""
    history, source = stored
    options: dict[str, Any] = {"start": START, "now": START + 9 * DAY}
    before = evaluate_dask(source, POLICY, client=client, **options)
    history.append(_day(np.random.default_rng([7, 7]), 7, NAMES[:5]))
    if isinstance(source, str):
        folder = Path(source.removeprefix("file://"))
        shutil.rmtree(folder)
        history.export(folder)
    after = evaluate_dask(source, POLICY, client=client, **options)
    assert_equal(after, evaluate(history, POLICY, **options))
    assert after.version != before.version


def test_needed_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All columns of an export are read only for the months that need them."""
    history = History(tmp_path / "history.db")
    first = pd.Timestamp("2025-07-01", tz="UTC") - START
    patterns = [_day(np.random.default_rng([7, number]), 1, ("a",)) for number in range(9)]
    for pattern in patterns:
        # open jobs are needed, however old, and all polls if the clock was set
        pattern.observations = pattern.observations[lambda rows: rows["status"] != "INPROGRESS"]
        pattern.polls["clock_skew"] *= 0
    days = [_move(patterns[day % 9], first + day * DAY, str(day)) for day in range(514)]
    history.append(
        SimpleNamespace(
            **{
                name: pd.concat([getattr(day, name) for day in days], ignore_index=True)
                for name in vars(days[0])
            }
        )
    )
    history.export(tmp_path / "export")
    read = []
    reading = Export.read

    def spy(self: Any, name: str, **options: Any) -> Any:  # noqa: ANN401 # of any type
        found = reading(self, name, **options)
        read.append((name, options.get("columns") is None, len(found)))
        return found

    monkeypatch.setattr(Export, "read", spy)
    options: dict[str, Any] = {"last": "7d", "now": START + 26 * DAY}
    one = evaluate_dask(tmp_path / "export", Policy(), **options)
    assert_equal(one, evaluate(history, Policy(), **options))
    some_columns, all_columns = (
        {name: count for name, is_complete, count in read if is_complete is complete}
        for complete in (False, True)
    )
    # 110 successes before the period are compared, in a history of twice as many
    assert 0 < all_columns["jobs"] < some_columns["jobs"] * 0.6
    assert 0 < all_columns["polls"] < some_columns["polls"] // 2
    assert "observations" not in all_columns


def _move(day: SimpleNamespace, by: pd.Timedelta, prefix: str) -> SimpleNamespace:
    """Return a snapshot at another time."""
    moved = SimpleNamespace(**{name: rows.copy() for name, rows in vars(day).items()})
    for rows in vars(moved).values():
        for column in rows.select_dtypes("datetimetz"):
            rows[column] += by
    moved.observations["job_id"] = prefix + moved.observations["job_id"]
    return moved


def test_damage(client: Client, tmp_path: Path) -> None:
    """An unreadable source is an error, also if a worker finds it."""
    source = str(tmp_path / "export")
    _store(tmp_path / "history.db").export(source)
    (data, *_) = (tmp_path / "export" / "jobs").rglob("*.parquet")
    options: dict[str, Any] = {"now": START + 9 * DAY, "client": client}
    data.write_bytes(data.read_bytes()[:-20])
    with pytest.raises(HistoryError, match=r"export .* cannot be read: .*Export the history again"):
        evaluate_dask(source, POLICY, **options)
    data.unlink()
    with pytest.raises(HistoryError, match=r"incomplete: jobs has \d+ rows of \d+"):
        evaluate_dask(source, POLICY, **options)
    (tmp_path / "export" / MANIFEST).unlink()
    with pytest.raises(HistoryError, match="is no complete export of a history"):
        client.submit(scale._assess_partition, source, "", None).result()
    with pytest.raises(HistoryError, match="holds no history yet"):
        evaluate_dask(tmp_path / "none.db", POLICY, **options)


@pytest.mark.parametrize("exported", [False, True])
def test_merged(tmp_path: Path, *, exported: bool) -> None:
    """The data version of a time within an import is the head digest."""
    _store(tmp_path / "first.db", days=3)
    history = History(tmp_path / "history.db")
    history.merge(tmp_path / "first.db")
    history.export(tmp_path / "export")
    options: dict[str, Any] = {"start": START, "now": START + 2 * DAY}
    one = evaluate(history, POLICY, **options)
    source = tmp_path / ("export" if exported else "history.db")
    assert_equal(evaluate_dask(source, POLICY, partitions=3, **options), one)
    assert one.version == history.head


@pytest.mark.parametrize("exported", [False, True])
def test_nothing(tmp_path: Path, *, exported: bool) -> None:
    """An empty history has the same result as in one process."""
    options: dict[str, Any] = {"start": START, "now": START + DAY}
    history = History(tmp_path / "history.db")
    history.export(tmp_path / "export")
    source = tmp_path / ("export" if exported else "history.db")
    for policy in (Policy(), POLICY):
        assert_equal(evaluate_dask(source, policy, **options), evaluate(history, policy, **options))


def test_partitions(tmp_path: Path) -> None:
    """Less than one partition is an error."""
    with pytest.raises(SettingsError, match="partitions must be 1 or more, got 0"):
        evaluate_dask(tmp_path / "history.db", POLICY, partitions=0)


@given(sizes=st.lists(st.integers(0, 100), max_size=20), number=st.integers(1, 30))
def test_partition_sizes(sizes: list[int], number: int) -> None:
    """Partitions have each appliance once, in order, and similar numbers of rows."""
    rows = pd.Series(sizes, [f"{place:02}" for place in range(len(sizes))], dtype="int64")
    partitions = scale._partition(rows, number)
    assert 1 <= len(partitions) <= number
    assert [name for partition in partitions for name in partition] == rows.index.to_list()
    most = max((int(rows[partition].sum()) for partition in partitions), default=0)
    assert most <= sum(sizes) / number + len(sizes) / number + max(sizes, default=0) + 1
