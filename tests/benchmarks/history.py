"""A history of some sizes, on both databases: reads against hand-written ones of the same rows.

Each size is built by appends of many nights; what grows with the history is compared from the
smallest to the largest. PostgreSQL is a server of its own, with its data synced as by default.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pandas as pd

import backupkit as bk
from backupkit.history.databases import Connection
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.large import NIGHT, large_history, one_night
from tests.benchmarks.measuring import Contestant, Timing, measured
from tests.benchmarks.scale import Scale
from tests.postgres import PostgresServer, find_binaries

__all__ = ["sections"]

LISTED = 30
"""Ids on the list of each appliance when a collection begins."""

MONTH = "what 30 days need"
NIGHTS = 165
"""How many nights that is at most; a shorter history has less to read."""

APPENDS = 7
"""Rounds that are appended to each size; the first is not counted."""

RAW_JOBS = (
    "SELECT id, appliance_id, job_id, state, status, progress, start_time, end_time, messages, "
    "type, size, location, build, source, outcome, first_seen_at, last_seen_at, vanished_at "
    "FROM jobs"
)
RAW_OBSERVATIONS = (
    "SELECT j.appliance_id, j.job_id, o.observed_at, o.state, o.status, o.progress, o.start_time, "
    "o.end_time, o.messages, o.type, o.size, o.location, o.build, o.source "
    "FROM observations o JOIN jobs j ON j.id = o.job"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A history of one size."""

    history: bk.History
    jobs: int
    nights: int
    appliances: int

    @property
    def now(self) -> pd.Timestamp:
        """A moment after the last night."""
        return NIGHT + pd.Timedelta(days=self.nights)


def sections(scale: Scale) -> Iterator[Section]:
    """Measure SQLite, then PostgreSQL where there is one."""
    with tempfile.TemporaryDirectory(prefix="backupkit-bench-") as folder:
        yield from _engine("SQLite", lambda name: str(Path(folder) / f"{name}.db"), scale)
    if find_binaries() is None:
        print("No PostgreSQL here: it is left out.", file=sys.stderr)
        return
    with PostgresServer(durable=True) as server:
        yield from _engine("PostgreSQL", lambda _: server.create_database(), scale)


