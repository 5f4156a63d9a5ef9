"""From the bodies of answers to a validated frame: backupkit, msgspec alone, and json."""

import functools
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import asdict
from datetime import UTC, datetime

import msgspec
import pandas as pd

from backupkit import wire
from backupkit.collection.snapshot import jobs_to_observations
from backupkit.wire.payloads import Details, JobStatus, Pair, Value
from tests.benchmarks.answers import BACKUP, steady_answers
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.machine import peak_memory, reset_peak_memory
from tests.benchmarks.measuring import Contestant, Timing, measured
from tests.benchmarks.scale import Scale
from tests.benchmarks.serving import ROOT

__all__ = ["sections"]

JOBS = 400
"""How many an answer of details holds."""

APPLIANCES = 50
"""How many different ones answer; then they repeat themselves."""

PATIENCE = 300
"""How long a process that decodes all bodies at once may take [s]."""

Body = tuple[str, bytes]
"""The id of the job, where it is about one, and the answer."""

_DETAILS = msgspec.json.Decoder(Value[list[Pair[Details]]])
_JOB = msgspec.json.Decoder(Value[JobStatus])


def sections(scale: Scale) -> Iterator[Section]:
    """Measure both kinds of bodies: in turns, and all at once in a process of its own."""
    for kind in WAYS:
        yield _in_turns(kind, scale)
        yield _at_once(kind, scale.bodies)


def _in_turns(kind: str, scale: Scale) -> Section:
    bodies = _bodies(kind, scale.bodies_in_turn)
    size = sum(len(body) for _, body in bodies) / scale.bodies_in_turn
    timings = measured(
        [
            Contestant(name, functools.partial(_count, way, bodies), scale.bodies_in_turn)
            for name, way in WAYS[kind].items()
        ],
        turns=scale.turns,
    )
    return Section(
        f"{scale.bodies_in_turn:,} jobs of {size:.0f} bytes from {kind}, from bytes in memory; "
        f"median of {scale.turns} turns",
        timings,
        list(_ratios(timings)),
    )


def _at_once(kind: str, number: int) -> Section:
    timings: dict[str, Timing] = {}
    figures = []
    for name in WAYS[kind]:
        print(f"  {number:,} jobs from {kind}: {name}", file=sys.stderr, flush=True)
        argv = [sys.executable, "-m", "tests.benchmarks.decode", kind, name, str(number)]
        answer = subprocess.run(
            argv, cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=PATIENCE
        )
        said = json.loads(answer.stdout)
        timings[name] = Timing(**said["timing"])
        figures.append(Figure(f"{name}: peak of memory added", said["memory"], "MB"))
    return Section(
        f"{number:,} jobs from {kind} at once; once, each in a process of its own",
        timings,
        [*_ratios(timings), *figures],
    )


def _ratios(timings: Mapping[str, Timing]) -> Iterator[Figure]:
    ours, bare, usual = (timings[name] for name in (OURS, BARE, USUAL))
    yield Figure("CPU: backupkit / msgspec alone", ours.cpu / bare.cpu)
    yield Figure("CPU: json and list of dicts / backupkit", usual.cpu / ours.cpu)
    yield Figure("backupkit, for each job", 1e6 * ours.cpu / ours.jobs, "us")


def _bodies(kind: str, number: int) -> list[Body]:
    """Return bodies about the given number of jobs, repeated if the appliances have fewer."""
    fleet = steady_answers(min(APPLIANCES, max(1, number // JOBS)), JOBS)
    if kind == "details":
        made = [("", one.body(f"/rest/{BACKUP}/job/details")) for one in fleet]
        wanted = number // JOBS
    else:
        made = [
            (job.id, one.body(f"/rest/{BACKUP}/job/{job.id}"))
            for one in fleet
            for job in one.appliance.jobs()
        ]
        wanted = number
    return list(itertools.islice(itertools.cycle(made), wanted))


def _count(way: Callable[[Sequence[Body]], Sized], bodies: Sequence[Body]) -> int:
    """Return the number of jobs that a decoder returns for some bodies."""
    return len(way(bodies))


def _our_details(bodies: Sequence[Body]) -> pd.DataFrame:
    decoded = (wire.decode_details(body, wire.Flavour.REST)[0] for _, body in bodies)
    return _frame([job for jobs in decoded for job in jobs])


def _our_jobs(bodies: Sequence[Body]) -> pd.DataFrame:
    return _frame([wire.decode_job(body, wire.Flavour.REST, job_id) for job_id, body in bodies])


def _frame(jobs: Sequence[wire.Job]) -> pd.DataFrame:
    names = [f"vc-{number // JOBS:04}" for number in range(len(jobs))]
    times = [datetime.now(UTC)] * len(jobs)
    return jobs_to_observations(jobs, appliances=names, observed_at=times).frame()


def _bare_details(bodies: Sequence[Body]) -> list[object]:
    return [pair for _, body in bodies for pair in _DETAILS.decode(body).value]


def _bare_jobs(bodies: Sequence[Body]) -> list[object]:
    return [_JOB.decode(body).value for _, body in bodies]


def _usual_details(bodies: Sequence[Body]) -> pd.DataFrame:
    return _usual_frame(
        {"id": pair["key"], **pair["value"]}
        for _, body in bodies
        for pair in json.loads(body)["value"]
    )


def _usual_jobs(bodies: Sequence[Body]) -> pd.DataFrame:
    return _usual_frame(json.loads(body)["value"] for _, body in bodies)


def _usual_frame(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows))
    for column in ("start_time", "end_time"):
        frame[column] = pd.to_datetime(frame[column])
    return frame


OURS, BARE, USUAL = "backupkit", "msgspec alone, no frame", "json, DataFrame(list of dicts), times"

WAYS: dict[str, dict[str, Callable[[Sequence[Body]], Sized]]] = {
    "details": {OURS: _our_details, BARE: _bare_details, USUAL: _usual_details},
    "job/{id}": {OURS: _our_jobs, BARE: _bare_jobs, USUAL: _usual_jobs},
}
"""Who makes what of the answers, by what was asked."""


def main() -> None:
    """Decode all bodies once, in this process; for `_at_once`."""
    kind, name, number = sys.argv[1:]
    bodies = _bodies(kind, int(number))
    before = reset_peak_memory()
    run = functools.partial(_count, WAYS[kind][name], bodies)
    timing = measured([Contestant(name, run, int(number))], turns=1)[name]
    print(json.dumps({"timing": asdict(timing), "memory": peak_memory() - before}))


if __name__ == "__main__":
    main()
