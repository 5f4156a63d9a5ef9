"""The first collection, in which everything is new: backupkit, its peers, and its bounds."""

import contextlib
import math
import shutil
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pandas as pd

import backupkit as bk
from backupkit import wire
from backupkit.client import ApplianceClient
from backupkit.collection import Strategy
from backupkit.collection.snapshot import jobs_to_observations
from tests.benchmarks import lean, official, plain
from tests.benchmarks.answers import BACKUP
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.measuring import Contestant, Timing, measured
from tests.benchmarks.scale import Scale
from tests.benchmarks.serving import served

__all__ = ["sections"]

DELAYS = (0, 100)
"""How long each answer is held back [ms]."""

AUTO = "backupkit"
BY_JOB = 'backupkit, strategy="job"'
OFFICIAL_JOB = "official client, Job.get one by one"
OFFICIAL_DETAILS = "official client, Details.list"
PLAIN = "requests + json + DataFrame, details"
LEAN = "requests lean + msgspec, details, as many threads"
POOLED = "urllib3, job/{id}, as many threads"
WIRE = "wrk, one job/{id}"

TARGETS: dict[int, dict[tuple[str, str], float]] = {
    0: {
        (AUTO, OFFICIAL_JOB): 40,
        (AUTO, OFFICIAL_DETAILS): 10,
        (BY_JOB, OFFICIAL_JOB): 2,
        (BY_JOB, POOLED): 0.5,
    },
    100: {
        (AUTO, OFFICIAL_JOB): 800,
        (AUTO, OFFICIAL_DETAILS): 10,
        (BY_JOB, OFFICIAL_JOB): 50,
    },
}
"""How many times the jobs per second of the second the first should read, by latency."""


def sections(scale: Scale) -> Iterator[Section]:
    """Measure without and with latency."""
    for delay in DELAYS:
        with (
            served(scale.appliances, scale.jobs, delay=delay) as fleet,
            served(scale.appliances, scale.few_jobs, delay=delay, each=True) as few,
        ):
            yield _compared(fleet, few, scale, delay)
            if not delay:
                yield _taken_apart(fleet, scale)


def _compared(fleet: bk.Fleet, few: bk.Fleet, scale: Scale, delay: int) -> Section:
    """Measure backupkit against its peers at one latency."""
    bk.collect(list(fleet)[:1], progress=False)  # what is imported at first use is not measured
    polls: dict[str, pd.DataFrame] = {}
    with _contestants(fleet, few, polls, scale, delay) as contestants:
        timings = measured(contestants, turns=scale.turns)
    figures = [
        Figure(f"{one} / {other}", timings[one].rate / timings[other].rate, target=target)
        for (one, other), target in TARGETS[delay].items()
    ]
    each = {name: timing.cpu / timing.jobs for name, timing in timings.items()}
    figures.append(
        Figure(f"CPU of a job: {AUTO} / {LEAN}", each[AUTO] / each[LEAN], "x", 1.3, True)
    )
    figures += [
        Figure(f"CPU of a job: {other} / {one}", each[other] / each[one])
        for one, other in (
            (AUTO, OFFICIAL_DETAILS),
            (AUTO, PLAIN),
            (BY_JOB, OFFICIAL_JOB),
            (BY_JOB, POOLED),
        )
    ]
    others = [(AUTO, LEAN), (AUTO, PLAIN), (BY_JOB, POOLED), (BY_JOB, WIRE), (POOLED, WIRE)]
    figures += [
        Figure(f"{one} / {other}", timings[one].rate / timings[other].rate)
        for one, other in others
        if other in timings and (one, other) not in TARGETS[delay]
    ]
    if delay:
        figures += _bounds(polls, timings, delay)
    return Section(
        f"First collection of {scale.appliances} appliances x {scale.jobs} jobs "
        f"({scale.few_jobs} each for job/{{id}}), {delay} ms added to each answer; "
        f"median of {scale.turns} turns. Contestants without concurrency are measured "
        f"on {scale.sample} of them, Job.get on one, within an open session.",
        timings,
        figures,
    )