def _engine(engine: str, target: Callable[[str], str], scale: Scale) -> Iterator[Section]:
    grown: dict[str, list[float]] = {}
    for number in scale.kept:
        nights = max(2, number // scale.kept_appliances)
        place = target(f"{number}")
        history, seconds = _built(place, scale.kept_appliances, nights)
        kept = Kept(history, nights * scale.kept_appliances, nights, scale.kept_appliances)
        yield _size(engine, kept, seconds)
        yield _reads(engine, kept, scale.turns)
        for name, took in _daily(kept, scale.turns).items():
            grown.setdefault(name, []).append(took)
    enough = [number for number in scale.kept if number >= NIGHTS * scale.kept_appliances]
    base = dict.fromkeys(grown, 0)
    if enough:
        base[MONTH] = scale.kept.index(enough[0])
    yield Section(
        f"{engine}: what is done each day, by the length of the history "
        f"({' / '.join(f'{number:,}' for number in scale.kept)} jobs of "
        f"{scale.kept_appliances:,} appliances)",
        {},
        [
            figure
            for name, took in grown.items()
            for figure in (
                *(
                    Figure(f"{name}, {number:,} jobs", 1e3 * each, "ms")
                    for number, each in zip(scale.kept, took, strict=True)
                ),
                Figure(
                    f"{name}: the longest / {scale.kept[base[name]]:,} jobs",
                    took[-1] / took[base[name]],
                    "x",
                    1.3,
                    True,
                ),
            )
        ],
    )


def _built(place: str, appliances: int, nights: int) -> tuple[bk.History, float]:
    began = time.perf_counter()
    history = large_history(place, appliances=appliances, nights=nights)
    return history, time.perf_counter() - began


def _size(engine: str, kept: Kept, seconds: float) -> Section:
    size = kept.history._database.size()
    return Section(
        f"{engine}: {kept.jobs:,} jobs and the polls of a year at most, built by appends of many "
        "nights",
        {},
        [
            Figure(
                "all in, tables, indexes and polls, for each job",
                size / kept.jobs,
                "bytes",
                200,
                True,
            ),
            Figure("built", kept.jobs / seconds, "jobs/s"),
        ],
    )


def _reads(engine: str, kept: Kept, turns: int) -> Section:
    """Read jobs and observations, all and some, as a hand-written statement does by ADBC."""
    history, database = kept.history, kept.history._database
    name = f"vc-{kept.appliances // 2:04}.example.com"
    since = kept.now - pd.Timedelta(days=7)

    def raw(query: str) -> Callable[[], int]:
        def run() -> int:
            with database.read() as reader:
                reader._cursor.execute(query)
                return int(reader._cursor.fetch_arrow_table().num_rows)

        return run

    own = RAW_JOBS + " WHERE appliance_id = " + _number_of(history, name)
    new = f"{RAW_JOBS} WHERE last_seen_at >= {since.value // 1000}"
    pairs = {
        "jobs()": (raw(RAW_JOBS), lambda: len(history.jobs()), 1.5),
        "one appliance's jobs": (raw(own), lambda: len(history.jobs(appliances=[name])), 3.0),
        "jobs learnt in 7 days": (raw(new), lambda: len(history.jobs(since=since)), None),
        "observations()": (raw(RAW_OBSERVATIONS), lambda: len(history.observations()), None),
    }
    contestants = [
        Contestant(f"{what}, {way}", run)
        for what, (hand, ours, _) in pairs.items()
        for way, run in (("by hand", hand), ("backupkit", ours))
    ]
    timings = measured(contestants, turns=turns)
    return Section(
        f"{engine}: reads of {kept.jobs:,} jobs; by hand: one statement read by ADBC as Arrow "
        "columns of numbers, without names, texts and order",
        timings,
        [
            Figure(
                f"time: {what} / by hand",
                _ratio(timings, f"{what}, backupkit", f"{what}, by hand"),
                "x",
                limit,
                True,
            )
            for what, (_, _, limit) in pairs.items()
        ],
    )


def _number_of(history: bk.History, name: str) -> str:
    """Return the number of an appliance."""
    found = history.sql("SELECT id, name FROM appliances")
    return str(found.loc[found["name"] == name, "id"].iloc[0])


def _ratio(timings: dict[str, Timing], one: str, other: str) -> float:
    return timings[one].seconds / timings[other].seconds


def _daily(kept: Kept, turns: int) -> dict[str, float]:
    """Run the daily operations; return the medians [s]."""
    history, now = kept.history, kept.now
    names = [f"vc-{number:04}.example.com" for number in range(kept.appliances)]
    listed = dict.fromkeys(names, ())
    recent = history.jobs(since=now - pd.Timedelta(days=LISTED), columns=["appliance", "job_id"])
    listed |= {str(name): tuple(ids) for name, ids in recent.groupby("appliance")["job_id"]}

    _mark_unlisted(history, now - pd.Timedelta(days=LISTED))

    def start_of_collection() -> None:
        history.sync_state(ids=False)
        for name in names:
            history.known_jobs(name, listed[name])

    def month() -> None:
        history.view(start=now - pd.Timedelta(days=30), end=now, now=now)

    took = {
        "start of a collection: jobs looked up by key": _median(start_of_collection, turns),
        MONTH: _median(month, turns),
    }
    appends = []
    for night in range(kept.nights, kept.nights + APPENDS):
        snapshot = one_night(kept.appliances, night)
        began = time.perf_counter()
        history.append(snapshot)
        appends.append(time.perf_counter() - began)
    took["append of a night"] = median(appends[1:])
    return took


def _mark_unlisted(history: bk.History, since: pd.Timestamp) -> None:
    """Mark the older jobs as vanished, as earlier collections would have."""
    moment = since.value // 1000

    def mark(connection: Connection) -> None:
        connection.execute("UPDATE jobs SET vanished_at = ? WHERE last_seen_at < ?", [moment] * 2)
        connection.execute(
            "UPDATE appliances SET jobs_listed = (SELECT COUNT(*) FROM jobs j "
            "WHERE j.appliance_id = appliances.id AND j.vanished_at IS NULL)"
        )

    history._database.write(mark)


def _median(run: Callable[[], None], turns: int) -> float:
    run()  # caches are warm in all sizes, or in none
    took = []
    for _ in range(turns):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return median(took)
