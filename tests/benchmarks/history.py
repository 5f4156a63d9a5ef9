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
from tests.benchmarks.by_hand import ByHand
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.large import NIGHT, large_history, list_names, one_night
from tests.benchmarks.measuring import Contestant, measured
from tests.benchmarks.scale import Scale
from tests.postgres import PostgresServer, find_binaries

__all__ = ["sections"]

LISTED = 30
"""Ids on the list of each appliance when a collection begins."""

SOME = 20
"""Appliances whose jobs are read one after the other; one alone takes no time."""

MONTH = "what 30 days need"
NIGHTS = 165
"""How many nights that is at most; a shorter history has less to read."""

APPENDS = 7
"""Rounds that are appended to each size; the first is not counted."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A history of one size."""

    place: str
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
        kept = Kept(place, history, nights * scale.kept_appliances, nights, scale.kept_appliances)
        yield _size(engine, kept, seconds)
        _mark_unlisted(history, kept.now - pd.Timedelta(days=LISTED))
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
    """Read jobs and observations, all and some, as hand-written statements do."""
    history = kept.history
    some = list_names(kept.appliances)[:SOME]
    since = kept.now - pd.Timedelta(days=7)
    listed = _listed(kept)

    def start_of_collection() -> int:
        history.sync_state(ids=False)
        return sum(len(history.known_jobs(one, ids)[1]) for one, ids in listed.items())

    with ByHand(kept.place) as hand:
        pairs: dict[str, tuple[Callable[[], int], Callable[[], int], float | None]] = {
            "jobs()": (hand.jobs, lambda: len(history.jobs()), 1.5),
            f"jobs of {len(some)} appliances, each alone": (
                lambda: sum(hand.jobs_of(name) for name in some),
                lambda: sum(len(history.jobs(appliances=[name])) for name in some),
                None,
            ),
            "jobs learnt in 7 days": (
                lambda: hand.jobs_since(since.value // 1000),
                lambda: len(history.jobs(since=since)),
                None,
            ),
            "observations()": (hand.observations, lambda: len(history.observations()), None),
            "start of a collection": (lambda: hand.known(listed), start_of_collection, None),
        }
        contestants = [
            Contestant(f"{what}, {way}", run)
            for what, (by_hand, ours, _) in pairs.items()
            for way, run in (("by hand", by_hand), ("backupkit", ours))
        ]
        timings = measured(contestants, turns=turns)
    return Section(
        f"{engine}: reads of {kept.jobs:,} jobs; by hand: columns of numbers by ADBC, one "
        "appliance and the listed jobs by an index and the usual driver, connections open, without "
        "names, texts and order",
        timings,
        [
            Figure(
                f"CPU: {what} / by hand",
                timings[f"{what}, backupkit"].cpu / timings[f"{what}, by hand"].cpu,
                "x",
                limit,
                True,
            )
            for what, (_, _, limit) in pairs.items()
        ],
    )


def _listed(kept: Kept) -> dict[str, tuple[str, ...]]:
    """Return what each appliance lists when a collection begins."""
    recent = kept.history.jobs(
        since=kept.now - pd.Timedelta(days=LISTED), columns=["appliance", "job_id"]
    )
    found = {str(name): tuple(ids) for name, ids in recent.groupby("appliance")["job_id"]}
    return {name: found.get(name, ()) for name in list_names(kept.appliances)}


def _daily(kept: Kept, turns: int) -> dict[str, float]:
    """Run the daily operations; return the medians [s]."""
    history, now = kept.history, kept.now
    listed = _listed(kept)

    def start_of_collection() -> None:
        history.sync_state(ids=False)
        for name, job_ids in listed.items():
            history.known_jobs(name, job_ids)

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
