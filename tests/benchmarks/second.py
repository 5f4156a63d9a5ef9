"""The cost of a collection in which nothing is new, with short and long histories."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import backupkit as bk
from backupkit.client import ApplianceClient
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.measuring import Contestant, measured
from tests.benchmarks.scale import Scale
from tests.benchmarks.serving import served

__all__ = ["sections"]

REQUESTS = 5
"""How many requests an appliance with nothing new may cost."""

RATIO = 1.5
"""The limit of the CPU with a long history, relative to a short one."""


@dataclass(frozen=True, slots=True)
class Known:
    """A fleet, its history, and open sessions with all appliances."""

    fleet: bk.Fleet
    history: bk.History
    clients: Sequence[ApplianceClient]


def sections(scale: Scale) -> Iterator[Section]:
    """Measure a short and a long history in turns."""
    with (
        _known(scale.appliances, scale.jobs) as short,
        _known(scale.appliances, scale.many_jobs) as long,
    ):
        requests: list[int] = []
        contestants = []
        for known, jobs in ((short, scale.jobs), (long, scale.many_jobs)):
            listed = scale.appliances * jobs
            contestants += [
                Contestant(_collection_of(jobs), _nothing_new(known, requests), 0),
                Contestant(_memory_of(jobs), _remembering(known), listed),
                Contestant(_lists_of(jobs), _listing(known), listed),
            ]
        timings = measured(contestants, turns=scale.turns)
    complete = [timings[_collection_of(jobs)].cpu for jobs in (scale.jobs, scale.many_jobs)]
    lists = [timings[_lists_of(jobs)].cpu for jobs in (scale.jobs, scale.many_jobs)]
    without = [taken - alone for taken, alone in zip(complete, lists, strict=True)]
    yield Section(
        f"Second collection of {scale.appliances} appliances with nothing new, 0 ms added, "
        f"collect(known=history) and history.append; median of {scale.turns} turns",
        timings,
        [
            Figure(
                "requests per appliance, at most", max(requests), "requests", REQUESTS, at_most=True
            ),
            Figure("CPU: long / short history, id lists included", complete[1] / complete[0]),
            Figure(
                "CPU: long / short history, id lists aside",
                without[1] / without[0],
                "x",
                RATIO,
                at_most=True,
            ),
        ],
    )


def _collection_of(jobs: int) -> str:
    return f"collection with {jobs:,} jobs each known"


def _memory_of(jobs: int) -> str:
    return f"of it: history.sync_state(), {jobs:,} each"


def _lists_of(jobs: int) -> str:
    return f"of it: lists of {jobs:,} ids, sessions open"


@contextlib.contextmanager
def _known(appliances: int, jobs: int) -> Iterator[Known]:
    """Serve a fleet of which a history knows everything."""
    with (
        served(appliances, jobs) as fleet,
        tempfile.TemporaryDirectory() as folder,
        contextlib.ExitStack() as sessions,
    ):
        history = bk.History(Path(folder) / "history.db")
        kept = history.append(bk.collect(fleet, progress=False))
        if kept.new != appliances * jobs:
            raise SystemExit(f"{kept.new} jobs were kept and not {appliances * jobs}")
        clients = [
            sessions.enter_context(ApplianceClient(one, one.password.read(one.user)))
            for one in fleet
        ]
        yield Known(fleet, history, clients)


def _nothing_new(known: Known, requests: list[int]) -> Callable[[], int]:
    """Collect and store, and count the requests to each appliance."""

    def run() -> int:
        snapshot = bk.collect(known.fleet, known=known.history, progress=False)
        kept = known.history.append(snapshot)
        requests.append(int(snapshot.polls["requests"].max()))
        return len(snapshot.observations) + kept.observations

    return run


def _remembering(known: Known) -> Callable[[], int]:
    """Read the known jobs from the history."""
    return lambda: sum(len(one.finished) for one in known.history.sync_state().values())


def _listing(known: Known) -> Callable[[], int]:
    """Fetch and decode the lists of ids, with the threads of a collection."""

    def run() -> int:
        with ThreadPoolExecutor(bk.Limits().concurrency) as pool:
            return sum(pool.map(lambda client: len(client.job_ids()[0]), known.clients))

    return run