@contextlib.contextmanager
def _contestants(
    fleet: bk.Fleet, few: bk.Fleet, polls: dict[str, pd.DataFrame], scale: Scale, delay: int
) -> Iterator[list[Contestant]]:
    """Prepare ids and the official client's session, which are not measured."""
    appliances, some = list(fleet), list(fleet)[: scale.sample]
    number = scale.requests_delayed if delay else scale.requests
    threads = bk.Limits().concurrency
    site = _site(appliances)
    addresses, ca_bundle = plain.addresses(few), str(next(iter(few)).ca_bundle)
    with official.jobs_of(appliances[0], number) as (jobs, job_ids):
        contestants = [
            Contestant(AUTO, _collecting(fleet, AUTO, polls), scale.appliances * scale.jobs),
            Contestant(BY_JOB, _collecting(few, BY_JOB, polls), scale.appliances * scale.few_jobs),
            Contestant(OFFICIAL_JOB, lambda: official.job_by_job(jobs, job_ids), len(job_ids)),
            Contestant(
                OFFICIAL_DETAILS, lambda: official.all_details(some), len(some) * scale.jobs
            ),
            Contestant(PLAIN, lambda: plain.details_loop(some), len(some) * scale.jobs),
            Contestant(
                LEAN,
                lambda: lean.details(site, threads=threads),
                scale.appliances * scale.jobs,
            ),
            Contestant(
                POOLED,
                lambda: plain.pooled(addresses, ca_bundle=ca_bundle, threads=threads),
                len(addresses),
            ),
        ]
        if shutil.which("wrk") and not delay:
            contestants.append(
                Contestant(WIRE, lambda: plain.wire(addresses[0], connections=threads, seconds=2))
            )
        yield contestants


def _site(appliances: Sequence[bk.Appliance]) -> lean.Site:
    one = appliances[0]
    context = ssl.create_default_context(cafile=str(one.ca_bundle))
    hosts = [appliance.host for appliance in appliances]
    return lean.Site(hosts, one.user, one.password.read(one.user), context)


def _collecting(fleet: bk.Fleet, name: str, polls: dict[str, pd.DataFrame]) -> Callable[[], int]:
    """Collect everything, as a first collection does, and count the requests."""
    strategy: Strategy = "job" if name == BY_JOB else "auto"

    def run() -> int:
        snapshot = bk.collect(fleet, strategy=strategy, progress=False)
        polls[name] = snapshot.polls
        return len(snapshot.observations)

    return run


def _bounds(
    polls: Mapping[str, pd.DataFrame], timings: Mapping[str, Timing], delay: int
) -> Iterator[Figure]:
    """Compare each strategy with the time that the latency alone would take."""
    limits = bk.Limits()
    for name, frame in polls.items():
        requests, jobs = frame["requests"], frame["jobs_changed"]
        if name == BY_JOB:  # some requests to one appliance are concurrent
            alone = requests - jobs + (jobs / limits.per_appliance).map(math.ceil)
        else:
            alone = requests
        chain = int(alone.max())
        links = max(chain, math.ceil(requests.sum() / limits.concurrency))
        bound = links * delay / 1000
        yield Figure(f"{name}: longest chain of requests to one appliance", chain, "requests")
        yield Figure(f"{name}: bound by latency", bound, "s")
        yield Figure(f"{name}: time / that bound", timings[name].seconds / bound)


def _taken_apart(fleet: bk.Fleet, scale: Scale) -> Section:
    """Measure parts of the first collection alone, with the same responses."""
    bodies = _details_bodies(fleet)
    jobs = [job for body in bodies for job in wire.decode_details(body, wire.Flavour.REST)[0]]
    names = [one.name for one in fleet for _ in range(scale.jobs)]
    moment = datetime.now(UTC)

    def frame() -> int:
        observed_at = [moment] * len(jobs)
        rows = jobs_to_observations(jobs, appliances=names, observed_at=observed_at)
        return len(rows.frame())

    def decode() -> int:
        return sum(len(wire.decode_details(body, wire.Flavour.REST)[0]) for body in bodies)

    complete = Contestant("the complete collection", _collecting(fleet, AUTO, {}), len(jobs))
    parts = [
        Contestant("connecting, log-in, log-out", lambda: _sessions_only(fleet), 0),
        Contestant("decoding details", decode, len(jobs)),
        Contestant("the frame of observations", frame, len(jobs)),
    ]
    timings = measured([complete, *parts], turns=scale.turns)
    known = [timings[one.name] for one in parts]
    rest = timings[complete.name].cpu - sum(one.cpu for one in known)
    return Section(
        "CPU of the parts of that first collection, 0 ms added",
        timings,
        [Figure("the rest: requests, reading, threads, other frames", rest, "s")],
    )


def _details_bodies(fleet: bk.Fleet) -> list[bytes]:
    bodies = []
    for appliance in fleet:
        with plain.logged_in(appliance) as (session, base):
            address = f"{base}/rest/{BACKUP}/job/details"
            bodies.append(session.get(address, timeout=plain.TIMEOUT).content)
    return bodies


def _sessions_only(fleet: bk.Fleet) -> int:
    """Log in and out everywhere, without other requests."""

    def visit(appliance: bk.Appliance) -> None:
        with ApplianceClient(appliance, appliance.password.read(appliance.user)):
            pass

    with ThreadPoolExecutor(bk.Limits().concurrency) as pool:
        list(pool.map(visit, fleet))
    return 0
